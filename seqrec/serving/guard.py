"""The guard of a server: who may call it, how large a body may be, and how slowly it may arrive."""

import asyncio
import hmac
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seqrec.serving.errors import refuse
from seqrec.serving.limits import BODY_SECONDS
from seqrec.serving.page_files import PAGE_FILES
from seqrec.serving.settings import ServerSettings, is_loopback

OPEN_PATHS = frozenset({"/health/live", "/health/ready", *PAGE_FILES})
"""Paths that need no token: those that load balancers ask for, and the page, which asks for it."""


class BodyTooSlowError(Exception):
    """The body of a request did not arrive in time."""


class BodyTooLargeError(Exception):
    """The body of a request has more bytes than the server reads."""


class Guard:
    """Refuses requests without the token, those that another site's page sends, and large bodies.

    A server without a token answers requests only that name this machine as their host, so that
    a name which somebody else resolves to this machine leads nowhere.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._token = None if settings.token is None else settings.token.encode()
        self._origins = settings.cors_origins
        self._max_body_kb = settings.max_body_kb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = self._find_refusal(scope)
        if refusal is not None:
            status, detail = refusal
            headers = {"www-authenticate": "Bearer"} if status == 401 else {}
            await refuse(request, status, detail, headers)(scope, receive, send)
            return
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        is_read, num_bytes = False, 0

        async def receive_in_time() -> Message:
            nonlocal is_read, num_bytes
            if is_read:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise BodyTooSlowError from error
            num_bytes += len(message.get("body", b""))
            if num_bytes > 1024 * self._max_body_kb:
                raise BodyTooLargeError
            is_read = not message.get("more_body", False)
            return message

        try:
            await self._app(scope, receive_in_time, send)
        except BodyTooSlowError:
            headers = {"connection": "close"}
            answer = refuse(request, 408, "body: arrived too slowly; send it at once", headers)
            await answer(scope, receive, send)
        except BodyTooLargeError:
            await refuse(request, *self._too_large)(scope, receive, send)

    @property
    def _too_large(self) -> tuple[int, str]:
        return 413, f"body: more than {self._max_body_kb} KiB; send less at once"

    def _find_refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and the reason of a refusal; None for a request that may pass."""
        headers = Headers(scope=scope)
        if self._token is None:
            if not is_loopback(_parse_url("//" + headers.get("host", "")).hostname or ""):
                return 403, "host: this server has no token, and answers this machine only"
        elif scope["path"] not in OPEN_PATHS:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            is_right = hmac.compare_digest(given.strip().encode(), self._token)
            if scheme.lower() != "bearer" or not is_right:
                return 401, "authorization: send the header Authorization: Bearer TOKEN"
        origin = headers.get("origin")
        is_own = origin is None or _parse_url(origin).netloc == headers.get("host")
        if not is_own and origin not in self._origins and "*" not in self._origins:
            return 403, "origin: pages of other sites may not call this server; see --cors"
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > 1024 * self._max_body_kb:
            return self._too_large
        return None


def _parse_url(text: str) -> SplitResult:
    """Return the parts of a URL; none of text that is no URL."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")
