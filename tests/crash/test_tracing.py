"""The finder of unsynchronized writes, on logs of strace."""

from pathlib import Path

import pytest

from tests.crash.tracing import Trace

WAL = "16</data/minifn.db-wal>"
WRITE = f'7 pwrite64({WAL}, "abc"..., 24, 0) = 24'
SYNC = f"7 fdatasync({WAL}) = 0"
ANSWER = '9 write(29<socket:[1]>, "HTTP/1.1 202 Acc"..., 219'
RESUMED = "9 <... write resumed>) = 219"


@pytest.mark.parametrize(
    ("lines", "unsafe"),
    [
        ([WRITE, SYNC, f"{ANSWER}) = 219"], [set()]),
        ([WRITE, f"{ANSWER}) = 219", SYNC], [{"/data/minifn.db-wal"}]),
        # The next transaction begins before the answer, or while it is sent.
        ([WRITE, SYNC, WRITE, f"{ANSWER}) = 219"], [set()]),
        ([WRITE, SYNC, f"{ANSWER} <unfinished ...>", WRITE, RESUMED], [set()]),
        ([WRITE, f"{ANSWER} <unfinished ...>", SYNC, RESUMED], [{"/data/minifn.db-wal"}]),
    ],
)
def test_an_answer_counts_when_it_begins(
    tmp_path: Path, lines: list[str], unsafe: list[set[str]]
) -> None:
    log = tmp_path / "calls.log"
    log.write_text("\n".join((*lines, "")))
    assert Trace(log, Path("/data")).read().answers == unsafe
