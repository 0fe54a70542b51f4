"""Calls, lists and events through `SyncMinifn`: in a thread of its own, and beside an app."""

import asyncio
import os
import time
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from minifn import (
    Config,
    DataInUse,
    Execution,
    ExecutionResult,
    FunctionNotFound,
    Minifn,
    NotRunning,
    SyncMinifn,
)
from tests.embed.folders import place
from tests.serving import wait_until

ECHO = """
import json, sys


def main(context):
    context.log("asked")
    if context.req.path == "/fail":
        raise ValueError("as asked")
    told = [context.req.method, context.req.path, context.req.body_text]
    told += [context.req.headers.get(name, "") for name in ("content-type", "x-appwrite-user-id")]
    return context.res.json(told)
"""


@pytest.fixture(scope="module")
def echo(sync: SyncMinifn, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a function that tells what it was asked, and subscribes to events."""
    folder = tmp_path_factory.mktemp("echo")
    (folder / "main.py").write_text(ECHO)
    return sync.deploy("echo", folder, events=["orders.*.paid"]).id


def ended(sync: SyncMinifn, execution_id: str) -> Execution:
    """Return a queued execution once it has ended."""

    def over() -> Execution | None:
        found = {one.id: one for one in sync.executions("echo")}[execution_id]
        return found if found.status in ("completed", "failed") else None

    return wait_until(over, 30, "the execution has ended")


def test_a_call_sends_its_arguments(sync: SyncMinifn, echo: str) -> None:
    result = sync.execute(echo, json={"a": [1]}, path="/x", method="PUT", user_id="ada")
    assert result.json() == ["PUT", "/x", '{"a":[1]}', "application/json", "ada"]
    assert (result.status, result.logs, result.errors) == (200, "asked\n", "")
    assert result.execution.user_id == "ada"
    sent = sync.execute(echo, body=b"plain", headers={"Content-Type": "text/x"})
    assert sent.json() == ["POST", "/", "plain", "text/x", ""]
    typed = sync.execute(echo, json="text", headers={"Content-Type": "application/vnd.x"})
    assert typed.json()[2:4] == ['"text"', "application/vnd.x"]
    failed = sync.execute(echo, path="/fail")
    assert failed.status == 500
    assert "as asked" in failed.errors


def test_a_call_with_wrong_arguments_is_refused(sync: SyncMinifn, echo: str) -> None:
    with pytest.raises(TypeError, match="not both"):
        sync.execute(echo, body="x", json=1)
    with pytest.raises(TypeError, match="jsn"):
        sync.execute(echo, jsn=1)  # type: ignore[call-overload]
    with pytest.raises(FunctionNotFound):
        sync.execute("nothing")
    with pytest.raises(FunctionNotFound):
        list(sync.executions("nothing"))


def test_executions_run_later(sync: SyncMinifn, echo: str) -> None:
    queued = sync.execute(echo, body="later", background=True)
    assert (queued.status, queued.trigger) == ("waiting", "http")
    assert ended(sync, queued.id).status == "completed"
    planned = sync.execute(echo, at=datetime.now() + timedelta(hours=1))
    assert (planned.status, planned.trigger) == ("scheduled", "schedule")
    assert abs(planned.scheduled_at / 1000 - time.time() - 3600) < 60
    due = sync.execute(echo, at=datetime.now() + timedelta(seconds=0.1), path="/fail")
    assert ended(sync, due.id).status == "failed"


def test_executions_are_filtered_and_paged(sync: SyncMinifn, echo: str) -> None:
    """More than a page, the newest first, and those that are deleted meanwhile are no trouble."""
    since = datetime.now()
    for number in range(60):
        sync.execute(echo, path="/fail" if number % 3 == 0 else "/")
    failed = [one.id for one in sync.executions(echo, status="failed", since=since)]
    assert len(failed) == 20
    everything = sync.executions(echo, since=since, trigger="http")
    first = next(everything)
    assert len([first, *everything]) == 60
    assert next(sync.executions(echo)).id == first.id
    assert list(sync.executions(echo, since=datetime.now() + timedelta(days=1))) == []
    assert list(sync.executions(echo, trigger="schedule", status="completed")) == []
    assert len(list(sync.executions(since=since, status="failed"))) == 20


def test_events_and_lists(sync: SyncMinifn, echo: str) -> None:
    assert sync.emit("orders.7.paid", {"id": 7}) == 1
    assert sync.emit("orders.7.shipped", {"id": 7}) == 0
    wait_until(lambda: list(sync.executions(echo, trigger="event")), 30, "the event is there")
    sync.set_variables(echo, {"A": "1"})
    sync.set_variables(echo, {"A": "2"}, secret=True)
    sync.set_variables("", {"SHARED": "yes"})
    assert [(one.value, one.secret) for one in sync.variables(echo)] == [("2", True)]
    assert [one.key for one in sync.variables()] == ["SHARED"]
    assert echo in [function.id for function in sync.functions()]


def test_a_fork_is_told_that_it_cannot_call(sync: SyncMinifn, echo: str) -> None:
    """It would wait for a thread that it does not have."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            sync.execute(echo)
        except NotRunning as error:
            os.write(writing, str(error).encode())
        finally:
            sync.close()
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert f"minifn runs in process {os.getpid()}" in told.read()
    os.waitpid(child, 0)
    assert sync.execute(echo).status == 200


def test_the_first_call_starts_the_server(hello: Path) -> None:
    with place() as data:
        twin = SyncMinifn(Config(data=data, port=0), serve=True)
        try:
            url = twin.deploy("hello", hello, execute=["any"]).url
            host = {"host": url.split("/")[2]}
            port = twin.minifn.config.port
            at = f"http://127.0.0.1:{port}/"
            answer = httpx.post(at, headers=host, content="Ada", trust_env=False, timeout=30)
            assert answer.text == "Hello, Ada!\n"
            assert twin.minifn.data.address.read_text() == f"http://127.0.0.1:{port}\nminifn\n"
            with pytest.raises(DataInUse):
                SyncMinifn(Config(data=data)).start()
        finally:
            twin.close()
        twin.close()
        assert not (data / "run/address").exists()
        with pytest.raises(NotRunning):
            twin.execute("hello")
        with twin:
            assert twin.execute("hello", body="Bob").text == "Hello, Bob!\n"


def test_calls_go_to_the_loop_of_an_app(hello: Path) -> None:
    """From a thread, as a view of Django is called; the loop itself would wait for ever."""

    async def main(minifn: Minifn) -> ExecutionResult:
        twin = SyncMinifn(minifn)
        with pytest.raises(NotRunning):
            twin.execute("hello")
        async with minifn:
            await minifn.deploy("hello", hello)
            with pytest.raises(RuntimeError, match="await the method"):
                twin.execute("hello")
            result = await asyncio.to_thread(twin.execute, "hello", body="Ada")
            twin.close()
        with pytest.raises(NotRunning):
            twin.execute("hello")
        return result

    with place() as data:
        assert asyncio.run(main(Minifn(Config(data=data)))).text == "Hello, Ada!\n"
