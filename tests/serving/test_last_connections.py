"""A socket that is about to be closed: who is in stays in, nobody else comes."""

import select
import socket

import pytest

from seqrec.serving.last_connections import keep_connections_away


def test_queued_connections_are_kept_and_new_ones_are_refused():
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        address = listening.getsockname()
        queued = socket.create_connection(address)
        queued.sendall(b"a request")
        keep_connections_away(listening)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.2)
        late = socket.socket()
        late.setblocking(False)
        with pytest.raises(BlockingIOError):
            late.connect(address)
        accepted, _ = listening.accept()
        assert accepted.recv(20) == b"a request"
    select.select([], [late], [], 5)
    assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 111  # refused
    accepted.sendall(b"an answer")
    assert queued.recv(20) == b"an answer"
    for one in (queued, accepted, late):
        one.close()
