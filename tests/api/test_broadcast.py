"""Messages that wait for realtime clients, and the parts that each caller may read."""

import asyncio
import json
from typing import Any

import pytest

from minifn.api.access.callers import ADMIN, GUEST, user_caller
from minifn.api.broadcast import WAITING_BYTES_MAX, WAITING_MESSAGES_MAX, Broadcast, Subscriber
from minifn.change_feed import ChangeFeed
from minifn.models import Execution
from minifn.tokens import UserClaims


def test_waiting_messages_are_bounded() -> None:
    changes = ChangeFeed()
    broadcast = Broadcast(changes)
    slow = Subscriber(ADMIN)
    slow.subscriptions.from_url(["executions"])
    broadcast.join(slow)
    for _ in range(WAITING_MESSAGES_MAX):
        changes.tell("create", Execution(id="e", function_id="f"))
    assert not slow.overrun.is_set()
    changes.tell("create", Execution(id="e", function_id="f"))
    assert slow.overrun.is_set()


def test_waiting_bytes_are_bounded() -> None:
    connection = Subscriber(GUEST)
    connection.put(b"x" * WAITING_BYTES_MAX)
    assert not connection.overrun.is_set()
    connection.put(b"x")
    assert connection.overrun.is_set()


def test_an_event_shows_logs_to_keys_alone() -> None:
    changes = ChangeFeed()
    broadcast = Broadcast(changes)
    ada = user_caller(UserClaims(user_id="ada", exp=0), session=False)
    connections = [Subscriber(caller) for caller in (ADMIN, ada, GUEST)]
    for connection in connections:
        connection.subscriptions.from_url(["executions", "executions.e"])
        broadcast.join(connection)
    changes.tell("create", Execution(id="e", function_id="f", user_id="ada", logs="private"))

    async def first(subscriber: Subscriber) -> Any:
        return json.loads(b"".join(await asyncio.wait_for(subscriber.take(), 0.1)))

    assert asyncio.run(first(connections[0]))["data"]["payload"]["logs"] == "private"
    assert asyncio.run(first(connections[1]))["data"]["payload"]["logs"] == ""
    with pytest.raises(TimeoutError):
        asyncio.run(first(connections[2]))
