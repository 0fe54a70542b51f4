"""Runs to come are those that the scheduler would make."""

import itertools

from minifn.models import Function
from minifn.services import planned_runs
from minifn.services.planned_runs import RUNS_MAX, runs_of, soonest

HOUR = 3_600_000
DAY = 24 * HOUR
#: 2024-01-01 00:00 UTC.
NEW_YEAR = 1_704_067_200_000


def function(id: str, schedule: str = "", minutes: int = 0, deployment: str = "d") -> Function:
    return Function(
        id=id, name=id, runtime="r", schedule=schedule, interval_minutes=minutes,
        deployment_id=deployment,
    )  # fmt: skip


def test_the_soonest_runs_of_all() -> None:
    found = soonest(
        [function("a", "0 */12 * * *"), function("b", "0 6 * * *"), function("c")],
        NEW_YEAR,
        NEW_YEAR + DAY,
    )
    assert found == [
        (NEW_YEAR + 6 * HOUR, "b"), (NEW_YEAR + 12 * HOUR, "a"), (NEW_YEAR + 24 * HOUR, "a")
    ]  # fmt: skip


def test_intervals_and_functions_that_cannot_run() -> None:
    every = list(soonest([function("i", minutes=360)], NEW_YEAR, NEW_YEAR + DAY))
    assert len(every) == 4
    assert {later[0] - at[0] for at, later in itertools.pairwise(every)} == {6 * HOUR}
    assert list(runs_of(function("x", "* * * * *", deployment=""), 0)) == []
    assert list(runs_of(function("x", "not cron"), 0)) == []
    # The last of its runs within fifty years.
    assert list(runs_of(function("x", "0 0 31 2 *"), NEW_YEAR)) == []


def test_runs_have_a_limit() -> None:
    found = soonest([function(str(n), "* * * * *") for n in range(3)], NEW_YEAR, NEW_YEAR + DAY)
    assert len(found) == RUNS_MAX
    assert found == sorted(found)
    assert planned_runs.RUNS_MAX < 3 * 1440
