"""`/v1/realtime`: a WebSocket that tells clients of changes, by both protocols of the web SDK.

Up to version 16 the URL names the channels; later versions subscribe by messages
(`app/realtime.php`). The caller follows from the handshake (cookie, key, `jwt` in the URL) or from
an `authentication` message, because browsers cannot send headers here. It is verified again
every TRUST_SECONDS.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from minifn import jsontext
from minifn.api.access.callers import GUEST
from minifn.api.broadcast import LONG_BYTES, Broadcast, Message, Subscriber, length
from minifn.api.operations import account
from minifn.api.wire import bodies
from minifn.api.wire.operation import Context
from minifn.errors import ArgumentInvalid, MinifnError, ProjectNotFound, UserJwtInvalid
from minifn.models import Caller, CallerKind

#: The code of every error that trying again does not fix: clients do not reconnect after it.
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013
#: Seconds until a caller's rights are verified again.
TRUST_SECONDS = 30
#: Seconds that a client may take to receive why it is closed.
CLOSE_SECONDS = 5

#: Credentials in an `authentication` message -> the header with the same meaning.
_CREDENTIALS = {
    "session": b"x-appwrite-session",
    "jwt": b"x-appwrite-jwt",
    "key": b"x-appwrite-key",
}


class Realtime:
    """The endpoint: an ASGI application that serves one client until it leaves."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @cached_property
    def _broadcast(self) -> Broadcast:
        return Broadcast(self._context.parts.changes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        try:
            await socket.accept()
            await Client(self._context, self._broadcast, socket).talk()
        except WebSocketDisconnect:
            return
        except MinifnError as exc:
            await _end(socket, exc.message)


class Client:
    """The conversation with one client."""

    def __init__(self, context: Context, broadcast: Broadcast, socket: WebSocket) -> None:
        self._context = context
        self._broadcast = broadcast
        self._socket = socket
        self._subscriber = Subscriber(GUEST)
        self._headers: dict[bytes, bytes] = dict(socket.scope["headers"])
        self._project = b""
        self._trusted_until = 0.0

    async def talk(self) -> None:
        """Serve until the client leaves or is too slow. Raises MinifnError, WebSocketDisconnect."""
        given = bodies.parse_query(self._socket.scope["query_string"])
        self._context.origins.check("POST", self._headers)
        self._project = _text(given.get("project")) or self._headers.get(b"x-appwrite-project", b"")
        if not self._project:
            raise ProjectNotFound("Missing or unknown project ID")
        for name, header in (("jwt", b"x-appwrite-jwt"), ("mode", b"x-appwrite-mode")):
            if given.get(name):
                self._headers[header] = _text(given[name])
        subscriber = self._subscriber
        subscriber.caller = await self._identify(self._headers)
        if given.get("channels"):
            subscriber.subscriptions.from_url(given["channels"])
        self._broadcast.join(subscriber)
        try:
            channels = subscriber.subscriptions.channels
            self._say("connected", {"channels": channels, "user": _user(subscriber.caller)})
            await self._exchange()
        finally:
            self._broadcast.leave(subscriber)

    async def _exchange(self) -> None:
        """Read and write side by side, until one of them ends or too many messages wait."""
        overrun = self._subscriber.overrun
        tasks = [
            asyncio.ensure_future(part) for part in (self._read(), self._write(), overrun.wait())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
        if overrun.is_set():
            # A client that does not read even this is dropped without a close message.
            with suppress(WebSocketDisconnect, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._socket.close(TRY_AGAIN_LATER, "This client reads too slowly.")

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            await self._answer(message.get("text") or message.get("bytes") or "")

    async def _write(self) -> None:
        while True:
            message = await self._subscriber.take()
            await self._check_again()
            if length(message) <= LONG_BYTES:
                await self._send(message)
                continue
            async with self._broadcast.long:
                await self._send(message)

    async def _send(self, message: Message) -> None:
        await self._socket.send_text(b"".join(message).decode())

    async def _answer(self, text: str | bytes) -> None:
        """Handle a message of the client. Raises MinifnError."""
        try:
            message = jsontext.decode_as(dict[str, Any], text)
        except jsontext.JsonInvalid as exc:
            raise ArgumentInvalid("Message format is not valid.") from exc
        kind, data = message.get("type"), message.get("data")
        if kind == "ping":
            await self._check_again()
            self._say("pong")
        elif kind == "authentication" and isinstance(data, dict):
            await self._authenticate(data)
        elif kind == "subscribe" and isinstance(data, list):
            self._subscribe(data)
        elif kind == "unsubscribe" and isinstance(data, list):
            self._unsubscribe(data)
        else:
            raise ArgumentInvalid("Message type is not valid.")

    async def _authenticate(self, data: Mapping[str, Any]) -> None:
        names = [name for name in _CREDENTIALS if isinstance(data.get(name), str)]
        headers = {_CREDENTIALS[name]: _text(data[name]) for name in names}
        caller = await self._identify(headers)
        if caller.kind is CallerKind.GUEST:
            raise UserJwtInvalid("Session, JWT or key is not valid.")
        self._headers = headers
        self._subscriber.caller = caller
        self._broadcast.join(self._subscriber)
        self._say("response", {"to": "authentication", "success": True, "user": _user(caller)})

    def _subscribe(self, wanted: list[Any]) -> None:
        added = self._subscriber.subscriptions.add(wanted)
        self._broadcast.join(self._subscriber)
        self._say("response", {"to": "subscribe", "success": True, "subscriptions": added})

    def _unsubscribe(self, unwanted: list[Any]) -> None:
        removed = self._subscriber.subscriptions.remove(unwanted)
        self._broadcast.join(self._subscriber)
        self._say("response", {"to": "unsubscribe", "success": True, "subscriptions": removed})

    async def _check_again(self) -> None:
        """Verify the caller again: tokens expire and keys are deleted. Raises MinifnError."""
        caller = self._subscriber.caller
        if caller.kind is CallerKind.GUEST or time.monotonic() < self._trusted_until:
            return
        if await self._identify(self._headers) != caller:
            raise UserJwtInvalid("Session, JWT or key is no longer valid.")

    async def _identify(self, headers: Mapping[bytes, bytes]) -> Caller:
        caller = await self._context.authenticator.identify(headers, self._project)
        self._trusted_until = time.monotonic() + TRUST_SECONDS
        return caller

    def _say(self, kind: str, data: Mapping[str, Any] | None = None) -> None:
        content = {"type": kind} if data is None else {"type": kind, "data": data}
        self._subscriber.put(msgspec.json.encode(content))


def _user(caller: Caller) -> dict[str, Any] | None:
    return account.user(caller) if caller.user_id or caller.operator else None


def _text(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else b""


async def _end(socket: WebSocket, message: str) -> None:
    """Send an error and close with a code after which clients do not reconnect."""
    if socket.application_state is not WebSocketState.CONNECTED:
        # The client left while a message was being sent.
        return
    error = {"type": "error", "data": {"code": POLICY_VIOLATION, "message": message}}
    with suppress(WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.send_text(msgspec.json.encode(error).decode())
            await socket.close(POLICY_VIOLATION, message.encode()[:100].decode(errors="ignore"))
