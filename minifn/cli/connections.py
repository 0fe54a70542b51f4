"""Connections of `minifn serve`: how many there may be, and how long one may say nothing."""

import asyncio
import resource
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Descriptors the server asks for; a machine may allow fewer.
DESCRIPTORS = 65_536
CONNECTIONS_MAX = 10_000
#: A connection that owes the server a request, or the rest of one, is closed when nothing has come for so long.
SILENCE_SECONDS = 60.0
#: The first line and the headers of a request, or what follows its body; the parser would take any number.
HEAD_BYTES_MAX = 128 * 1024
REFUSAL = (
    b'{"message":"The server has as many connections as it accepts. Try again later.","code":503,'
    b'"type":"general_service_overloaded"}'
)


def raise_descriptors() -> int:
    """Let this process open as many descriptors as it may; return how many connections that leaves room for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # The other half is for workers, builds, uploads and the database.
    return min(CONNECTIONS_MAX, soft // 2)


class Connection(HttpToolsProtocol):
    """uvicorn's protocol; one connection too many is told so and closed."""

    def __init__(self, connections_max: int, **server: Any) -> None:
        super().__init__(**server)
        self._connections_max = connections_max
        #: When the client last sent something, on the loop's clock.
        self.heard_at = self.loop.time()
        #: Bytes that came since the last that were a body's, or ended a head.
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Part of asyncio.Protocol."""
        super().connection_made(transport)
        if len(self.connections) > self._connections_max:
            head = (
                b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json; charset=UTF-8\r\n"
                b"retry-after: 5\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            )
            transport.write(head % len(REFUSAL) + REFUSAL)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self.heard_at = self.loop.time()
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.send_400_response(f"The request's headers are longer than {HEAD_BYTES_MAX:,} bytes.")
            else:
                self.hang_up()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._head_bytes = 0
        super().on_body(body)

    @property
    def owes(self) -> bool:
        """Whether it is the client's turn."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body

    def hang_up(self) -> None:
        """Close without a word."""
        self.transport.abort()


def hang_up_silent(connections: Iterable[object], now: float, silence_seconds: float = SILENCE_SECONDS) -> int:
    """Close the connections whose clients owe something and have said nothing for too long; return how many."""
    silent = [
        connection
        for connection in connections
        if isinstance(connection, Connection) and connection.owes and now - connection.heard_at > silence_seconds
    ]
    for connection in silent:
        connection.hang_up()
    return len(silent)
