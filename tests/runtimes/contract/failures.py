"""Rows about failures, the deadline, and calls at the same time."""

import asyncio
import json
import time
from collections.abc import Iterable

from minifn.workers.records import FunctionResponse
from tests.patience import patient
from tests.runtimes.contract.answers import row
from tests.runtimes.contract.table import TEXT, Answer, Call, Case, failed, shown
from tests.workers.harness import Caller

#: Variables that a process may have besides those of its worker's command: the spawner's mark, and
#: what the engine sets.
MARKS = {"MINIFN_TREE", "HOME", "PWD", "TMPDIR"}


async def environment(call: Caller) -> None:
    found = json.loads((await call("/environment")).body)
    assert found["GREETING"] == "grüße 你好 🎉"
    assert found["APPWRITE_FUNCTION_ID"] == "contract"
    assert found["OPEN_RUNTIMES_ENTRYPOINT"] == call.spec.command.env["OPEN_RUNTIMES_ENTRYPOINT"]
    added = set(found) - {name for name in call.spec.command.env if name != "MINIFN_CODE"}
    assert added <= MARKS, added


async def state(call: Caller) -> None:
    found = [json.loads((await call("/state")).body) for _ in range(3)]
    assert [one["calls"] for one in found] == [1, 2, 3]
    assert len({one["worker"] for one in found}) == 1


async def exit(call: Caller) -> None:
    first = json.loads((await call("/state")).body)
    ended = await call("/exit")
    assert (ended.status_code, ended.body, ended.headers) == (500, b"", (TEXT,)), ended
    assert (ended.failure, ended.delivered, ended.logs) == ("died", True, "called\n"), ended
    assert "exited with code 7" in ended.errors
    assert "last words" in ended.errors
    second = json.loads((await call("/state")).body)
    assert second["calls"] == 1
    assert second["worker"] != first["worker"]


async def recovers(call: Caller, path: str, says: Iterable[str], seconds: float = 20) -> None:
    """Check that a call fails, with a word about it, and that the next one is answered."""
    answer = await call(path, seconds=seconds)
    assert (answer.status_code, answer.body, answer.headers) == (500, b"", (TEXT,)), shown(answer)
    assert answer.failure in ("", "died"), shown(answer)
    assert any(text in answer.errors.lower() for text in says), shown(answer)
    assert (await call("/text")).status_code == 200


async def overflow(call: Caller) -> None:
    # The words of the languages: Python, JavaScript, Ruby, Java, PHP, Go, and those whose stack
    # ends in a signal.
    words = ("recursion", "call stack", "stack level", "stackoverflow", "stack", "memory", "signal")
    await recovers(call, "/overflow", words)


async def memory(call: Caller) -> None:
    await recovers(call, "/memory", ("memory", "heap"))


def check_timeout(answer: FunctionResponse) -> None:
    """Check an answer to a call that ran out of time after its first line of logs."""
    assert (answer.status_code, answer.body, answer.failure) == (500, b"", "timeout"), shown(answer)
    assert answer.headers == (TEXT,)
    assert (answer.logs, answer.errors) == ("begun\n", "Execution timed out.\n")


async def soft_timeout(call: Caller) -> None:
    await call("/text")
    check_timeout(await call("/never", seconds=0.3))
    assert (await call("/text")).status_code == 200


async def timeout_beside_another(call: Caller) -> None:
    await call("/text")
    other = asyncio.create_task(call("/sleep", query="0.8"))
    check_timeout(await call("/never", seconds=0.3))
    assert not other.done()
    assert (await other).status_code == 200
    assert (await call("/text")).status_code == 200


async def busy_loop(call: Caller) -> None:
    await call("/text")
    began = time.monotonic()
    check_timeout(await call("/spin", seconds=0.5))
    assert time.monotonic() - began < patient(5)
    assert (await call("/text")).status_code == 200


async def canceled(call: Caller) -> None:
    await call("/text")
    task = asyncio.create_task(call("/sleep", query="0.5"))
    await call.until(lambda: call.pool.busy == 1)
    task.cancel()
    await asyncio.wait([task])
    await call.until(lambda: call.pool.busy == 0)
    assert (await call("/text")).status_code == 200


async def fast_beside_slow(call: Caller) -> None:
    await call("/text")
    slow = asyncio.create_task(call("/sleep", query="2"))
    await call.until(lambda: call.pool.busy == 1)
    for _ in range(5):
        assert (await call("/text")).status_code == 200
    assert not slow.done()
    slow.cancel()
    await asyncio.wait([slow])


async def overlap(call: Caller) -> None:
    await call("/text")
    began = time.monotonic()
    answers = await asyncio.gather(*(call("/sleep", query="0.5") for _ in range(32)))
    assert time.monotonic() - began < patient(4, fault_seconds=32 * 0.5)
    assert {(one.status_code, one.logs) for one in answers} == {(200, "begun\n")}, answers[0]
    # All of them in one worker.
    assert len({one.body for one in answers}) == 1


async def many_callers(call: Caller) -> None:
    async def ask(number: int) -> None:
        answer = await call("/echo", query=str(number % 5), body=str(number).encode(), seconds=60)
        assert (answer.status_code, answer.body) == (200, str(number).encode()), shown(answer)
        assert answer.logs == f"first {number}\nsecond {number}\n"
        assert answer.errors == f"error {number}\n"

    await asyncio.gather(*(ask(number) for number in range(200)))


ROWS = (
    row(
        "an exception with file and line",
        "/raise",
        failed(logs="called\n", says=("went wrong",), hides=("/runtime",), at="went wrong"),
    ),
    Case(
        name="exceptions twice, then an answer",
        calls=(
            *2 * row("", "/raise", failed(logs="called\n", says=("went wrong",))).calls,
            Call("/text", Answer()),
        ),
    ),
    Case(
        name="environment", story=environment, variables={"GREETING": "grüße 你好 🎉"}, shared=False
    ),
    Case(name="module state", story=state, shared=False),
    Case(name="exit", story=exit, shared=False),
    Case(name="endless recursion", story=overflow, shared=False),
    Case(name="out of memory", story=memory, shared=False, slow=True),
    Case(name="soft timeout", story=soft_timeout, shared=False),
    Case(name="soft timeout beside another call", story=timeout_beside_another, shared=False),
    Case(name="busy loop", story=busy_loop, shared=False),
    Case(name="a canceled call frees its slot", story=canceled, shared=False),
    Case(name="a fast call overtakes a slow one", story=fast_beside_slow, shared=False),
    # Without the variable, Python runs plain handlers one at a time.
    Case(
        name="32 waiting calls overlap",
        story=overlap,
        shared=False,
        variables={"MINIFN_CONCURRENCY": "64"},
    ),
    Case(name="200 callers", story=many_callers, shared=False),
)
