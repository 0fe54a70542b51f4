"""Children that look closer at trees, which takes too long for a process that starts others."""

import functools
import json
import math
import os
import resource
import select
import signal
import time
from collections.abc import Collection, Iterable, Iterator
from typing import NoReturn

from . import confine, proc
from .sockets import Queues
from .start import errand
from .tree import Seen, Tree

#: Trees that took more seconds of a core than this are looked at apart: none waits for them.
LONG_SECONDS = 0.05
#: Seconds of a core that a child has, seconds more in which it may say that they were not enough,
#: and how far it stands behind the launcher in line for a core.
CHILD_SECONDS, LAST_SECONDS, CHILD_NICE = 30, 2, 5
#: Seconds after which a value begins to be forgotten.
FLOOR_SECONDS = 10.0


class TooLong(Exception):
    """A child has used its time."""


class Floor:
    """The least of the values of the last seconds."""

    def __init__(self) -> None:
        self._now = self._before = 0
        self._until = -math.inf

    @property
    def value(self) -> int:
        """The least of them, 0 before the first."""
        return min(self._now, self._before)

    def add(self, value: int, now: float) -> None:
        """Take in a value."""
        if now < self._until:
            self._now = min(self._now, value)
            return
        self._before = value if self._until == -math.inf else self._now
        self._now, self._until = value, now + FLOOR_SECONDS


class Closer:
    """The children that look at present."""

    def __init__(self, poll: select.poll) -> None:
        """`poll` is told which descriptors to wait for: `running` says which those are."""
        self._poll = poll
        self.running: dict[int, dict[int, Tree]] = {}
        self._unfinished: dict[int, bytes] = {}
        self._children: dict[int, int] = {}
        #: Shared memory of the machine that is no tree's, and that with what the trees have, bytes.
        self._floor = Floor()
        self._shared = 0

    def stop(self) -> None:
        """End the children."""
        for pid in filter(None, self._children.values()):
            proc.send_signal(pid, signal.SIGKILL)

    def look(self, trees: Iterable[Tree], everyone: Collection[Tree], now: float) -> set[int]:
        """Start to look at some trees of all; return the pids of the children that do it."""
        shared = sum(item.seen.shared for item in everyone)
        if not any(item.seen.in_flight for item in everyone):
            self._floor.add(proc.machine().get(b"Shmem", 0) - shared, now)
        self._shared = shared + self._floor.value
        short: list[Tree] = []
        groups = [short]
        for item in trees:
            if item.closer_cost > LONG_SECONDS:
                groups.append([item])
            else:
                short.append(item)
        return {self._start(group) for group in groups if group} - {0}

    def _start(self, trees: list[Tree]) -> int:
        read, write = os.pipe()
        child = errand(functools.partial(_answer, trees, self._shared, write))
        if not child:
            # Too many processes, which may be why it is to be looked at.
            _report(trees, self._shared, write)
        os.close(write)
        self.running[read] = {item.id: item for item in trees}
        self._unfinished[read] = b""
        self._children[read] = child
        self._poll.register(read, select.POLLIN)
        for item in trees:
            item.looked_at = True
        return child

    def receive(self, descriptor: int, now: float) -> Iterator[tuple[Tree, str]]:
        """Yield the trees that a child has looked at, and why they must be killed, or ""."""
        trees = self.running[descriptor]
        data = os.read(descriptor, 65536)
        *lines, self._unfinished[descriptor] = (self._unfinished[descriptor] + data).split(b"\n")
        for line in lines:
            number, cost, seen = json.loads(line)
            item = trees.pop(number)
            yield item, item.looked_closer(seen and Seen(*seen), cost, now)
        if data:
            return
        self._poll.unregister(descriptor)
        os.close(descriptor)
        del self.running[descriptor], self._unfinished[descriptor], self._children[descriptor]
        for item in trees.values():
            # One of them took too long: from now on each has a child of its own.
            item.looked_at, item.closer_cost = False, 2 * LONG_SECONDS


def _answer(trees: Iterable[Tree], shared: int, write: int) -> None:
    confine.die_with_parent()
    signal.signal(signal.SIGXCPU, _give_up)
    resource.setrlimit(resource.RLIMIT_CPU, (CHILD_SECONDS, CHILD_SECONDS + LAST_SECONDS))
    os.nice(CHILD_NICE)
    _report(trees, shared, write)


def _give_up(*_: object) -> NoReturn:
    raise TooLong


def _report(trees: Iterable[Tree], shared: int, write: int) -> None:
    """Write a line for each tree: its number, the seconds of a core it took, what was seen."""
    queues = Queues()
    for item in trees:
        began = time.process_time()
        try:
            seen: Seen | None = item.look_closer(queues, shared - item.seen.shared)
        except TooLong:
            seen = None
        answer = [item.id, time.process_time() - began, seen]
        os.write(write, json.dumps(answer).encode() + b"\n")
        if seen is None:
            return
