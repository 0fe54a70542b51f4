"""The socket and the pipe between the server and a worker's process."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from minifn.sandbox.process import Process
from minifn.workers.socket_pair import socket_pair


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A worker's process and the server's ends of its channels."""

    process: Process
    socket: socket.socket
    #: Descriptor from which its standard output and error are read.
    output: int
    #: Bytes that were read from the socket already.
    read: bytes = b""
    #: Whether a template forked it.
    forked: bool = False


@contextmanager
def channels() -> Iterator[tuple[socket.socket, socket.socket, int, int]]:
    """Give a socket's ends, the server's first, and those of a pipe for output, the reading first.

    The process's ends are closed afterwards, and the server's if an exception leaves.
    """
    reading, writing = os.pipe()
    try:
        ours, theirs = socket_pair()
        try:
            yield ours, theirs, reading, writing
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
