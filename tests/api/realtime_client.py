"""A WebSocket client of the realtime API."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.api.site import ADMIN_KEY, PROJECT, SiteServer
from tests.patience import patient

SECONDS = 10


class Client:
    """A WebSocket client of a server, with the `connected` message already read."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.connected = self.next()

    def send(self, kind: str, data: Any = None) -> None:
        self._socket.send(json.dumps({"type": kind, "data": data}))

    def send_text(self, text: str) -> None:
        self._socket.send(text)

    def next(self, seconds: float = SECONDS) -> Any:
        return json.loads(self._socket.recv(seconds))

    def event(self, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """Return the data of the next event that fits; others are skipped."""
        deadline = time.monotonic() + patient(SECONDS)
        while time.monotonic() < deadline:
            message = self.next()
            assert message["type"] == "event", message
            if fits(message["data"]):
                return message["data"]
        raise AssertionError("no such event")

    def hears_nothing(self) -> None:
        """Check that no message waits: one would come before the answer to a ping."""
        self.send("ping")
        assert self.next() == {"type": "pong"}

    def refused(self) -> str:
        """Return the message of the error that ends the connection."""
        error = self.next()
        assert error["type"] == "error", error
        assert error["data"]["code"] == 1008
        with pytest.raises(ConnectionClosed) as closed:
            self.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        return str(error["data"]["message"])


@contextmanager
def listening(
    port: int, *channels: str, headers: dict[str, str] | None = None, **query: str
) -> Iterator[Client]:
    parameters = [
        ("project", PROJECT),
        *(("channels[]", channel) for channel in channels),
        *query.items(),
    ]
    with connect(
        f"ws://127.0.0.1:{port}/v1/realtime?{urlencode(parameters)}",
        additional_headers=headers,
        proxy=None,
    ) as socket:
        yield Client(socket)


def admin_listening(site: SiteServer, *channels: str) -> Any:
    return listening(site.port, *channels, headers={"x-appwrite-key": ADMIN_KEY})
