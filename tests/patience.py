"""Deadlines of tests that wait for a condition."""

import os

#: Most processes that wait for each processor, for which a deadline is made longer.
BUSY_MAX = 8.0


def patient(seconds: float) -> float:
    """Return a deadline in seconds that is meant for an idle machine, longer on a busy one.

    Where several processes wait for each processor, all of them take so many times as long. Only
    the end of waiting may depend on that, never how long something may take.
    """
    waiting = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    return seconds * min(max(waiting, 1.0), BUSY_MAX)
