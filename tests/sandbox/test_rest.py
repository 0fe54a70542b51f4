"""Trees at rest cost the launcher next to nothing, and are measured as soon as they run."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from minifn.sandbox.launcher.messages import Spawn
from minifn.sandbox.launcher.rest import REST_LOOKS, REST_SECONDS, Rest, clock
from minifn.sandbox.launcher.tree import REST_CLOSER_LOOKS, Seen, Tree
from tests.processes import killed_at_end
from tests.serving import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's processor clocks")

#: Holds as many bytes more as each line says.
HOLDS = """
import sys
held = []
for line in sys.stdin:
    held.append(b"x" * int(line))
"""
MEGABYTE = 1 << 20
FAULTLESS = Seen("", in_flight=False, shared=0)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for input, and has come to rest."""
    argv = [sys.executable, "-I", "-S", "-u", "-c", HOLDS]
    with killed_at_end(subprocess.Popen(argv, stdin=subprocess.PIPE)) as process:
        waits = f"/proc/{process.pid}/wchan"
        state = f"/proc/{process.pid}/stat"

        def rests() -> bool:
            before = clock(process.pid)
            with open(state) as file:  # noqa: PTH123
                asleep = file.read().rpartition(")")[2].split()[0] == "S"
            return asleep and os.path.exists(waits) and before == clock(process.pid) > 10**6  # noqa: PTH110

        wait_until(rests, 10, "the process waits")
        yield process


def tell(child: subprocess.Popen[bytes], count: int) -> None:
    """Have the process hold more bytes, and wait until it has begun to."""
    before = clock(child.pid)
    assert child.stdin is not None
    child.stdin.write(b"%d\n" % count)
    child.stdin.flush()
    wait_until(lambda: clock(child.pid) > before, 10, "the process runs")


def tree_of(pid: int, now: float = 1000.0) -> Tree:
    """Return a tree of at most 64 MB."""
    spawn: Spawn = {
        "op": "spawn",
        "id": 1,
        "argv": [],
        "env": {},
        "cwd": "/",
        "uid": 0,
        "descriptors": 0,
        "data": [],
        "confine": None,
        "namespaced": False,
        "cookie": "",
        "tmp": "",
        "tmp_inside": "",
        "private_paths": [],
        "tmp_bytes": 0,
        "memory_bytes": 64 * MEGABYTE,
        "processes": 8,
        "cpus": 0,
        "nice": 0,
        "oom_score_adj": 0,
    }
    return Tree(spawn, pid, now)


def test_a_process_rests_until_it_runs(child: subprocess.Popen[bytes]) -> None:
    rest, now = Rest(), 100.0
    for _ in range(REST_LOOKS):
        assert not rest.lasts(now)
        rest.note([child.pid], now)
    assert rest.lasts(now)
    assert rest.since == now
    # A look is due all the same now and then.
    assert not rest.lasts(now + REST_SECONDS)
    tell(child, 1)
    assert not rest.lasts(now)
    rest.note([child.pid], now + 1)
    assert rest.since == now + 1


def test_a_further_process_ends_the_rest(child: subprocess.Popen[bytes]) -> None:
    rest = Rest()
    for _ in range(REST_LOOKS):
        rest.note([child.pid], 1.0)
    rest.note([child.pid, os.getpid()], 2.0)
    assert not rest.lasts(2.0)


def test_a_process_that_is_gone_never_rests(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    assert clock(child.pid) == -1
    rest = Rest()
    for _ in range(2 * REST_LOOKS):
        rest.note([child.pid], 1.0)
        assert not rest.lasts(1.0)


@pytest.mark.parametrize("fast", [True, False])
def test_a_tree_is_measured_once_it_runs(child: subprocess.Popen[bytes], fast: bool) -> None:
    tree, now = tree_of(child.pid), 1000.0
    tree.watch(fast, now)
    for _ in range(2 * REST_LOOKS):
        assert tree.check(now, 1) == ""
    measured = list[str]()
    look = tree._look
    tree._look = lambda now: measured.append(look(now)) or measured[-1]  # type: ignore[method-assign, func-returns-value]
    assert tree.check(now, 1) == ""
    assert measured == []
    tell(child, 100 * MEGABYTE)
    wait_until(lambda: tree.check(now, 1) == "memory limit exceeded (64 MB)", 10, "the reason")
    assert measured[-1]


def test_idle_trees_are_looked_at_together(child: subprocess.Popen[bytes]) -> None:
    due = set()
    for start in (1000.1, 1000.5, 1000.9):
        tree = tree_of(child.pid)
        tree.watch(False, start)
        tree.check(start, 1)
        due.add(tree.check_at)
    assert due == {1001.0}


def test_closer_looks_pause_only_after_two_at_rest(child: subprocess.Popen[bytes]) -> None:
    tree, now = tree_of(child.pid), 1000.0
    while tree.expose_looks > 0 or not tree._rest.lasts(now):
        tree.check(now, 1)
    for _ in range(REST_CLOSER_LOOKS):
        now += 2
        assert tree.wants_closer(now)
        tree.closer_began = now
        tree.looked_closer(FAULTLESS, 0.0, now + 0.1)
    assert not tree.wants_closer(now + 2)
    # The next one is due with those of all others.
    assert tree.wants_closer(1010.0)
    tell(child, 1)
    assert tree.wants_closer(now + 2)
    # One that began before the rest says nothing about it.
    tree.looked_closer(FAULTLESS, 0.0, now + 2)
    wait_until(lambda: tree.check(now + 3, 1) == "" and tree._rests(now + 3), 10, "rest")
    assert tree.wants_closer(now + 5)
