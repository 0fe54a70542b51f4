"""Decides which changes reach which realtime clients, and encodes them for `realtime` to send."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from minifn import event_names
from minifn.api.subscriptions import Subscriptions
from minifn.api.wire import responses
from minifn.api.wire.formats import Shape
from minifn.api.wire.operation import EXECUTIONS_READ, FUNCTIONS_READ, PROJECT_READ
from minifn.change_feed import Change, ChangeFeed
from minifn.instants import format_instant, now_ms
from minifn.models import Caller, CallerKind, Deployment, Execution, Function, Record

#: Most messages and bytes that wait for a connection. A client that reads too slowly is closed.
WAITING_MESSAGES_MAX = 1000
WAITING_BYTES_MAX = 8 * 1024 * 1024

#: Messages longer than LONG_BYTES are sent to LONG_SENDS_MAX clients at a time, because each needs
#: copies.
LONG_BYTES = 64 * 1024
LONG_SENDS_MAX = 8

_encode = msgspec.json.encode

#: A message in pieces; connections share the longest.
Message = tuple[bytes, ...]


class Subscriber:
    """One client: its caller, its subscriptions, and the messages that wait to be sent."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.subscriptions = Subscriptions()
        #: Set once more messages waited than may.
        self.overrun = asyncio.Event()
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()

    def put(self, *message: bytes) -> None:
        """Queue a message. When too many wait, all are dropped and `overrun` is set."""
        if self.overrun.is_set():
            return
        self._waiting.append(message)
        self._waiting_bytes += length(message)
        if len(self._waiting) > WAITING_MESSAGES_MAX or self._waiting_bytes > WAITING_BYTES_MAX:
            self.overrun.set()
            self._waiting.clear()
        self._wake.set()

    async def take(self) -> Message:
        """Wait for the next message and return it."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        message = self._waiting.popleft()
        self._waiting_bytes -= length(message)
        return message


class Broadcast:
    """Turns changes into messages for the subscribers that may read them.

    Listens to the feed only while there is a subscriber, so that changes cost nothing otherwise.
    """

    def __init__(self, changes: ChangeFeed) -> None:
        self._changes = changes
        self._by_channel: dict[str, set[Subscriber]] = {}
        self._joined: dict[Subscriber, list[str]] = {}
        #: Held while a long message is sent.
        self.long = asyncio.Semaphore(LONG_SENDS_MAX)

    def join(self, subscriber: Subscriber) -> None:
        """Send a subscriber what its caller may read of its channels; guests may read nothing."""
        self.leave(subscriber)
        if subscriber.caller.kind is CallerKind.GUEST:
            return
        channels = subscriber.subscriptions.channels
        if channels and not self._joined:
            self._changes.listen(self._send)
        if channels:
            self._joined[subscriber] = channels
        for channel in channels:
            self._by_channel.setdefault(channel, set()).add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Send a subscriber nothing more."""
        channels = self._joined.pop(subscriber, None)
        if channels is None:
            return
        for channel in channels:
            self._by_channel[channel].discard(subscriber)
            if not self._by_channel[channel]:
                del self._by_channel[channel]
        if not self._joined:
            self._changes.ignore(self._send)

    def _send(self, change: Change) -> None:
        channels = channels_of(change.record)
        members = {member for channel in channels for member in self._by_channel.get(channel, ())}
        #: Whether the caller is privileged -> message; only keys see an execution's logs.
        encoded: dict[bool, bytes] = {}
        for member in members:
            if may_read(member.caller, change.record):
                privileged = member.caller.privileged
                if privileged not in encoded:
                    # Without the closing brace: `_end` may add subscriptions.
                    event = content(change, channels, privileged=privileged)
                    encoded[privileged] = _encode(event)[:-1]
                member.put(b'{"type":"event","data":', encoded[privileged], _end(member, channels))


def channels_of(record: Record) -> tuple[str, ...]:
    """Return the channels that tell of a record: those of its kind, then those of its function."""
    kind = {Function: "functions", Deployment: "deployments", Execution: "executions"}.get(
        type(record), "variables"
    )
    of_kind = (kind, f"{kind}.{record.id}")
    function_id = _owner(record)
    return (*of_kind, "functions", f"functions.{function_id}") if function_id else of_kind


def _owner(record: Record) -> str:
    """Return the id of a record's function, "" for a function and for records of the project."""
    return str(getattr(record, "function_id", ""))


def may_read(caller: Caller, record: Record) -> bool:
    """Tell whether a caller may read a record: keys by scope, users their own executions."""
    if caller.kind is CallerKind.USER:
        return isinstance(record, Execution) and record.user_id == caller.user_id
    scopes: tuple[str, ...] = EXECUTIONS_READ
    if not isinstance(record, Execution):
        scopes = FUNCTIONS_READ if isinstance(record, Function) or _owner(record) else PROJECT_READ
    function_id = record.id if isinstance(record, Function) else _owner(record)
    return (
        caller.privileged
        and (caller.scopes is None or not caller.scopes.isdisjoint(scopes))
        and caller.may_touch(function_id)
    )


def content(change: Change, channels: tuple[str, ...], *, privileged: bool) -> dict[str, Any]:
    """Return Appwrite's event of a change; its payload is the record as the API answers with it."""
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
    return responses.execution(
        record,
        Shape.FULL,
        privileged=privileged,
        body=change.result.body.decode(errors="replace"),
        headers=change.result.headers,
    )


def _end(member: Subscriber, channels: tuple[str, ...]) -> bytes:
    """Return the end of an event for one subscriber, with the ids of its subscriptions to it."""
    ids = member.subscriptions.ids_of(channels)
    return b',"subscriptions":' + _encode(ids) + b"}}" if ids else b"}}"


def length(message: Message) -> int:
    """Return a message's length in bytes."""
    return sum(map(len, message))
