"""`/v1/realtime`: clients hear what happens over a WebSocket, by both protocols of Appwrite's web SDK.

Up to version 16 the URL names the channels; later ones subscribe by messages (`app/realtime.php`). Who a client is
follows from the handshake (cookie, key, `jwt` in the URL) or from an `authentication` message, because browsers cannot
send headers here, and is checked again from time to time.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from minifn import jsontext
from minifn.api.access.callers import GUEST
from minifn.api.broadcast import SHORT_BYTES, Broadcast, Connection, Message, length
from minifn.api.operations import account
from minifn.api.wire import bodies
from minifn.api.wire.operation import Context
from minifn.errors import ArgumentInvalid, MinifnError, ProjectNotFound, UserJwtInvalid
from minifn.ids import new_id
from minifn.models import Caller, CallerKind

#: The code of every error that trying again does not mend: clients do not reconnect after it.
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013
#: What one connection may ask for.
SUBSCRIPTIONS_MAX = 200
CHANNELS_MAX = 200
CHANNEL_MAX_CHARS = 256
#: Of all its subscriptions together: channels, and characters of their names. A guest takes memory with them.
CHANNELS_TOTAL_MAX = 1000
CHANNELS_TOTAL_MAX_CHARS = 32_768
#: How long a caller is believed to have the rights they had, seconds.
TRUST_SECONDS = 30
#: How long a client that is behind may take to hear that it is closed, seconds.
CLOSE_SECONDS = 5

#: What an `authentication` message may hold, and the header that says the same.
_CREDENTIALS = {
    "session": b"x-appwrite-session",
    "jwt": b"x-appwrite-jwt",
    "key": b"x-appwrite-key",
}


class Realtime:
    """The endpoint: an ASGI application that speaks to one client for as long as it stays."""

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
        self._connection = Connection(GUEST)
        self._headers: dict[bytes, bytes] = dict(socket.scope["headers"])
        self._project = b""
        self._trusted_until = 0.0

    async def talk(self) -> None:
        """Speak until the client leaves or is too slow. Raises MinifnError, and WebSocketDisconnect."""
        given = bodies.parse_query(self._socket.scope["query_string"])
        self._context.origins.check("POST", self._headers)
        self._project = _text(given.get("project")) or self._headers.get(b"x-appwrite-project", b"")
        if not self._project:
            raise ProjectNotFound("Missing or unknown project ID")
        for name, header in (("jwt", b"x-appwrite-jwt"), ("mode", b"x-appwrite-mode")):
            if given.get(name):
                self._headers[header] = _text(given[name])
        connection = self._connection
        connection.caller = await self._identify(self._headers)
        channels = given.get("channels", ())
        if channels:
            connection.subscriptions[""] = _channels(channels)
        self._broadcast.join(connection)
        try:
            self._say(
                "connected", {"channels": connection.channels, "user": _user(connection.caller)}
            )
            await self._exchange()
        finally:
            self._broadcast.leave(connection)

    async def _exchange(self) -> None:
        """Read and write side by side, until one of them ends or the client is too far behind."""
        overrun = self._connection.overrun
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
            # The connection ends without a word when there is no room for one: the server drops it.
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
            message = await self._connection.take()
            await self._check_again()
            if length(message) <= SHORT_BYTES:
                await self._send(message)
                continue
            async with self._broadcast.long:
                await self._send(message)

    async def _send(self, message: Message) -> None:
        await self._socket.send_text(b"".join(message).decode())

    async def _answer(self, text: str | bytes) -> None:
        """Do what a message of the client asks for. Raises MinifnError."""
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
        self._connection.caller = caller
        self._broadcast.join(self._connection)
        self._say("response", {"to": "authentication", "success": True, "user": _user(caller)})

    def _subscribe(self, wanted: Iterable[Any]) -> None:
        subscriptions = self._connection.subscriptions
        made = []
        for item in wanted:
            if not isinstance(item, dict):
                raise ArgumentInvalid(
                    "Message format is not valid: a subscription must be an object."
                )
            if item.get("queries"):
                raise ArgumentInvalid(
                    "Queries of realtime subscriptions are not supported: filter in the client."
                )
            given = item.get("subscriptionId")
            name = (
                given
                if isinstance(given, str) and 0 < len(given) <= CHANNEL_MAX_CHARS
                else new_id()
            )
            subscriptions[name] = _channels(item.get("channels", ()))
            made.append({"subscriptionId": name, "channels": subscriptions[name], "queries": []})
        if len(subscriptions) > SUBSCRIPTIONS_MAX:
            raise ArgumentInvalid(f"A connection may have {SUBSCRIPTIONS_MAX} subscriptions.")
        names = [channel for channels in subscriptions.values() for channel in channels]
        if len(names) > CHANNELS_TOTAL_MAX or sum(map(len, names)) > CHANNELS_TOTAL_MAX_CHARS:
            raise ArgumentInvalid(
                f"A connection may have {CHANNELS_TOTAL_MAX:,} channels of {CHANNELS_TOTAL_MAX_CHARS:,} chars together."
            )
        self._broadcast.join(self._connection)
        self._say("response", {"to": "subscribe", "success": True, "subscriptions": made})

    def _unsubscribe(self, unwanted: Iterable[Any]) -> None:
        subscriptions = self._connection.subscriptions
        ended = []
        for item in unwanted:
            name = item.get("subscriptionId") if isinstance(item, dict) else None
            if isinstance(name, str) and name in subscriptions:
                del subscriptions[name]
                ended.append({"subscriptionId": name})
        self._broadcast.join(self._connection)
        self._say("response", {"to": "unsubscribe", "success": True, "subscriptions": ended})

    async def _check_again(self) -> None:
        """Make sure that who was let in would be let in again: tokens expire, keys are deleted. Raises MinifnError."""
        caller = self._connection.caller
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
        self._connection.put(msgspec.json.encode(content))


def _user(caller: Caller) -> dict[str, Any] | None:
    return account.user(caller) if caller.user_id or caller.operator else None


def _channels(given: Any) -> tuple[str, ...]:
    """Return channel names as a client gives them. Raises ArgumentInvalid."""
    values = (
        list(given.values())
        if isinstance(given, dict)
        else [given]
        if isinstance(given, str)
        else given
    )
    if not isinstance(values, list | tuple) or len(values) > CHANNELS_MAX:
        raise ArgumentInvalid(f"Channels must be a list of at most {CHANNELS_MAX} names.")
    if not all(isinstance(value, str) and 0 < len(value) <= CHANNEL_MAX_CHARS for value in values):
        raise ArgumentInvalid(f"A channel must be a name of at most {CHANNEL_MAX_CHARS} chars.")
    return tuple(dict.fromkeys(values))


def _text(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else b""


async def _end(socket: WebSocket, message: str) -> None:
    """Say what is wrong and close, so that the client does not come back for the same."""
    if socket.application_state is not WebSocketState.CONNECTED:
        # Something was being sent when the client went away.
        return
    error = {"type": "error", "data": {"code": POLICY_VIOLATION, "message": message}}
    with suppress(WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.send_text(msgspec.json.encode(error).decode())
            await socket.close(POLICY_VIOLATION, message.encode()[:100].decode(errors="ignore"))
