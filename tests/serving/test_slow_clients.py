"""Clients that send slowly, too much, or what is no request, over real connections."""

import socket
import time

import pytest

from seqrec.serving import guard, protocol
from seqrec.serving.limits import MAX_HEADER_BYTES
from tests.serving.browsing import run_in_thread
from tests.serving.conftest import slot_for

HEAD = b"POST /recommend HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
BODY = b'{"history": ["t1"], "k": 1}'
LIMIT = 0.3


@pytest.fixture
def connect(folder, monkeypatch):
    """A function that opens connections to a server with short time limits."""
    monkeypatch.setattr(protocol, "HEADER_SECONDS", LIMIT)
    monkeypatch.setattr(guard, "BODY_SECONDS", LIMIT)
    opened = []
    with run_in_thread([slot_for(folder)]) as url:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))

        def start() -> socket.socket:
            opened.append(socket.create_connection(address, timeout=5))
            return opened[-1]

        yield start
        for one in opened:
            one.close()


def read_all(connection: socket.socket) -> bytes:
    """Return all bytes that arrive until the other side closes the connection."""
    received = b""
    try:
        while part := connection.recv(1 << 16):
            received += part
    except ConnectionError:
        pass
    return received


def drip(connection: socket.socket, content: bytes) -> bytes:
    """Send a byte now and then, as long as anybody listens, and return the answer."""
    try:
        for byte in content:
            connection.sendall(bytes([byte]))
            time.sleep(LIMIT / 10)
    except ConnectionError:
        pass
    return read_all(connection)


def ask(connection: socket.socket) -> bytes:
    connection.sendall(HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY)
    return read_all(connection)


def test_slow_headers_and_silence_close_the_connection_and_others_go_on(connect):
    silent, slow, began = connect(), connect(), time.monotonic()
    assert drip(slow, HEAD + b"x: " + b"y" * 100) == b""
    assert read_all(silent) == b""
    assert time.monotonic() - began < 10 * LIMIT
    assert ask(connect()).startswith(b"HTTP/1.1 200")


def test_slow_bodies_are_answered_with_408(connect):
    slow = connect()
    slow.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(BODY))
    assert drip(slow, BODY).startswith(b"HTTP/1.1 408")
    chunked = connect()
    chunked.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    assert drip(chunked, b"1\r\n{\r\n" * 20).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "content",
    [
        HEAD + b"x: " + b"y" * 2 * MAX_HEADER_BYTES,
        HEAD + b"x: " + b"y" * 2 * MAX_HEADER_BYTES + b"\r\n\r\n",
        HEAD + b"x: y\r\n" * MAX_HEADER_BYTES + b"\r\n",
        b"GET /" + b"a" * 2 * MAX_HEADER_BYTES + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ],
    ids=["endless", "header", "many", "path", "tls", "lengths", "smuggled", "letters"],
)
def test_what_is_no_request_is_refused(connect, content):
    connection = connect()
    connection.sendall(content)
    assert read_all(connection).startswith(b"HTTP/1.1 400")


def test_headers_below_the_limit_pass_however_often_they_come(connect):
    connection = connect()
    fill = b"x: " + b"y" * (MAX_HEADER_BYTES // 2) + b"\r\n"
    request = HEAD + fill + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    for _ in range(5):
        connection.sendall(request)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    connection.sendall(request * 3)
    received = b""
    while received.count(b"HTTP/1.1 200") < 3:
        received += connection.recv(1 << 16)
