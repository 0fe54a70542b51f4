"""Children that look closer at trees: that takes too long for the process that starts commands."""

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

#: Seconds of CPU time above which a tree gets a child of its own, so that no other waits for it.
LONG_SECONDS = 0.05
#: Seconds of CPU time of a child, and more seconds for the report that those did not suffice.
CHILD_SECONDS, LAST_SECONDS = 30, 2
#: Niceness of a child, added to the launcher's.
CHILD_NICE = 5
#: Seconds after which a value begins to be forgotten.
FLOOR_SECONDS = 10.0


class TooLong(Exception):
    """A child has used up its CPU time."""


class Floor:
    """The smallest value of the last seconds."""

    def __init__(self) -> None:
        self._now = self._before = 0
        self._until = -math.inf

    @property
    def value(self) -> int:
        """The smallest value, 0 before the first."""
        return min(self._now, self._before)

    def add(self, value: int, now: float) -> None:
        """Note a value."""
        if now < self._until:
            self._now = min(self._now, value)
            return
        self._before = value if self._until == -math.inf else self._now
        self._now, self._until = value, now + FLOOR_SECONDS


class Closer:
    """Starts the children and collects their answers."""

    def __init__(self, poll: select.poll) -> None:
        """`poll` waits for the descriptors in `running`."""
        self._poll = poll
        #: The trees that a child still looks at, by its descriptor and by their number.
        self.running: dict[int, dict[int, Tree]] = {}
        self._unfinished: dict[int, bytes] = {}
        self._children: dict[int, int] = {}
        #: Shared memory of the machine outside all trees, bytes.
        self._floor = Floor()
        #: Shared memory of the machine, with that of the trees, bytes.
        self._shared = 0

    def stop(self) -> None:
        """End the children."""
        for pid in filter(None, self._children.values()):
            proc.send_signal(pid, signal.SIGKILL)

    def look(self, trees: Iterable[Tree], all_trees: Collection[Tree], now: float) -> set[int]:
        """Start children that look at `trees`, some of all; return their pids."""
        shared = sum(item.seen.shared for item in all_trees)
        if not any(item.seen.in_flight for item in all_trees):
            self._floor.add(proc.machine().get(b"Shmem", 0) - shared, now)
        self._shared = shared + self._floor.value
        short: list[Tree] = []
        groups = [short]
        for item in trees:
            if item.closer_cost > LONG_SECONDS:
                groups.append([item])
            else:
                short.append(item)
        return {self._start(group, now) for group in groups if group} - {0}

    def _start(self, trees: list[Tree], now: float) -> int:
        read, write = os.pipe()
        child = errand(functools.partial(_answer, trees, self._shared, write))
        if not child:
            # There are too many processes, perhaps those of these trees.
            _report(trees, self._shared, write)
        os.close(write)
        self.running[read] = {item.id: item for item in trees}
        self._unfinished[read] = b""
        self._children[read] = child
        self._poll.register(read, select.POLLIN)
        for item in trees:
            item.looked_at, item.closer_began = True, now
        return child

    def receive(self, descriptor: int, now: float) -> Iterator[tuple[Tree, str]]:
        """Yield the trees that a child has looked at, with the reason to kill them, or ""."""
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
            # One of them took too long, so each gets a child of its own from now on.
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
    """Write a line for each tree: its number, the CPU seconds, the result."""
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
