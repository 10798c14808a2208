"""The end of a listening socket: new connections are kept away before it is closed."""

import ctypes
import socket
import struct
import sys

ATTACH_FILTER = 26
"""SO_ATTACH_FILTER of Linux, which Python has no name for."""
INSTRUCTION, PROGRAM = "HBBI", "HL"
"""The layouts of ``struct sock_filter`` and ``struct sock_fprog``."""
FLAGS_AT, SYN_AND_ACK, SYN = 13, 0x12, 0x02
"""Byte of a TCP header that holds its flags, those that are looked at, and the first packet's."""
DROP_FIRST_PACKETS = (
    (0x30, 0, 0, FLAGS_AT),  # load the flags
    (0x54, 0, 0, SYN_AND_ACK),  # keep two of them
    (0x15, 0, 1, SYN),  # the first packet of a connection?
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # pass all others
)


def keep_connections_away(listening: socket.socket) -> None:
    """Let no new connection into the queue of a socket, which is then safe to close when empty.

    Closing a socket resets the connections in its queue, although their clients may have sent
    requests already. The kernel filters the socket's packets, so that a connection which is being
    opened is opened, and a new one is not; its client is refused once the socket is closed. Where
    the system has no such filter, the queue is made as short as it can be.
    """
    if sys.platform != "linux":  # elsewhere the number may mean another option
        listening.listen(0)
        return
    program = b"".join(struct.pack(INSTRUCTION, *one) for one in DROP_FIRST_PACKETS)
    held = ctypes.create_string_buffer(program)
    described = struct.pack(PROGRAM, len(DROP_FIRST_PACKETS), ctypes.addressof(held))
    try:
        listening.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, described)
    except OSError:
        listening.listen(0)
