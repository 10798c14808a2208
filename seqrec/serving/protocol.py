"""Connections whose requests must arrive in time, with headers of a bounded size."""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from seqrec.serving.joined_writes import JoinedWrites
from seqrec.serving.limits import HEADER_SECONDS, MAX_HEADER_BYTES


class TimedProtocol(HttpToolsProtocol):
    """Closes a connection whose headers are too large, or take too long to arrive.

    uvicorn itself limits only the time between two requests, and httptools nothing.
    """

    _header_timer: asyncio.TimerHandle | None = None
    _is_within = False
    """A request has begun, and has not arrived whole."""
    _reads_headers = False
    _num_begun = 0
    """Requests that began in the data received last."""
    _num_header_bytes = 0
    """Bytes of the headers that are complete."""
    _num_received = 0
    """Bytes of the headers that are being read, as far as it is certain."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        is_between = self.cycle is None or self.cycle.response_complete
        if is_between and self._header_timer is None:
            self._start_timer()
        was_within, was_reading, self._num_begun = self._is_within, self._reads_headers, 0
        super().data_received(data)
        if was_reading and not self._num_begun:
            self._num_received += len(data)
        else:  # data that holds the end of another request counts from the next data on
            self._num_received = 0 if was_within or self._num_begun > 1 else len(data)
        if self._reads_headers and self._num_received > MAX_HEADER_BYTES:
            self.send_400_response("Headers too large.")
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._is_within, self._reads_headers, self._num_header_bytes = True, True, 0
        self._num_begun += 1
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count_header(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header(name + value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._reads_headers = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_within = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._stop_timer()
        super().on_response_complete()

    def _count_header(self, part: bytes) -> None:
        """Count a part of the headers.

        Raises:
            HttpParserError: all of them are too large, which is answered with 400.
        """
        self._num_header_bytes += len(part)
        if self._num_header_bytes > MAX_HEADER_BYTES:
            raise httptools.HttpParserError("headers too large")

    def _start_timer(self) -> None:
        self._header_timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
