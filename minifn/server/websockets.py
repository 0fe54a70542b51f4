"""WebSockets of `minifn serve`; a module of its own, because most servers never import its library."""

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from minifn.server.connections import Watched

#: Pieces of one message: empty ones would add up for ever.
FRAGMENTS_MAX = 1024


class SocketConnection(Watched, WebSocketsSansIOProtocol):
    """uvicorn's protocol; a client that has the server collect for it is hung up."""

    async def send(self, message: ASGISendEvent) -> None:
        """Send, and wait until the client has taken most of it: before it is, its sender must not forget it."""
        await super().send(message)
        await self.writable.wait()

    def handle_ping(self) -> None:
        """Answer, unless the client takes no answers: they would add up."""
        if self.paused_at is None:
            super().handle_ping()
        else:
            self.hang_up()

    def handle_cont(self, event: Frame) -> None:
        """Take a piece of a message."""
        if len(self.frames) < FRAGMENTS_MAX:
            super().handle_cont(event)
        else:
            self.hang_up()
