"""The launcher's end of the socket to the server."""

import array
import json
import socket

from .messages import ToLauncher, ToServer
from .start import park

#: Most descriptors that one read takes.
DESCRIPTORS_MAX = 128
READ_BYTES = 1 << 20


class Control:
    """Reads and writes messages, with the descriptors that came along."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = bytearray()
        self._descriptors: list[int] = []
        #: Whether the server is gone.
        self.closed = False

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def receive(self) -> list[ToLauncher]:
        """Read and return the complete messages; `closed` is set at the end."""
        space = socket.CMSG_SPACE(4 * DESCRIPTORS_MAX)
        flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        try:
            data, ancillary, _, _ = self._socket.recvmsg(READ_BYTES, space, flags)
        except ConnectionResetError:  # The server was killed before it had read everything.
            self.closed = True
            return []
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i", content[: len(content) - len(content) % 4])
                self._descriptors += [park(number) for number in numbers]
        if not data:
            self.closed = True
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        return [json.loads(line) for line in lines]

    def take(self, count: int) -> list[int]:
        """Return the next descriptors that came along; the caller closes them."""
        taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return taken

    def send(self, message: ToServer) -> None:
        """Tell the server, or note that it is gone."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.closed = True
