"""The outermost layer: a number, a log line and counters for every request, and no traceback."""

import json
import logging
import re
import time
from collections.abc import Callable
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seqrec.serving.metrics import Metrics

logger = logging.getLogger("seqrec.access")

LOG_FIELDS = "seqrec.log"
"""Key of a scope: more fields of the log line."""
REQUEST_ID = "seqrec.request_id"
REQUEST_ID_HEADER = "x-request-id"
PATH_LETTERS = 200
OTHER = "other"
"""The route of paths that no route has."""


class AccessLog:
    """Numbers, counts and logs requests; an error that nobody handled is 500 without details.

    A log line names the path without its query, and neither histories nor ids of users.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, is_draining: Callable[[], bool], *, writes_lines: bool
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._is_draining = is_draining
        self._writes_lines = writes_lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, has_started = time.perf_counter(), 500, False
        scope[REQUEST_ID] = request_id = _get_request_id(scope)
        scope[LOG_FIELDS] = {}

        async def send_numbered(message: Message) -> None:
            nonlocal status, has_started
            if message["type"] == "http.response.start":
                status, has_started = message["status"], True
                headers = MutableHeaders(raw=message["headers"])
                headers["x-request-id"] = request_id
                headers["x-content-type-options"] = "nosniff"
                headers.setdefault("cache-control", "no-store")
                if self._is_draining():
                    headers["connection"] = "close"
            await send(message)

        try:
            await self._app(scope, receive, send_numbered)
        except Exception:
            logger.exception("request failed", extra={"fields": {"request_id": request_id}})
            if not has_started:
                await _send_error(send_numbered, request_id)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", OTHER)
            self._metrics.count_request(route, status, seconds)
            if self._writes_lines:
                fields = {
                    "request_id": request_id,
                    "method": scope["method"][:16],
                    "path": scope["path"][:PATH_LETTERS],
                    "status": status,
                    "ms": round(1000 * seconds, 2),
                    "client": scope["client"][0] if scope.get("client") else None,
                    **scope[LOG_FIELDS],
                }
                logger.info("request", extra={"fields": fields})


def _get_request_id(scope: Scope) -> str:
    """Return the number that a caller gave a request, or a new one."""
    given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return given if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else uuid4().hex[:16]


async def _send_error(send: Send, request_id: str) -> None:
    detail = "an error of the server; its log names the request"
    body = json.dumps({"detail": detail, "request_id": request_id}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
