"""Events through the whole service: their subscribers and payloads, and that none is lost."""

import asyncio
import json
import logging
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from minifn.config import Config
from minifn.embed import Minifn
from minifn.errors import ArgumentInvalid, Overloaded
from minifn.models import Execution, ExecutionRequest, Function
from minifn.services.events import DEPTH_MAX
from minifn.services.functions import FunctionSettings
from minifn.store import executions, functions
from minifn.store.queries import Query
from tests.patience import patient
from tests.services.test_executions import deploy

TELL = """
def main(context):
    context.log(context.req.body_text)
    headers = context.req.headers
    context.log("event", headers["x-appwrite-event"], "user", headers["x-appwrite-user-id"])
    context.log(context.req.method, context.req.path, context.req.headers["x-appwrite-trigger"])
    return context.res.empty()
"""
EVENT = "orders.42.create"


def config(root: Path, **settings: Any) -> Config:
    return Config(data=root / "data", sandbox="none", **settings)


async def listening(minifn: Minifn, function_id: str, *events: str, name: str = "") -> None:
    """Create a function without code that subscribes to events."""
    settings = FunctionSettings(
        name=name or function_id, runtime="python-3.11", entrypoint="main.py", events=events
    )
    await minifn.functions.create(function_id, settings)


async def stored(minifn: Minifn, function_id: str) -> tuple[Execution, ...]:
    page = await minifn.database.read(executions.page, function_id, Query())
    return page.items


async def ended(
    minifn: Minifn, function_id: str, count: int, seconds: float = 20
) -> tuple[Execution, ...]:
    """Return a function's executions once `count` of them are over."""
    deadline = time.monotonic() + patient(seconds)
    while True:
        found = await stored(minifn, function_id)
        if sum(item.status in ("completed", "failed") for item in found) >= count:
            return found
        assert time.monotonic() < deadline, [item.status for item in found]
        await asyncio.sleep(0.01)


def test_a_function_is_called_with_the_event_it_subscribes_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Minifn(config(tmp_path)) as minifn:
            await deploy(minifn, TELL, events=("orders.*.create",))
            assert await minifn.emit(EVENT, {"id": 42, "name": "Ä"}, user_id="ada") == 1
            (execution,) = await ended(minifn, "hello", 1)
            assert execution.status == "completed", execution.errors
            assert (execution.trigger, execution.request_method, execution.request_path) == (
                "event",
                "POST",
                "/",
            )
            assert execution.user_id == "", (
                "who caused an event may not read what a function made of it"
            )
            body, event, request = execution.logs.splitlines()
            assert json.loads(body) == {"id": 42, "name": "Ä"}
            assert event == f"event {EVENT} user ada"
            assert request == "POST / event"

    asyncio.run(scenario())


def test_every_name_of_an_event_reaches_a_function_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Minifn(config(tmp_path)) as minifn:
            await listening(minifn, "all", EVENT, "orders.*.create", "orders.42.create")
            await listening(minifn, "other", "orders.43.create", "orders.*.delete", "users.*")
            await listening(minifn, "users", "users.*.sessions.*.create", "users.7")
            assert await minifn.emit(EVENT, {}) == 1
            assert await minifn.emit("users.7.sessions.1.create", b"{}") == 2
            assert await minifn.emit("orders.1.update", {}) == 0
            assert len(await stored(minifn, "all")) == 1

    asyncio.run(scenario())


def test_functions_are_called_in_the_order_of_their_names(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Minifn(config(tmp_path)) as minifn:
            for function_id, name in (("one", "c"), ("two", "a"), ("three", "b")):
                await listening(minifn, function_id, EVENT, name=name)
            order = []
            minifn.changes.listen(lambda change: order.append(change.record))
            await minifn.emit(EVENT, {})
            created = [record.function_id for record in order if isinstance(record, Execution)][:3]
            assert created == ["two", "three", "one"]

    asyncio.run(scenario())


def test_subscribers_are_known_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Minifn(config(tmp_path)) as minifn:
            assert await minifn.emit(EVENT, {}) == 0
            await listening(minifn, "late", EVENT)
            assert await minifn.emit(EVENT, {}) == 1
            await minifn.functions.update(
                "late", FunctionSettings(name="late", events=("carts.*.create",))
            )
            assert await minifn.emit(EVENT, {}) == 0
            assert await minifn.emit("carts.1.create", {}) == 1
            await minifn.functions.delete("late")
            assert await minifn.emit("carts.1.create", {}) == 0

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "event", ["", "orders", "orders.*.create", "users.1.explode", "functions.f.update", "a b.1.c"]
)
def test_names_that_no_event_has(tmp_path: Path, event: str) -> None:
    async def scenario() -> None:
        async with Minifn(config(tmp_path)) as minifn:
            with pytest.raises(ArgumentInvalid):
                await minifn.emit(event, {})

    asyncio.run(scenario())


def test_accepted_events_outlive_the_server(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Minifn(config(tmp_path)) as minifn:
            await deploy(minifn, TELL, events=("orders.*.create",))
            # Nothing is claimed any more, as in the moment before a crash.
            await minifn.executions.halt()
            assert await minifn.emit(EVENT, {"id": 1}) == 1
        async with Minifn(config(tmp_path)) as minifn:
            (execution,) = await ended(minifn, "hello", 1)
            assert execution.status == "completed"
            assert execution.logs.startswith('{"id":1}\n')

    asyncio.run(scenario())


def test_a_loop_ends_and_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with Minifn(config(tmp_path)) as minifn:
            await listening(minifn, "loop", EVENT)
            assert await minifn.events.emit(EVENT, {}, depth=DEPTH_MAX - 1) == 1
            assert await minifn.events.emit(EVENT, {}, depth=DEPTH_MAX) == 0
            cut, _ = sorted(
                await ended(minifn, "loop", 2), key=lambda item: item.sequence, reverse=True
            )
            assert cut.status == "failed"
            assert EVENT in cut.errors
            assert f"{DEPTH_MAX} executions caused by events" in cut.errors

    with caplog.at_level(logging.WARNING, "minifn.services.events"):
        asyncio.run(scenario())
    assert "function loop was not run" in caplog.text


@pytest.mark.parametrize("events", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_storm_loses_nothing_and_holds_no_write_up(events: int, tmp_path: Path) -> None:
    subscribers = 20

    async def scenario() -> None:
        async with Minifn(config(tmp_path, queue_limit=events * subscribers)) as minifn:
            for number in range(subscribers):
                await listening(minifn, f"fn-{number}", "orders.*.create")
            # Queued executions stay, to be counted.
            await minifn.executions.halt()
            storm = [
                asyncio.create_task(minifn.emit(f"orders.{number}.create", {}))
                for number in range(events)
            ]
            writes = 0
            while not all(task.done() for task in storm):
                await minifn.database.write(lambda conn: conn.execute("SELECT 1").fetchone())
                writes += 1
            assert [task.result() for task in storm] == [subscribers] * events
            # Other writes come between those of the storm, not after it.
            assert writes > events / 200
            total = await minifn.database.read(
                lambda conn: conn.execute("SELECT count(*) FROM execution_requests").fetchone()
            )
            assert total == (events * subscribers,)

    asyncio.run(scenario())


def test_a_function_without_room_keeps_no_event_from_the_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Minifn(config(tmp_path, queue_limit=8)) as minifn:
            for name in ("crowded", "other"):
                await listening(minifn, name, "orders.*.create")
            # Queued executions stay.
            await minifn.executions.halt()
            (crowded,) = [
                one
                for one in await minifn.database.read(functions.listening)
                if one.id == "crowded"
            ]
            for _ in range(2):
                await minifn.executions.enqueue(crowded, ExecutionRequest())
            assert await minifn.emit("orders.1.create", {}) == 1
            assert await minifn.emit("orders.2.create", {}) == 1
            found = await ended(minifn, "crowded", 2)
            assert sum("not delivered: as many executions" in item.errors for item in found) == 2
            # None has room: it is refused as a whole, and nothing is recorded.
            with pytest.raises(Overloaded):
                await minifn.emit("orders.3.create", {})
            rows = await minifn.database.read(
                lambda conn: conn.execute("SELECT count(*) FROM executions").fetchone()
            )
            assert rows == (6,)

    asyncio.run(scenario())


def test_subscribers_are_read_once_for_all_waiting_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[sqlite3.Connection] = []
    listed = functions.listening

    def counted(conn: sqlite3.Connection) -> list[Function]:
        reads.append(conn)
        return listed(conn)

    async def scenario() -> None:
        async with Minifn(config(tmp_path)) as minifn:
            await listening(minifn, "fn", "orders.*.create")
            storm = [minifn.emit(f"orders.{number}.create", {}) for number in range(50)]
            assert await asyncio.gather(*storm) == [1] * 50

    monkeypatch.setattr(functions, "listening", counted)
    asyncio.run(scenario())
    assert len(reads) == 1


def test_a_functions_own_events_know_how_deep_they_are(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Minifn(config(tmp_path)) as minifn:
            key = minifn.tokens.mint_key(("events.write",), 60, depth=3)
            assert minifn.tokens.verify_key(key).depth == 3
            assert (
                minifn.tokens.verify_key(minifn.tokens.mint_key(("events.write",), 60)).depth == 0
            )

    asyncio.run(scenario())
