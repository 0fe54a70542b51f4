"""Cron expressions, in UTC, or macros such as `@hourly`: checked here, computed by croniter.

The grammar is that of Appwrite's library (dragonmantank/cron-expression 3.3,
`src/Cron/*Field.php`): lists, ranges, steps, names, `?`, `L` and `15W` as days of the month, `5L`
(the last Friday) and `5#3` (the third Friday) as days of the week, 0 and 7 for Sunday. When both
kinds of day are restricted, either is enough.

croniter's own grammar differs: `0-0` is every minute there, and `13 * 5#2` needs both days. So an
expression is checked here and handed on as plain numbers, with one restricted kind of day at a
time. For `31W` in a shorter month croniter's rule holds: the weekday nearest to that month's last
day.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

MACROS = {
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
    "@MONTHLY": "0 0 1 * *",
    "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@HOURLY": "0 * * * *",
}
MINUTE_MS = 60_000
#: Most years until a run: a fifth Monday in February comes every 28 years, around 2100 after 40.
YEARS_MAX = 50

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_ITEM = re.compile(
    r"(?P<first>\*|[0-9]{1,2}|[A-Z]{3})"
    r"(?:-(?P<last>[0-9]{1,2}|[A-Z]{3}))?"
    r"(?:/(?P<step>[1-9][0-9]?))?"
)
_NEAREST = re.compile("([0-9]{1,2})W")
_SPECIAL_WEEKDAY = re.compile("([0-7]|[A-Z]{3})(L|#[1-5])")


def is_valid(expression: str) -> bool:
    """Tell whether `expression` is a macro or has five valid fields (no seconds, no year)."""
    try:
        parse(expression)
    except ValueError:
        return False
    return True


def next_run(expression: str, after: int) -> int | None:
    """Return the first instant later than `after` at which `expression` runs, None for none.

    Raises ValueError for an expression that is not valid.
    """
    return _next_run(expression, after // MINUTE_MS)


@lru_cache(maxsize=1024)
def _next_run(expression: str, minute: int) -> int | None:
    """Return the first run behind the beginning of a minute; many functions have the same one."""
    return min(_runs(expression, minute * MINUTE_MS, later=True), default=None)


def previous_run(expression: str, before: int) -> int | None:
    """Return the last instant earlier than `before` at which `expression` runs, None for none.

    Raises ValueError for an expression that is not valid.
    """
    return max(_runs(expression, before, later=False), default=None)


def _runs(expression: str, instant_ms: int, *, later: bool) -> Iterator[int]:
    """Yield the nearest run for each kind of day that is restricted."""
    # Imported with the first schedule that is planned, because many servers have none.
    from croniter import CroniterBadDateError, croniter

    for plain in parse(expression):
        try:
            times = croniter(plain, instant_ms / 1000, max_years_between_matches=YEARS_MAX)
            found = times.get_next(float) if later else times.get_prev(float)
        except (CroniterBadDateError, OverflowError):
            # It never comes, or not before the last year of the calendar ends.
            continue
        if found >= 0:
            yield int(found) * 1000


@lru_cache(maxsize=1024)
def parse(expression: str) -> tuple[str, ...]:
    """Return `expression` in croniter's terms: expressions of which one must match.

    Raises ValueError for an expression that is not valid.
    """
    upper = expression.strip().upper()
    fields = MACROS.get(upper, upper).split()
    if len(fields) != 5:
        raise ValueError("a cron expression has five fields")
    minute, hour, day, month, weekday = fields
    time = f"{_numbers(minute, range(60))} {_numbers(hour, range(24))}"
    months = _numbers(month, range(1, 13), _MONTHS)
    days = [(day, "*") for day in _days(day)] + [("*", weekday) for weekday in _weekdays(weekday)]
    return tuple(f"{time} {day} {months} {weekday}" for day, weekday in days or [("*", "*")])


def _numbers(field: str, allowed: range, names: tuple[str, ...] = ()) -> str:
    """Return the sorted values of a list of values, ranges and steps, separated by commas."""
    found: set[int] = set()
    for item in field.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"{item} is not a value, a range or *")
        first, last, step = match.group("first", "last", "step")
        if first == "*" and last is None:
            span = allowed
        elif first == "*" or (step is not None and last is None):
            raise ValueError(f"{item}: a step needs a range or * before it, and a range two ends")
        else:
            ends = [
                names.index(end) + allowed[0] if end in names else int(end)
                for end in (first, last or first)
            ]
            # A range may end with Sunday as 0.
            span = range(ends[0], (ends[1] or (7 if names is _WEEKDAYS and last else 0)) + 1)
            if not span or span[0] not in allowed or span[-1] not in allowed:
                raise ValueError(f"{item} is not within {allowed[0]} to {allowed[-1]}")
        found.update(span[:: int(step or 1)])
    return ",".join(map(str, sorted(found)))


def _days(field: str) -> list[str]:
    if field in ("*", "?"):
        return []
    if field == "L":
        return ["L"]
    if nearest := _NEAREST.fullmatch(field):
        return [f"{_numbers(nearest[1], range(1, 32))}W"]
    return [_numbers(field, range(1, 32))]


def _weekdays(field: str) -> list[str]:
    if field in ("*", "?"):
        return []
    plain: list[str] = []
    found: list[str] = []
    for item in field.replace("?", "*").split(","):
        if special := _SPECIAL_WEEKDAY.fullmatch(item):
            number = int(_numbers(special[1], range(8), _WEEKDAYS)) % 7
            found.append(f"L{number}" if special[2] == "L" else f"{number}{special[2]}")
        else:
            plain.append(item)
    if plain:
        numbers = {
            int(number) % 7 for number in _numbers(",".join(plain), range(8), _WEEKDAYS).split(",")
        }
        found.append(",".join(map(str, sorted(numbers))))
    return found
