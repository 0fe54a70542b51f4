"""The socket between the server and a worker."""

import socket

#: Bytes that each end may write ahead of the other's reads.
BUFFER_BYTES = 1024 * 1024


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a connected stream socket."""
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return ends
