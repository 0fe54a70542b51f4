"""WebSockets of `minifn serve`: a separate module, because few servers import its library."""

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from minifn.server.connections import Watched

#: Most pieces of one message: empty ones would add up without end.
FRAGMENTS_MAX = 1024
_NO_HANDSHAKE = b"A WebSocket handshake is a GET request without a body.\n"
BAD_HANDSHAKE = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_NO_HANDSHAKE), _NO_HANDSHAKE)
)


class SocketConnection(Watched, WebSocketsSansIOProtocol):
    """uvicorn's protocol; a client for which data would pile up is disconnected."""

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol.

        uvicorn leaves a handshake that cannot be parsed without an answer, and its connection open.
        """
        super().data_received(data)
        if not self.handshake_initiated:
            # The whole head comes at once, because it was parsed before as that of a request.
            self.handshake_complete = self.close_sent = True
            self.transport.write(b"".join(self.conn.data_to_send()) or BAD_HANDSHAKE)
            self.transport.close()

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message, and return when the client has read most of it."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            # uvicorn would log an error for every handshake that is refused with an answer.
            self.handshake_complete = True
        await self.writable.wait()

    def handle_ping(self) -> None:
        """Answer a ping, or hang up when the client does not read the answers."""
        if self.paused_at is None:
            super().handle_ping()
        else:
            self.hang_up()

    def handle_cont(self, event: Frame) -> None:
        """Take a piece of a message, or hang up after too many."""
        if len(self.frames) < FRAGMENTS_MAX:
            super().handle_cont(event)
        else:
            self.hang_up()
