"""The overview counts each execution once, in its minute and hour."""

import sqlite3

import pytest

from minifn.ids import new_id
from minifn.models import Deployment, Execution, ExecutionStatus, Function
from minifn.store import deployments, executions, functions, usage
from minifn.store.overview import SAMPLE_OF_FUNCTION, Overview, overview
from minifn.store.usage import HOUR_MS, MINUTE_MS
from tests.store.filling import fill

NOW = 480_000 * HOUR_MS + 30 * MINUTE_MS


def ran(
    conn: sqlite3.Connection,
    at: int,
    status: ExecutionStatus = "completed",
    seconds: float = 0.5,
    function_id: str = "fn",
    errors: str = "",
) -> None:
    execution = Execution(
        id=new_id(),
        created_at=at,
        updated_at=at,
        function_id=function_id,
        status=status,
        duration_seconds=seconds,
        response_status_code=500 if status == "failed" else 200,
        errors=errors,
    )
    executions.insert(conn, execution)


def one(conn: sqlite3.Connection, hours: int) -> Overview:
    while usage.count_next(conn, 7):
        pass
    return overview(conn, ("fn",), hours, NOW)[0]


def test_an_hour_by_the_minute(conn: sqlite3.Connection) -> None:
    ran(conn, NOW - 61 * MINUTE_MS)
    ran(conn, NOW - 59 * MINUTE_MS)
    ran(conn, NOW, "failed")
    ran(conn, NOW)
    ran(conn, NOW, "waiting")
    series = one(conn, 1).series
    assert len(series) == 60
    assert (series[0], series[-1]) == ((1, 0), (2, 1))
    assert sum(calls for calls, _ in series) == 3


def test_a_day_by_the_hour(conn: sqlite3.Connection) -> None:
    ran(conn, NOW - 24 * HOUR_MS)
    ran(conn, NOW - 23 * HOUR_MS, "failed")
    ran(conn, NOW)
    series = one(conn, 24).series
    assert (series[0], series[-1]) == ((1, 1), (1, 0))
    assert sum(calls for calls, _ in series) == 2


def test_minutes_are_kept_for_two_hours(conn: sqlite3.Connection) -> None:
    for ago in range(200, -1, -1):
        ran(conn, NOW - ago * MINUTE_MS)
    assert one(conn, 1).series == ((1, 0),) * 60
    rows = conn.execute("SELECT count(*), min(minute) FROM usage_minutes").fetchone()
    assert rows == (usage.MINUTES_KEPT, NOW // MINUTE_MS - usage.MINUTES_KEPT + 1)


def test_a_late_end_is_counted_in_its_minute(conn: sqlite3.Connection) -> None:
    ran(conn, NOW, "processing")
    assert one(conn, 1).series[-1] == (0, 0)
    conn.execute("UPDATE executions SET status = 'failed'")
    usage.count_late(conn, 1)
    assert one(conn, 1).series[-1] == (1, 1)
    assert one(conn, 24).series[-1] == (1, 1)


@pytest.mark.parametrize("filled", [0, 5])
def test_the_last_error(conn: sqlite3.Connection, filled: int) -> None:
    for number in range(6):
        ran(conn, NOW - 10 + number, "failed" if number < 4 else "completed", errors=f"e{number}")
    assert filled == 0 or fill(conn, filled)
    found = one(conn, 24)
    assert (found.last_error, found.last_error_at) == ("e3", NOW - 7)
    ran(conn, NOW, "failed")
    assert one(conn, 24).last_error == "The function answered 500."


@pytest.mark.parametrize("filled", [0, 15, 30])
def test_seldom_called_functions_have_a_sample_of_their_own(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, filled: int
) -> None:
    monkeypatch.setattr("minifn.store.overview.SAMPLE_ROWS", 10)
    functions.insert(conn, Function(id="busy", name="Busy", runtime="r"))
    for number in range(SAMPLE_OF_FUNCTION + 5):
        ran(conn, NOW, seconds=float(number))
    ran(conn, NOW - 25 * HOUR_MS, seconds=100)
    for _ in range(10):
        ran(conn, NOW, function_id="busy", seconds=2)
    assert filled == 0 or fill(conn, filled)
    # The newest of its own, without the one that ended before.
    assert one(conn, 24).durations == tuple(float(number) for number in range(6, 25))
    assert overview(conn, (), 24, NOW)[1].durations == (2.0,) * 10


def test_the_log_of_a_failed_build(conn: sqlite3.Connection) -> None:
    assert one(conn, 24).build_log == ""
    deployments.insert(
        conn, Deployment(id="d", function_id="fn", status="failed", build_logs="x" * 9000 + "end")
    )
    assert one(conn, 24).build_log.endswith("xend")


def test_other_functions_are_left_out(conn: sqlite3.Connection) -> None:
    functions.insert(conn, Function(id="other", name="Other", runtime="r"))
    assert [item.function.id for item in overview(conn, (), 24, NOW)] == ["fn", "other"]
    assert [item.function.id for item in overview(conn, ("o*",), 24, NOW)] == ["other"]


def test_a_deleted_function_takes_its_minutes_along(conn: sqlite3.Connection) -> None:
    ran(conn, NOW)
    one(conn, 1)
    conn.execute("DELETE FROM functions")
    assert conn.execute("SELECT count(*) FROM usage_minutes").fetchone() == (0,)
    usage.count_next(conn)
