"""Which changes reach which realtime connections, and in what form: decided here, sent by `realtime`."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from minifn import event_names
from minifn.api.wire import responses
from minifn.api.wire.formats import Shape
from minifn.api.wire.operation import EXECUTIONS_READ, FUNCTIONS_READ, PROJECT_READ
from minifn.change_feed import Change, ChangeFeed
from minifn.instants import format_instant, now_ms
from minifn.models import Caller, CallerKind, Deployment, Execution, Function, Record

#: What waits for a connection at most. One that reads more slowly than things happen is closed, not waited for.
WAITING_MESSAGES_MAX = 1000
WAITING_BYTES_MAX = 8 * 1024 * 1024

#: Longer messages are made and sent for so many connections at a time: each is some copies of it.
SHORT_BYTES = 64 * 1024
LONG_MAX = 8

_encode = msgspec.json.encode

#: A message in pieces, of which the long one is the same for all connections.
Message = tuple[bytes, ...]


class Connection:
    """One client: who it is, what it wants to hear, and what it has not been sent yet."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        #: Subscription id -> channels; "" is the one made by the URL, which has no id.
        self.subscriptions: dict[str, tuple[str, ...]] = {}
        #: Set when more happened than the client could read.
        self.overrun = asyncio.Event()
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()

    @property
    def channels(self) -> list[str]:
        """Every channel of every subscription, once."""
        return list(
            dict.fromkeys(
                channel for channels in self.subscriptions.values() for channel in channels
            )
        )

    def put(self, *message: bytes) -> None:
        """Have a message sent; too many are dropped, all of them."""
        if self.overrun.is_set():
            return
        self._waiting.append(message)
        self._waiting_bytes += length(message)
        if len(self._waiting) > WAITING_MESSAGES_MAX or self._waiting_bytes > WAITING_BYTES_MAX:
            self.overrun.set()
            self._waiting.clear()
        self._wake.set()

    async def take(self) -> Message:
        """Return the next message, once there is one."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        message = self._waiting.popleft()
        self._waiting_bytes -= length(message)
        return message


class Broadcast:
    """Turns changes into messages for the connections that subscribe to them and may know of them.

    Listens only while there is one that could hear something: changes cost nothing otherwise.
    """

    def __init__(self, changes: ChangeFeed) -> None:
        self._changes = changes
        self._by_channel: dict[str, set[Connection]] = {}
        self._joined: dict[Connection, list[str]] = {}
        #: Who sends a long message takes one.
        self.long = asyncio.Semaphore(LONG_MAX)

    def join(self, connection: Connection) -> None:
        """Let a connection hear what its caller and subscriptions are now; guests may read nothing."""
        self.leave(connection)
        if connection.caller.kind is CallerKind.GUEST:
            return
        channels = connection.channels
        if channels and not self._joined:
            self._changes.listen(self._send)
        if channels:
            self._joined[connection] = channels
        for channel in channels:
            self._by_channel.setdefault(channel, set()).add(connection)

    def leave(self, connection: Connection) -> None:
        """Let a connection hear nothing any more."""
        channels = self._joined.pop(connection, None)
        if channels is None:
            return
        for channel in channels:
            self._by_channel[channel].discard(connection)
            if not self._by_channel[channel]:
                del self._by_channel[channel]
        if not self._joined:
            self._changes.ignore(self._send)

    def _send(self, change: Change) -> None:
        channels = channels_of(change.record)
        members = {member for channel in channels for member in self._by_channel.get(channel, ())}
        #: The same for everybody but for what a key may see of an execution.
        encoded: dict[bool, bytes] = {}
        for member in members:
            if may_read(member.caller, change.record):
                privileged = member.caller.privileged
                if privileged not in encoded:
                    # Without the brace that closes it: some connections are told more.
                    encoded[privileged] = _encode(content(change, channels, privileged=privileged))[
                        :-1
                    ]
                member.put(b'{"type":"event","data":', encoded[privileged], _end(member, channels))


def channels_of(record: Record) -> tuple[str, ...]:
    """Return the channels on which changes of a record are told: its own kind's, then its function's."""
    kind = {Function: "functions", Deployment: "deployments", Execution: "executions"}.get(
        type(record), "variables"
    )
    own = (kind, f"{kind}.{record.id}")
    function_id = _owner(record)
    return (*own, "functions", f"functions.{function_id}") if function_id else own


def _owner(record: Record) -> str:
    """Return the function that a record belongs to, "" for a function itself and for what is the project's."""
    return str(getattr(record, "function_id", ""))


def may_read(caller: Caller, record: Record) -> bool:
    """Tell whether a caller may know of a record: keys by scope; users of their own executions."""
    if caller.kind is CallerKind.USER:
        return isinstance(record, Execution) and record.user_id == caller.user_id
    scopes: tuple[str, ...] = EXECUTIONS_READ
    if not isinstance(record, Execution):
        scopes = FUNCTIONS_READ if isinstance(record, Function) or _owner(record) else PROJECT_READ
    return caller.privileged and (caller.scopes is None or not caller.scopes.isdisjoint(scopes))


def content(change: Change, channels: tuple[str, ...], *, privileged: bool) -> dict[str, Any]:
    """Return what clients are told of a change: Appwrite's event, with what its API would answer as the payload."""
    return {
        "events": event_names.names(change.event),
        "channels": channels,
        "timestamp": format_instant(now_ms()),
        "payload": _payload(change, privileged=privileged),
    }


def _payload(change: Change, *, privileged: bool) -> Mapping[str, Any]:
    record = change.record
    if isinstance(record, Function):
        return responses.function(record, change.variables, Shape.FULL)
    if isinstance(record, Deployment):
        return responses.deployment(record, Shape.FULL)
    if not isinstance(record, Execution):
        return responses.variable(record, Shape.FULL)
    if change.result is None:
        return responses.execution(record, Shape.FULL, privileged=privileged)
    body = change.result.body.decode(errors="replace")
    return responses.execution_result(change.result, body, Shape.FULL, privileged=privileged)


def _end(member: Connection, channels: tuple[str, ...]) -> bytes:
    """Return the end of an event for one connection: which of its subscriptions it is for, when they have ids."""
    ids = [
        name
        for name, wanted in member.subscriptions.items()
        if name and not set(wanted).isdisjoint(channels)
    ]
    return b',"subscriptions":' + _encode(ids) + b"}}" if ids else b"}}"


def length(message: Message) -> int:
    """Return how many bytes a message has."""
    return sum(map(len, message))
