"""The admission of a server: work that cannot be answered in time is refused before it is read.

Most refusals are sent by the protocol (``refusing_protocol.py``). A refusal that pages of other
sites may read, or that closes its connection, is sent here.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

    It looks at the path alone, so that a refusal costs a small part of an answer. A refused request
    has neither a number nor a log line of its own: a line a second says how many there were.
    """

    def __init__(self, engine: Engine, metrics: Metrics, seconds: float) -> None:
        """Set the parts.

        Args:
            engine: what ranks.
            metrics: counts refusals.
            seconds: time limit of a request.
        """
        self._engine = engine
        self._metrics = metrics
        self._seconds = seconds
        self._num_admitted = 0
        self._num_refused = 0
        self._logged_at = 0.0

    @property
    def is_open(self) -> bool:
        """True if a request for a list that comes now can be expected to be answered in time."""
        return self._engine.can_answer(self._num_admitted, self._seconds)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a request among the admitted ones until it is answered."""
        self._num_admitted += 1
        try:
            yield
        finally:
            self._num_admitted -= 1

    def count_refusal(self) -> None:
        """Count a refusal; write a line about all of them now and then."""
        self._metrics.count_refusal()
        self._num_refused += 1
        now = time.monotonic()
        if now - self._logged_at >= SECONDS_BETWEEN_LINES:
            fields = {"status": 429, "requests": self._num_refused, "admitted": self._num_admitted}
            logger.warning("requests refused", extra={"fields": fields})
            self._num_refused, self._logged_at = 0, now


class AdmissionLayer:
    """The outermost layer of an application, which refuses what is not admitted."""

    def __init__(
        self,
        app: ASGIApp,
        admission: Admission,
        is_draining: Callable[[], bool],
        add_headers: Callable[[ASGIApp], ASGIApp],
    ) -> None:
        """Store the application.

        Args:
            app: what answers admitted requests.
            admission: the admission.
            is_draining: returns True once the server ends.
            add_headers: returns an application with the headers that pages of other sites need to
                read a refusal.
        """
        self._app = app
        self._admission = admission
        self._is_draining = is_draining
        self._refuse = add_headers(self._send_refusal)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_ranking = scope["type"] == "http" and scope["path"] in RANKING_PATHS
        if not is_ranking or scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif self._admission.is_open:
            with self._admission.admit():
                await self._app(scope, receive, send)
        else:
            await self._refuse(scope, receive, send)
            self._admission.count_refusal()

    async def _send_refusal(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*HEADERS, CLOSE] if self._is_draining() else HEADERS.copy()
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})
