"""The process: a socket, signals, and an end that answers what was accepted."""

import gc
import logging
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from seqrec.errors import SeqRecError
from seqrec.serving.context import Context
from seqrec.serving.last_connections import keep_connections_away
from seqrec.serving.limits import (
    DRAIN_SECONDS,
    KEEP_ALIVE_SECONDS,
    MAX_CONNECTIONS,
)
from seqrec.serving.refusing_protocol import RefusingProtocol
from seqrec.serving.reloading import reload_all, watch_pointers

logger = logging.getLogger(__name__)

BACKLOG = 2048
LAST_SECONDS = 0.25
"""Time before the end in which connections that are queued are accepted, and no others."""
POINTER_TICKS = 10
"""Tenths of a second between two looks at pointers."""


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address.

    Raises:
        SeqRecError: the address is taken, or not one of this machine.
    """
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise SeqRecError(
            f"--host {host} --port {port}: {error.strerror}; choose another"
        ) from error
    return bound


def format_url(bound: socket.socket) -> str:
    """Return the address of a socket for browsers."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """A server that ends at SIGTERM without losing a request, and reloads at SIGHUP."""

    def __init__(
        self,
        config: uvicorn.Config,
        bound: socket.socket,
        context: Context,
        say_started: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._bound = bound
        self._context = context
        self._say_started = say_started
        self._leaves_at: float | None = None
        self._is_closed = False
        self._num_settled = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._settle_memory()
        self._say_started()
        if hasattr(signal, "SIGHUP"):  # Windows has none
            signal.signal(signal.SIGHUP, self._reload)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end at the first signal; end at once at the second."""
        self.force_exit = self.should_exit = self._context.state.is_draining
        self._context.state.is_draining = True

    async def on_tick(self, counter: int) -> bool:
        """Accept no more connections some time after the end began.

        Until then each answer closes its connection, so that none is closed on which a client
        has just sent a request. Shortly before, new connections are kept out of the system's
        queue: those in it would be reset with the socket.
        """
        if self._context.state.is_draining:
            if self._leaves_at is None:
                self._leaves_at = time.monotonic() + self._context.settings.drain_seconds
            left = self._leaves_at - time.monotonic()
            if left < LAST_SECONDS and not self._is_closed:
                self._is_closed = True
                keep_connections_away(self._bound)
            self.should_exit |= left <= 0
        elif counter % POINTER_TICKS == 0:
            watch_pointers(self._context.pool, self._context.metrics)
            self._settle_memory()
        return await super().on_tick(counter)

    def _settle_memory(self) -> None:
        """Free what loaded models have replaced, and let later collections pass over the rest.

        A collection that visits a catalog and all packages takes a tenth of a second or more, and
        requests would bring it about time and again.
        """
        num_loads = sum(slot.num_loads for slot in self._context.pool.slots.values())
        if num_loads != self._num_settled:
            self._num_settled = num_loads
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    def _reload(self, sig: int, frame: FrameType | None) -> None:
        reload_all(self._context.pool, self._context.metrics)


def build_config(app: Any, context: Context) -> uvicorn.Config:
    """Return the settings of uvicorn for an application over a context."""

    class Protocol(RefusingProtocol):
        admission, state = context.admission, context.state

    return uvicorn.Config(
        app,
        http=Protocol,
        loop="auto",  # uvloop, where the system has it
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        proxy_headers=False,
    )


def run_server(
    app: Any, bound: socket.socket, context: Context, say_started: Callable[[], None]
) -> None:
    """Answer requests until a signal ends it.

    Args:
        app: the application.
        bound: the socket that it listens on.
        context: what its routes share.
        say_started: called once it listens.
    """
    config = build_config(app, context)
    Server(config, bound, context, say_started).run(sockets=[bound])
