"""The admission of a server: work that cannot be answered in time is refused before it is read."""

import logging
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from seqrec.serving.engine import Engine
from seqrec.serving.metrics import Metrics

logger = logging.getLogger("seqrec.access")

RANKING_PATHS = frozenset({"/recommend", "/similar", "/score", "/explain"})
RETRY_SECONDS = 1
BODY = b'{"detail":"too many requests wait; come back later","request_id":""}'
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", b"%d" % len(BODY)),
    (b"retry-after", b"%d" % RETRY_SECONDS),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
CLOSE = (b"connection", b"close")
"""Header of a server that ends: no client sends another request on the connection."""
SECONDS_BETWEEN_LINES = 1.0


class Admission:
    """Admits requests for lists while their answers can be expected within the time limit.

    It is the outermost layer and looks at the path alone, so that a refusal costs a small part
    of an answer. A refused request has neither a number nor a log line of its own: a line a
    second says how many there were.
    """

    def __init__(
        self,
        app: ASGIApp,
        engine: Engine,
        metrics: Metrics,
        is_draining: Callable[[], bool],
        seconds: float,
        add_headers: Callable[[ASGIApp], ASGIApp],
    ) -> None:
        """Store the application.

        Args:
            app: what answers admitted requests.
            engine: what ranks.
            metrics: counts refusals.
            is_draining: returns True once the server ends.
            seconds: time limit of a request.
            add_headers: returns an application with the headers that pages of other sites need to
                read a refusal.
        """
        self._app = app
        self._engine = engine
        self._metrics = metrics
        self._is_draining = is_draining
        self._seconds = seconds
        self._refuse = add_headers(self._send_refusal)
        self._num_admitted = 0
        self._num_refused = 0
        self._logged_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_ranking = scope["type"] == "http" and scope["path"] in RANKING_PATHS
        if not is_ranking or scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif self._engine.can_answer(self._num_admitted, self._seconds):
            self._num_admitted += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._num_admitted -= 1
        else:
            await self._refuse(scope, receive, send)
            self._count_refusal()

    async def _send_refusal(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*HEADERS, CLOSE] if self._is_draining() else HEADERS.copy()
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})

    def _count_refusal(self) -> None:
        """Count a refusal; write a line about all of them now and then."""
        self._metrics.count_refusal()
        self._num_refused += 1
        now = time.monotonic()
        if now - self._logged_at >= SECONDS_BETWEEN_LINES:
            fields = {"status": 429, "requests": self._num_refused, "admitted": self._num_admitted}
            logger.warning("requests refused", extra={"fields": fields})
            self._num_refused, self._logged_at = 0, now
