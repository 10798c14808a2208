"""Connections that refuse requests for lists while too many wait, at a small part of their cost."""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from seqrec.serving.admission import BODY, HEADERS, RANKING_PATHS, Admission
from seqrec.serving.context import ServerState
from seqrec.serving.protocol import TimedProtocol

RANKING_URLS = frozenset(path.encode() for path in RANKING_PATHS)
ANSWERED_BY_LAYER = frozenset({b"origin", b"expect", b"upgrade"})
"""Headers of requests whose refusals hold more than those that are sent here."""


class RefusingProtocol(TimedProtocol):
    """Answers with 429 what is not admitted, without a task, a scope or a layer."""

    admission: Admission
    state: ServerState
    _is_refused = False
    """The request that arrives is refused once all of it is here."""

    def on_message_begin(self) -> None:
        self._is_refused = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._may_refuse() and not self.admission.is_open:
            self._is_refused, self._reads_headers = True, False
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._is_refused:
            super().on_message_complete()
            return
        self._is_within = False
        lines = [*self.server_state.default_headers, *HEADERS]
        head = b"".join(b"%b: %b\r\n" % line for line in lines)
        self.transport.write(STATUS_LINE[429] + head + b"\r\n" + BODY)
        self.admission.count_refusal()
        self.on_response_complete()

    def _may_refuse(self) -> bool:
        """Return True for a request whose refusal is as short as can be."""
        is_first = self.cycle is None or self.cycle.response_complete
        is_plain = not self.state.is_draining and self.parser.should_keep_alive()
        return (
            is_first
            and is_plain
            and self.url in RANKING_URLS
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and not any(name in ANSWERED_BY_LAYER for name, _ in self.headers)
        )
