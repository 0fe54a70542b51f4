"""Connections of `minifn serve`, with limits on their number, their slowness and their requests."""

import asyncio
import resource
from collections.abc import Iterable, Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

#: Most descriptors that the server asks for; a machine may allow fewer.
DESCRIPTORS = 65_536
#: Least limit of descriptors: the launcher of functions keeps the first 256 free for them.
DESCRIPTORS_MIN = 512
#: Most open connections.
CONNECTIONS_MAX = 10_000
#: Seconds of silence after which a connection that owes the rest of a request is closed.
SILENCE_SECONDS = 60.0
#: Least average rate of a request that takes longer than SILENCE_SECONDS.
BYTES_PER_SECOND_MIN = 1024
#: Most bytes and headers of a request's head, or of the trailers after its body.
HEAD_BYTES_MAX = 128 * 1024
HEADERS_MAX = 500
#: Most requests that a client sends ahead of their answers.
PIPELINE_MAX = 100
REFUSAL = (
    b'{"message":"The server has as many connections as it accepts. Try again later.","code":503,'
    b'"type":"general_service_overloaded"}'
)


def raise_descriptors() -> int:
    """Raise this process's limit of descriptors as far as it may, and return the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def connections_max(descriptors: int) -> int:
    """Return the number of connections that a limit of descriptors allows."""
    # The other half is left to workers, builds, uploads and the database.
    return min(CONNECTIONS_MAX, descriptors // 2)


class Refused(Exception):
    """The request is malformed, or has too many requests or headers ahead of it."""


class Watched:
    """A connection that is checked from time to time, and closed when its client is late."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    #: When the client stopped reading answers, on the loop's clock; None while it reads.
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
        """Tell whether the client is too slow to send a request or to read an answer."""
        return self.paused_at is not None and now - self.paused_at > silence_seconds

    def hang_up(self) -> None:
        """Close the connection without an answer."""
        self.transport.abort()


class Connection(Watched, HttpToolsProtocol):
    """uvicorn's protocol; a connection beyond the limit gets a 503 and is closed."""

    def __init__(self, connections_max: int, **server: Any) -> None:
        super().__init__(**server)
        self._connections_max = connections_max
        #: When the client last sent something, on the loop's clock.
        self.heard_at = self.loop.time()
        #: When the current request began, and how many of its bytes have come.
        self._began_at = self.heard_at
        self._bytes = 0
        #: Unanswered requests before the last one.
        self._ahead: list[RequestResponseCycle] = []
        #: Bytes since the last piece of a body or the end of a head.
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Part of asyncio.Protocol."""
        super().connection_made(transport)
        if len(self.connections) > self._connections_max:
            self._refuse()

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol. uvicorn notifies only the last of several requests."""
        for cycle in self._ahead:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Part of asyncio.Protocol. A client that sends no more still gets what it asked for.

        Return whether the connection stays open. An answer without a length that has begun ends,
        because it may be a stream without end, and a client that is gone does the same.
        """
        cycles = [cycle for cycle in (*self._ahead, self.cycle) if cycle is not None]
        owed = [cycle for cycle in cycles if not (cycle.response_complete or cycle.more_body)]
        if not owed or (owed[0].response_started and owed[0].chunked_encoding):
            return False
        owed[-1].keep_alive = False
        return True

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
        """Send an error, unless the client would take it for the answer to another request."""
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
        """Called by the parser. Raising Refused ends the connection."""
        self.check_head()
        self.run_app()

    def check_head(self) -> dict[bytes, bytes]:
        """Return the headers, the last one of a name.

        Raises Refused for a head that is malformed, or has too much ahead of it.
        """
        self._head_bytes = 0
        headers = self.headers
        if len(headers) > HEADERS_MAX or len(self.pipeline) >= PIPELINE_MAX:
            raise Refused
        by_name = dict(headers)
        if len(by_name) < len(headers) and [name for name, _ in headers].count(b"host") > 1:
            # RFC 9112, 3.2: one Host could be checked and another one used.
            raise Refused
        return by_name

    def run_app(self) -> None:
        """Have the application answer the request whose head is complete, after those ahead."""
        before = self.cycle
        super().on_headers_complete()
        if self.pipeline:
            self._ahead = [cycle for cycle in (*self._ahead, before) if not cycle.response_complete]

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self.body_came()
        super().on_body(body)

    def body_came(self) -> None:
        """Note that a piece of a body came, so that trailers are counted from zero."""
        self._head_bytes = 0

    def handle_websocket_upgrade(self) -> None:
        """Called for a handshake.

        WebSockets may take half of the connections, others are refused.
        """
        sockets = sum(not isinstance(other, Connection) for other in self.connections)
        if sockets >= self._connections_max // 2:
            self._refuse()
        else:
            super().handle_websocket_upgrade()

    def is_late(self, now: float, silence_seconds: float) -> bool:
        """Tell whether the client is too slow to send a request or to read an answer."""
        if super().is_late(now, silence_seconds):
            return True
        if self.flow is not None and self.flow.read_paused:
            # The server does not read, so the client cannot be late.
            self.heard_at = self._began_at = now
            return False
        cycle = self.cycle
        owes = cycle is None or cycle.response_complete or cycle.more_body
        # A scope without a cycle belongs to a head that has begun.
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


#: By connection: when its client stopped reading, and the bytes that wait for it.
Unread = Mapping[Watched, tuple[float | None, int]]


def hang_up_unread(connections: Iterable[object], before: Unread) -> Unread:
    """Close the connections whose clients have read nothing of an answer since `before`.

    Return what is unread now, for the next look.
    """
    unread = {
        connection: (connection.paused_at, size_bytes)
        for connection in connections
        if isinstance(connection, Watched)
        and (size_bytes := connection.transport.get_write_buffer_size())
    }
    for connection, state in unread.items():
        if before.get(connection) == state:
            connection.hang_up()
    return unread
