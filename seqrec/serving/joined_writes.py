"""A transport that sends together what is written within a turn of the event loop."""

import asyncio
from typing import Any


class JoinedWrites:
    """Sends head and body of an answer in one call of the system.

    uvicorn writes them apart, and each call takes about as long as a layer of the application; a
    client would be woken by the head alone.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Store the transport of a connection, and its event loop."""
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send data in the next turn of the loop, with all that is written until then."""
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        """Send what was written, and close the connection."""
        self._send()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))
