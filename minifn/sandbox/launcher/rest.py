"""Tells when a tree is at rest: none of its processes has run since looks found all of them.

A process that has not run has no more memory, files or children than before. The kernel counts the
processor time of a process, with all its threads, in nanoseconds, and tells it to every process.
"""

import time
from collections.abc import Collection, Iterable

#: Looks in a row that find the same processes, none of which has run. One is not enough: a process
#: can be missed while another one ends.
REST_LOOKS = 3
#: Seconds between instants at which all trees at rest are looked at all the same: others can send
#: them bytes.
REST_SECONDS = 10.0
#: CPUCLOCK_SCHED of the kernel's posix-timers.h: a process's clock of that kind is `~pid << 3 | 2`.
PROCESS_CLOCK = 2


def clock(pid: int) -> int:
    """Return the processor time of a process, nanoseconds; -1 when it is gone."""
    try:
        return time.clock_gettime_ns(~pid << 3 | PROCESS_CLOCK)
    except OSError:
        return -1


class Rest:
    """The findings of the last looks at a tree."""

    def __init__(self) -> None:
        self._clocks: dict[int, int] = {}
        self._looks = 0
        self._until = 0.0
        #: When the processes had run last, at the latest.
        self.since = 0.0

    @property
    def members(self) -> Collection[int]:
        """The processes that the last look has found."""
        return self._clocks.keys()

    def lasts(self, now: float) -> bool:
        """Tell whether no process has run since the last look, and no other look is due."""
        return (
            self._looks >= REST_LOOKS
            and now < self._until
            and all(clock(pid) == at for pid, at in self._clocks.items())
        )

    def note(self, members: Iterable[int], now: float) -> None:
        """Note the processes that a look has found, before it measures them."""
        clocks = {pid: clock(pid) for pid in members}
        if clocks != self._clocks or -1 in clocks.values():
            self._looks, self.since = 0, now
        self._clocks = clocks
        self._looks += 1
        self._until = now - now % REST_SECONDS + REST_SECONDS
