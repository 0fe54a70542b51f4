"""An orderly stop under load: callers get their answers, queued executions run after the start."""

import asyncio
import resource
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from minifn.config import Config
from minifn.embed import Minifn
from minifn.models import ExecutionRequest
from minifn.server import ANSWER_SECONDS, GRACE_SECONDS
from minifn.store import executions
from tests.api.event_reader import reading
from tests.crash.invariants import check_database, check_files, gone, relatives
from tests.crash.pressure import FUNCTION, prepare
from tests.patience import patient
from tests.services.test_executions import deploy, finished, until
from tests.serving import Server, pack, wait_until


def test_sigterm_answers_running_executions_and_keeps_waiting_ones(data: Path) -> None:
    server = Server(data).start()
    answers: list[Any] = []

    def execute() -> None:
        with server.api as api:
            answers.append(
                api.execute(FUNCTION, path=f"/?seconds=1.5&tell={listener.getsockname()[1]}")
            )

    with socket.create_server(("127.0.0.1", 0)) as listener, server.api as api:
        prepare(api)
        callers = [threading.Thread(target=execute) for _ in range(20)]
        for caller in callers:
            caller.start()
        queued = [api.enqueue(FUNCTION, path="/?seconds=1")["$id"] for _ in range(24)]
        path = f"/functions/{FUNCTION}/executions/{queued[0]}"
        wait_until(
            lambda: api.call("GET", path, 200)["status"] == "processing", 10, "the queue moves"
        )
        listener.settimeout(10)
        for _ in callers:
            listener.accept()[0].close()
    before = relatives(server)
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < patient(8, fault_seconds=GRACE_SECONDS)
    for caller in callers:
        caller.join()
    assert [answer["status"] for answer in answers] == ["completed"] * 20
    gone(before, server, seconds=2)
    check_database(data)
    with server, server.api as api:
        assert {api.finished(FUNCTION, execution_id)["status"] for execution_id in queued} == {
            "completed"
        }
        stored = {
            row["$id"] for row in api.pages(f"/functions/{FUNCTION}/executions", "executions")
        }
        assert {answer["$id"] for answer in answers} <= stored
    check_files(data)


SLOW = """
import time

def main(context):
    time.sleep(float(context.req.query.get("seconds", "0")))
    return context.res.text("done")
"""


def test_when_the_grace_is_over_sync_executions_fail_and_queued_ones_go_back(data: Path) -> None:
    async def main() -> None:
        async with Minifn(Config(data=data, async_concurrency=1)) as minifn:
            await deploy(minifn, SLOW, timeout_seconds=15)
            target = await minifn.executions.ready("hello")
            running = asyncio.create_task(
                minifn.executions.execute(target, ExecutionRequest(path="/?seconds=14"))
            )
            queued = [
                await minifn.executions.enqueue(
                    target.function, ExecutionRequest(path="/?seconds=1.2")
                )
            ]
            queued += [
                await minifn.executions.enqueue(target.function, ExecutionRequest())
                for _ in range(3)
            ]

            async def both_run() -> bool:
                return minifn.pool.busy == 2

            await until(both_run)
            await minifn.executions.halt()
            async with asyncio.timeout(2):
                result = await running
            assert result.execution.status == "failed"
            assert result.execution.errors
            assert await minifn.database.read(executions.get, "hello", result.execution.id)
            async with asyncio.timeout(2):
                late = await minifn.executions.execute(target, ExecutionRequest())
            assert late.execution.errors == "The server is stopping.\n"
            for execution in queued:
                found = await minifn.database.read(executions.get, "hello", execution.id)
                assert found is not None
                assert found.status in ("waiting", "processing")
        async with Minifn(Config(data=data)) as minifn:
            assert [(await finished(minifn, execution.id)).status for execution in queued] == [
                "completed"
            ] * 4

    asyncio.run(main())


def test_streams_end_and_do_not_hold_the_stop_up(data: Path) -> None:
    """Of the readers one reads, one does not read what waits, and one reads nothing at all."""
    server = Server(data).start()
    with server.api as api, ExitStack() as clients:
        api.create("loud", api.runtime("python"), entrypoint="main.py")
        api.deploy("loud", pack(extra={"main.py": LOUD}))
        asks = f"GET /v1/minifn/logs HTTP/1.1\r\nHost: x\r\nX-Appwrite-Key: {server.key}\r\n\r\n"
        stuck = [
            clients.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
            for _ in range(2)
        ]
        for client in stuck:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(asks.encode())
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
        with reading(api.http, "/minifn/logs") as reader:
            api.enqueue("loud")
            assert reader.next("end")[1]["status"] == "completed"
            began = time.monotonic()
            server.process.terminate()
            assert reader.rest() == []
        assert server.ended(20) == 0
        assert time.monotonic() - began < patient(9, fault_seconds=GRACE_SECONDS + ANSWER_SECONDS)
        assert "without completing" not in server.log_tail()


LOUD = b"""
import time

def main(context):
    for number in range(3000):
        context.log("x" * 7000)
        if number % 100 == 0:
            # A reader of Python keeps up.
            time.sleep(0.05)
    return context.res.empty()
"""


def test_a_server_that_gets_no_more_threads_stops_in_order(data: Path) -> None:
    """Functions may use up the memory or the processes that its supervisor allows."""
    with Server(data) as server, server.api as api:
        prepare(api)
        assert api.execute(FUNCTION)["status"] == "completed"
        taken = psutil.Process(server.process.pid).memory_info().vms
        resource.prlimit(server.process.pid, resource.RLIMIT_AS, (taken, resource.RLIM_INFINITY))
        assert server.stop() == 0
