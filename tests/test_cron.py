"""Cron expressions: which are valid, and their runs, against a check of every minute."""

import calendar
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings, strategies as st

from minifn import cron

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
MINUTE = timedelta(minutes=1)


def instant(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


def runs(expression: str, after: int, count: int) -> list[str]:
    """The next instants after `after`, as `YYYY-MM-DD HH:MM`."""
    found = []
    for _ in range(count):
        run = cron.next_run(expression, after)
        assert run is not None
        after = run
        found.append(f"{datetime.fromtimestamp(run / 1000, UTC):%Y-%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "* * * * *",
            "*/5 * * * *",
            "0-30/10 1,2,22-23 * * *",
            "0 0 1 JAN,MAR-MAY mon-FRI",
            "0 0 ? * ?",
            "0\t0 * *  *",
        ),
        *(
            "0 0 L * *",
            "0 0 15W * *",
            "0 0 * * 5L",
            "0 0 * * friL",
            "0 0 * * 5#3",
            "0 0 * * 1#1,3L,2",
            "0 0 * * 7",
        ),
        *(
            "0 0 30 2 *",
            "@yearly",
            "@annually",
            "@Monthly",
            "@weekly",
            "@DAILY",
            "@midnight",
            "@hourly",
        ),
    ],
)
def test_expressions_of_appwrite_are_valid(expression: str) -> None:
    assert cron.is_valid(expression)


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
        ),
        *(
            "*/0 * * * *",
            "0/15 * * * *",
            "a * * * *",
            "MON * * * *",
            "* * * MON *",
            "? * * * *",
            "-1 * * * *",
            "1.5 * * * *",
        ),
        *(
            "R * * * *",
            "H * * * *",
            "h(0-5) * * * *",
            "* * LW * *",
            "* * 1,L * *",
            "* * 1,15W * *",
            "* * * * 5#6",
        ),
        *(
            "* * * * L",
            "* * * * L5",
            "@reboot",
            "@every 5m",
            "1- * * * *",
            "1,, * * * *",
            "*-5 * * * *",
            "\uff11 * * * *",
        ),
    ],
)
def test_others_are_not(expression: str) -> None:
    assert not cron.is_valid(expression)


@given(st.text(max_size=40) | st.text("0123456789*/-,?#LWHR@ adeinrsuw", max_size=40))
def test_any_text_is_invalid_or_has_runs(text: str) -> None:
    if cron.is_valid(text):
        after = instant(2026, 1, 1)
        following = cron.next_run(text, after)
        assert following is None or following > after


def test_a_run_is_later_than_the_instant_and_the_previous_one_earlier() -> None:
    noon = instant(2026, 7, 1, 12)
    assert cron.next_run("* * * * *", noon) == noon + 60_000
    assert cron.next_run("* * * * *", noon - 1) == noon
    assert cron.next_run("* * * * *", noon + 59_999) == noon + 60_000
    assert cron.previous_run("* * * * *", noon) == noon - 60_000
    assert cron.previous_run("* * * * *", noon + 1) == noon


def test_macros_and_names_equal_their_expressions() -> None:
    after = instant(2026, 7, 1, 12, 30)
    for macro, expression in cron.MACROS.items():
        assert runs(macro.lower(), after, 2) == runs(expression, after, 2)
    assert runs("@weekly", after, 1) == ["2026-07-05 00:00"]
    assert runs("0 9 * feb MON-wed", after, 2) == ["2027-02-01 09:00", "2027-02-02 09:00"]


def test_29_february_waits_for_a_leap_year_and_30_february_for_ever() -> None:
    assert runs("0 0 29 2 *", instant(2096, 1, 1), 2) == ["2096-02-29 00:00", "2104-02-29 00:00"]
    assert cron.next_run("0 0 30 2 *", instant(2026, 1, 1)) is None
    assert cron.previous_run("0 0 30 2 *", instant(2026, 1, 1)) is None


@pytest.mark.parametrize("expression", ["* * * * *", "*/5 * * * 1-5", "0 9 L * 5#2", "0 0 1 1 *"])
def test_no_run_is_behind_the_last_year_of_the_calendar(expression: str) -> None:
    last = instant(9999, 12, 31, 23, 59)
    assert cron.next_run(expression, last) is None
    assert cron.next_run(expression, last + 59_999) is None


def test_functions_of_one_schedule_have_it_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of functions tick at the same minute, each some milliseconds later."""
    computed: list[str] = []
    parse = cron.parse

    def counted(text: str) -> tuple[str, ...]:
        computed.append(text)
        return parse(text)

    monkeypatch.setattr(cron, "parse", counted)
    noon = instant(2031, 3, 1, 12)
    found = {cron.next_run("*/7 * * * *", noon + late) for late in range(0, 60_000, 600)}
    assert found == {noon + 7 * 60_000}
    assert computed == ["*/7 * * * *"]


def test_either_kind_of_day_is_enough() -> None:
    july = instant(2026, 7, 1)
    assert runs("0 0 13 * 5", july, 4) == [
        "2026-07-03 00:00",
        "2026-07-10 00:00",
        "2026-07-13 00:00",
        "2026-07-17 00:00",
    ]
    assert runs("0 0 30 2 1", july, 1) == ["2027-02-01 00:00"]
    assert runs("0 0 L * 5L", july, 3) == [
        "2026-07-31 00:00",
        "2026-08-28 00:00",
        "2026-08-31 00:00",
    ]
    assert runs("0 0 1 * 1#1", july, 3) == [
        "2026-07-06 00:00",
        "2026-08-01 00:00",
        "2026-08-03 00:00",
    ]
    assert runs("0 0 15W * 1#1,SUNL", july, 3) == [
        "2026-07-06 00:00",
        "2026-07-15 00:00",
        "2026-07-26 00:00",
    ]


def test_the_weekday_nearest_to_a_day_stays_in_its_month() -> None:
    assert runs("0 0 1W * *", instant(2026, 7, 15), 2) == ["2026-08-03 00:00", "2026-09-01 00:00"]
    assert runs("0 0 15W * *", instant(2026, 8, 1), 2) == ["2026-08-14 00:00", "2026-09-15 00:00"]


def test_a_month_without_the_day_runs_on_the_weekday_nearest_to_its_last() -> None:
    february = instant(2026, 2, 1)
    for day in ("29W", "30W", "31W"):
        assert runs(f"0 0 {day} 2 *", february, 3) == [
            "2026-02-27 00:00",
            "2027-02-26 00:00",
            "2028-02-29 00:00",
        ]
    assert runs("0 0 31W 4,5 *", february, 2) == ["2026-04-30 00:00", "2026-05-29 00:00"]


def field(low: int, high: int, names: list[str], *others: str) -> st.SearchStrategy[str]:
    """A field of one to three items, with values from `low` to `high`."""
    numbers = st.integers(low, high)
    named = numbers.map(
        lambda number: names[number - low] if number - low < len(names) else str(number)
    )
    ranges = st.tuples(numbers, numbers).map(lambda ends: f"{min(ends)}-{max(ends)}")
    steps = st.tuples(ranges | st.just("*"), st.integers(1, high)).map(
        lambda parts: f"{parts[0]}/{parts[1]}"
    )
    item = st.one_of(numbers.map(str), named, ranges, steps, *map(st.just, others))
    return st.just("*") | st.lists(item, min_size=1, max_size=3).map(",".join)


EXPRESSIONS = st.tuples(
    field(0, 59, []),
    field(0, 23, []),
    field(1, 31, []) | st.sampled_from(["L", "?", "15W", "1W", "29W", "31W"]),
    field(1, 12, MONTHS),
    field(0, 6, WEEKDAYS, "7", "5L", "SUNL", "1#1", "WED#5", "0#2"),
).map(" ".join)


def numbers(item: str, low: int, high: int) -> set[int]:
    """Return the values of a plain item."""
    span, _, step = item.partition("/")
    first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
    return set(range(int(first), int(last or first) + 1, int(step or 1)))


def digits(field: str, names: list[str], low: int) -> list[str]:
    return [
        re.sub("[A-Z]{3}", lambda found: str(names.index(found[0]) + low), item)
        for item in field.split(",")
    ]


def names_day(item: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if item == "L":
        return day.day == last
    if item.endswith("W"):
        # Of the month's days from Monday to Friday the nearest; a month that is too short has its
        # last.
        wanted = min(int(item[:-1]), last)
        weekdays = [n for n in range(1, last + 1) if day.replace(day=n).weekday() < 5]
        return day.day == min(weekdays, key=lambda number: abs(number - wanted))
    return day.day in numbers(item, 1, 31)


def names_weekday(item: str, day: date) -> bool:
    weekday = day.isoweekday() % 7
    if item.endswith("L"):
        return weekday == int(item[:-1]) % 7 and (day + timedelta(days=7)).month != day.month
    name, _, number = item.partition("#")
    if number:
        return weekday == int(name) % 7 and (day.day - 1) // 7 + 1 == int(number)
    # A range may end with Sunday as 0.
    return bool({weekday, weekday or 7} & numbers(re.sub("-0", "-7", item), 0, 6))


def matches(expression: str, moment: datetime) -> bool:
    """The rule for one minute, in a second and simpler form."""
    minute, hour, day, month, weekday = expression.split()
    if not (
        any(moment.minute in numbers(item, 0, 59) for item in minute.split(","))
        and any(moment.hour in numbers(item, 0, 23) for item in hour.split(","))
        and any(moment.month in numbers(item, 1, 12) for item in digits(month, MONTHS, 1))
    ):
        return False
    by_day = day not in "*?" and any(names_day(item, moment.date()) for item in day.split(","))
    by_weekday = weekday not in "*?" and any(
        names_weekday(item, moment) for item in digits(weekday, WEEKDAYS, 0)
    )
    return by_day or by_weekday or (day in "*?" and weekday in "*?")


@settings(max_examples=200)
@given(EXPRESSIONS, st.datetimes(datetime(2024, 1, 1), datetime(2099, 1, 1)))
def test_the_next_run_is_the_first_minute_that_matches(expression: str, moment: datetime) -> None:
    assert cron.is_valid(expression)
    start = moment.replace(second=0, microsecond=0, tzinfo=UTC)
    run = cron.next_run(expression, instant(*moment.timetuple()[:6]))
    if run is None:
        return
    found = datetime.fromtimestamp(run / 1000, UTC)
    assert matches(expression, found)
    # Minute by minute for a day, then one look at each day at the same time: enough to catch an
    # earlier one.
    earlier = (start + MINUTE * step for step in range(1, 1440))
    later = (found - timedelta(days=step) for step in range(1, 400))
    assert not any(matches(expression, at) for at in earlier if at < found)
    assert not any(matches(expression, at) for at in later if at > start)
    before = cron.previous_run(expression, run + 60_000)
    assert before == run


def test_croniter_is_loaded_with_the_first_schedule_that_is_planned() -> None:
    """A server without schedules does not import it; checking an expression does not need it."""
    script = """
import sys
from minifn import cron, embed, services
assert cron.is_valid("0 0 15W * 5#3") and not cron.is_valid("61 * * * *")
assert "croniter" not in sys.modules
assert cron.next_run("* * * * *", 0) == 60_000
assert "croniter" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
