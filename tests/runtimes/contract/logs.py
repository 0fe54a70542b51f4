"""Rows about logs and printed output."""

import asyncio

from minifn.workers.records import LOG_LIMIT_BYTES
from tests.runtimes.contract.answers import row
from tests.runtimes.contract.table import NOTICE, Answer, Case, failed, shown
from tests.workers.harness import Caller

CUT = "... Log truncated due to size limit (8000 characters)"
#: The logs of `/log-native`.
NATIVE = f"before\n{NOTICE}\nprinted 1\nprinted 2\nafter\n"


async def flood(call: Caller) -> None:
    answer = await call("/log-flood")
    assert answer.status_code == 204
    assert answer.logs.endswith("\nLog file has been truncated to 5.00MB.\n")
    assert LOG_LIMIT_BYTES < len(answer.logs) < LOG_LIMIT_BYTES + 100


async def endless_flood(call: Caller) -> None:
    answer = await call("/log-endless", seconds=3)
    assert answer.status_code == 500
    # A language that cannot send in a loop that never yields meets its deadline, or the limit of
    # its memory, first.
    if answer.failure != "timeout":
        assert answer.failure == "died", shown(answer)
        texts = ("logged more than 64 MB", "memory", "bad_alloc")
        assert any(text in answer.errors for text in texts), shown(answer)
    assert (await call("/text")).status_code == 200


async def late(call: Caller) -> None:
    answer = await call("/log-late")
    assert (answer.status_code, answer.logs) == (204, ""), shown(answer)
    await asyncio.sleep(0.05)
    following = await call("/log-order")
    assert "late" not in following.logs


async def off(call: Caller) -> None:
    for path in ("/log-values", "/log-native"):
        answer = await call(path, logging=False)
        assert (answer.status_code, answer.logs, answer.errors) == (204, "", ""), shown(answer)


ROWS = (
    row(
        "values in logs",
        "/log-values",
        Answer(
            status=204,
            logs='text 1 [1,{"a":"b"}] true\n\n',
            errors='broken {"code":5}\n',
        ),
    ),
    row(
        "order of logs",
        "/log-order",
        Answer(
            status=204,
            logs="".join(f"log {number}\n" for number in range(100)),
            errors="".join(f"error {number}\n" for number in range(100)),
        ),
    ),
    row("printed output and its notice", "/log-native", Answer(status=204, logs=NATIVE)),
    Case(
        name="the notice comes with each call",
        calls=2 * row("", "/log-native", Answer(status=204, logs=NATIVE)).calls,
    ),
    row(
        "printed output before an exception",
        "/native-raise",
        failed(logs=f"{NOTICE}\nprinted\n", says=("went wrong",)),
    ),
    row(
        "8000 characters a line",
        "/log-long",
        Answer(status=204, logs=f"{'x' * 8000}\n{'y' * 8000}{CUT}\n"),
    ),
    Case(name="logging off", story=off),
    Case(name="five megabytes of logs", story=flood),
    Case(name="an endless flood ends the worker", story=endless_flood, shared=False, slow=True),
    Case(name="nothing after the answer", story=late),
)
