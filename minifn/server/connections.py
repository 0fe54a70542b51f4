"""Connections of `minifn serve`: how many there may be, how slow, and what one may ask for at once."""

import asyncio
import resource
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

#: Descriptors the server asks for; a machine may allow fewer.
DESCRIPTORS = 65_536
CONNECTIONS_MAX = 10_000
#: A connection that owes the server a request, or the rest of one, is closed when nothing has come for so long.
SILENCE_SECONDS = 60.0
#: A request may take as long as that, and for its length this much longer: the slowest lines of telephones.
BYTES_PER_SECOND_MIN = 1024
#: The first line and the headers of a request, or what follows its body; the parser would take any number.
HEAD_BYTES_MAX = 128 * 1024
HEADERS_MAX = 500
#: Requests sent ahead of their answers.
PIPELINE_MAX = 100
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


class Refused(Exception):
    """The request is none, or one too many."""


class Watched:
    """A connection that is looked at from time to time, and hung up when its client is late."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    #: Since when the client has not taken what it was sent, on the loop's clock.
    paused_at: float | None = None

    def pause_writing(self) -> None:
        """Part of asyncio.Protocol."""
        self.paused_at = self.loop.time()
        super().pause_writing()  # type: ignore[misc]

    def resume_writing(self) -> None:
        """Part of asyncio.Protocol."""
        self.paused_at = None
        super().resume_writing()  # type: ignore[misc]

    def is_late(self, now: float, silence_seconds: float) -> bool:
        """Tell whether the client has owed the server something, or not taken it, for too long."""
        return self.paused_at is not None and now - self.paused_at > silence_seconds

    def hang_up(self) -> None:
        """Close without a word."""
        self.transport.abort()


class Connection(Watched, HttpToolsProtocol):
    """uvicorn's protocol; one connection too many is told so and closed."""

    def __init__(self, connections_max: int, **server: Any) -> None:
        super().__init__(**server)
        self._connections_max = connections_max
        #: When the client last sent something, on the loop's clock.
        self.heard_at = self.loop.time()
        #: When it began the request that it is sending, and how many bytes came since.
        self._began_at = self.heard_at
        self._bytes = 0
        #: Requests that others came behind of, while they were answered or waited for it.
        self._ahead: list[RequestResponseCycle] = []
        #: Bytes that came since the last that were a body's, or ended a head.
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Part of asyncio.Protocol."""
        super().connection_made(transport)
        if len(self.connections) > self._connections_max:
            self._refuse()

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol. uvicorn tells the last of several requests, and not the one that is served."""
        for cycle in self._ahead:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def _refuse(self) -> None:
        head = (
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json; charset=UTF-8\r\n"
            b"retry-after: 5\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        )
        self.transport.write(head % len(REFUSAL) + REFUSAL)
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self.heard_at = self.loop.time()
        self._bytes += len(data)
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES_MAX or len(self.headers or ()) > HEADERS_MAX:
            self.send_400_response(
                f"The request's headers are more than {HEADERS_MAX} or {HEAD_BYTES_MAX:,} bytes."
            )

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with a request, unless it would be taken for the answer to another one."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if (
            cycle is None
            or cycle.response_complete
            or (cycle.more_body and not cycle.response_started)
        ):
            super().send_400_response(msg)
        else:
            self.hang_up()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._head_bytes = self._bytes = 0
        self._began_at = self.heard_at
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called by the parser. What is raised ends the connection."""
        self._head_bytes = 0
        headers = self.headers
        if len(headers) > HEADERS_MAX or len(self.pipeline) >= PIPELINE_MAX:
            raise Refused
        if len(dict(headers)) < len(headers) and [name for name, _ in headers].count(b"host") > 1:
            # RFC 9112, 3.2: what is checked of one would be done by the other.
            raise Refused
        before = self.cycle
        super().on_headers_complete()
        if self.pipeline:
            self._ahead = [cycle for cycle in (*self._ahead, before) if not cycle.response_complete]

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._head_bytes = 0
        super().on_body(body)

    def handle_websocket_upgrade(self) -> None:
        """Called once a handshake has come. WebSockets, which cost nothing to keep, leave room for requests."""
        sockets = sum(not isinstance(other, Connection) for other in self.connections)
        if sockets >= self._connections_max // 2:
            self._refuse()
        else:
            super().handle_websocket_upgrade()

    def is_late(self, now: float, silence_seconds: float) -> bool:
        """Tell whether the client has owed the server something, or not taken it, for too long."""
        if super().is_late(now, silence_seconds):
            return True
        if self.flow is not None and self.flow.read_paused:
            # It may send nothing; its time begins anew.
            self.heard_at = self._began_at = now
            return False
        cycle = self.cycle
        owes = cycle is None or cycle.response_complete or cycle.more_body
        # A scope that is no cycle's belongs to a head that has begun.
        receiving = cycle is None or cycle.more_body or cycle.scope is not self.scope
        slow = (
            receiving
            and now - self._began_at > silence_seconds + self._bytes / BYTES_PER_SECOND_MIN
        )
        return owes and (slow or now - self.heard_at > silence_seconds)


def hang_up_silent(
    connections: Iterable[object], now: float, silence_seconds: float = SILENCE_SECONDS
) -> int:
    """Close the connections whose clients are late; return how many."""
    late = [
        connection
        for connection in connections
        if isinstance(connection, Watched) and connection.is_late(now, silence_seconds)
    ]
    for connection in late:
        connection.hang_up()
    return len(late)
