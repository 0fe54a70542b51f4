"""The runs of schedules and intervals that are still to come."""

import heapq
import itertools
from collections.abc import Iterable, Iterator

from minifn import cron, intervals
from minifn.models import Function

#: Most runs of all functions together.
RUNS_MAX = 1000


def next_runs(expression: str, after: int) -> Iterator[int]:
    """Yield the runs of a cron expression after an instant. Raises ValueError for another text."""
    at = cron.next_run(expression, after)
    while at is not None:
        yield at
        at = cron.next_run(expression, at)


def runs_of(function: Function, after: int) -> Iterator[int]:
    """Yield the runs of a function after an instant; none when it does not recur or cannot run."""
    if not function.deployment_id:
        return
    if function.interval_minutes:
        while True:
            after = intervals.next_run(function.id, function.interval_minutes, after)
            yield after
    elif function.schedule and cron.is_valid(function.schedule):
        yield from next_runs(function.schedule, after)


def soonest(functions: Iterable[Function], after: int, until: int) -> list[tuple[int, str]]:
    """Return (instant, function id) of the runs of all functions, up to RUNS_MAX of them."""

    def named(function: Function) -> Iterator[tuple[int, str]]:
        runs = itertools.takewhile(lambda at: at <= until, runs_of(function, after))
        return ((at, function.id) for at in runs)

    return list(itertools.islice(heapq.merge(*map(named, functions)), RUNS_MAX))
