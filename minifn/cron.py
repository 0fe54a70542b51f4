"""Cron expressions: five fields in UTC, or a macro such as `@hourly`.

The grammar is that of Appwrite's library (dragonmantank/cron-expression 3.3, `src/Cron/*Field.php`): lists, ranges,
steps, names, `?`, `L` and `15W` as days of the month, `5L` (the last Friday) and `5#3` (the third Friday) as days of
the week, 0 and 7 for Sunday. When both kinds of day are restricted, either is enough. No Python library reads all of
it: croniter takes `0-0` for every minute, and `#`, `L` and `W` beside the other kind of day for a condition on both.
"""

import calendar
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

MACROS = {
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
    "@MONTHLY": "0 0 1 * *",
    "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@HOURLY": "0 * * * *",
}
#: The longest wait for a run: a fifth Monday in February comes every 28 years, and once, around 2100, after 40.
YEARS_MAX = 50

_MINUTE_MS = 60_000
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_ITEM = re.compile(r"(?P<first>\*|[0-9]{1,2}|[A-Z]{3})(?:-(?P<last>[0-9]{1,2}|[A-Z]{3}))?(?:/(?P<step>[1-9][0-9]?))?")
_NEAREST = re.compile("([0-9]{1,2})W")
_SPECIAL_WEEKDAY = re.compile("([0-7]|[A-Z]{3})(?:L|#([1-5]))")

#: Whether a day is meant: its number in the month, its weekday (Sunday is 0), how many days the month has.
Rule = Callable[[int, int, int], bool]


class Times(msgspec.Struct, frozen=True):
    """What an expression means. The tuples are sorted; no rules mean every day."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    rules: tuple[Rule, ...]

    def days(self, year: int, month: int) -> Iterator[int]:
        """Yield the days of a month on which there are runs."""
        if month in self.months:
            before, length = calendar.monthrange(year, month)
            for day in range(1, length + 1):
                if not self.rules or any(rule(day, (before + day) % 7, length) for rule in self.rules):
                    yield day

    def time(self, hour: int, minute: int) -> tuple[int, int] | None:
        """Return the first time of a day with runs that is not earlier than this one."""
        if hour in self.hours and minute <= self.minutes[-1]:
            return hour, self.minutes[bisect_left(self.minutes, minute)]
        index = bisect_left(self.hours, hour + 1)
        return (self.hours[index], self.minutes[0]) if index < len(self.hours) else None


def is_valid(expression: str) -> bool:
    """Tell whether `expression` is a cron expression of five fields (no seconds, no year) or a macro."""
    try:
        parse(expression)
    except ValueError:
        return False
    return True


def next_run(expression: str, after: int) -> int | None:
    """Return the first instant later than `after` at which `expression` runs, None when there is none.

    Raises ValueError for an expression that is not valid.
    """
    times = parse(expression)
    start = datetime.fromtimestamp(after // _MINUTE_MS * 60 + 60, UTC)
    for year in range(start.year, start.year + YEARS_MAX):
        for month in range(start.month if year == start.year else 1, 13):
            first = start.day if (year, month) == (start.year, start.month) else 1
            for day in times.days(year, month):
                if day < first:
                    continue
                today = (year, month, day) == (start.year, start.month, start.day)
                found = times.time(start.hour, start.minute) if today else (times.hours[0], times.minutes[0])
                if found is not None:
                    return calendar.timegm((year, month, day, *found, 0)) * 1000
    return None


def previous_run(expression: str, before: int) -> int | None:
    """Return the last instant earlier than `before` at which `expression` runs, None when there is none.

    Raises ValueError for an expression that is not valid.
    """
    now = before // _MINUTE_MS + 1
    minutes = range(max(0, now - YEARS_MAX * 366 * 1440), now)

    def no_run_between(minute: int) -> bool:
        run = next_run(expression, minute * _MINUTE_MS)
        return run is None or run >= before

    # What never runs takes longest to look for.
    if next_run(expression, minutes[0] * _MINUTE_MS) is None:
        return None
    index = bisect_left(minutes, True, key=no_run_between)
    return next_run(expression, minutes[index - 1] * _MINUTE_MS) if index else None


@lru_cache(maxsize=1024)
def parse(expression: str) -> Times:
    """Return what `expression` means. Raises ValueError for one that is not valid."""
    upper = expression.strip().upper()
    fields = MACROS.get(upper, upper).split()
    if len(fields) != 5:
        raise ValueError("a cron expression has five fields")
    minute, hour, day, month, weekday = fields
    return Times(
        minutes=_numbers(minute, range(60)),
        hours=_numbers(hour, range(24)),
        months=_numbers(month, range(1, 13), _MONTHS),
        rules=(*_day_rules(day), *_weekday_rules(weekday)),
    )


def _numbers(field: str, allowed: range, names: tuple[str, ...] = ()) -> tuple[int, ...]:
    """Return what a list of values, ranges and steps stands for, sorted."""
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
            ends = [names.index(end) + allowed[0] if end in names else int(end) for end in (first, last or first)]
            # A range may end with Sunday as 0.
            span = range(ends[0], (ends[1] or (7 if names is _WEEKDAYS and last else 0)) + 1)
            if not span or span[0] not in allowed or span[-1] not in allowed:
                raise ValueError(f"{item} is not within {allowed[0]} to {allowed[-1]}")
        found.update(span[:: int(step or 1)])
    return tuple(sorted(found))


def _day_rules(field: str) -> list[Rule]:
    if field in ("*", "?"):
        return []
    if field == "L":
        return [lambda day, weekday, length: day == length]
    if nearest := _NEAREST.fullmatch(field):
        (wanted,) = _numbers(nearest[1], range(1, 32))
        return [lambda day, weekday, length: day == _nearest_weekday(wanted, (weekday - day) % 7, length)]
    days = frozenset(_numbers(field, range(1, 32)))
    return [lambda day, weekday, length: day in days]


def _nearest_weekday(wanted: int, offset: int, length: int) -> int:
    """Return the day from Monday to Friday next to the day `wanted`, in the same month; 0 when there is no such day.

    `offset`: the weekday is the remainder of the day plus this, divided by 7.
    """
    weekday = (wanted + offset) % 7
    if wanted > length:
        return 0
    if weekday == 6:
        return wanted - 1 if wanted > 1 else 3
    if weekday == 0:
        return wanted + 1 if wanted < length else wanted - 2
    return wanted


def _weekday_rules(field: str) -> list[Rule]:
    if field in ("*", "?"):
        return []
    items = field.replace("?", "*").split(",")
    special = {item: match for item in items if (match := _SPECIAL_WEEKDAY.fullmatch(item))}
    rules = [_special_rule(*match.groups()) for match in special.values()]
    if plain := [item for item in items if item not in special]:
        weekdays = frozenset(number % 7 for number in _numbers(",".join(plain), range(8), _WEEKDAYS))
        rules.append(lambda day, weekday, length: weekday in weekdays)
    return rules


def _special_rule(name: str, number: str | None) -> Rule:
    """Return the rule of `5#3` (`number` "3") or of `5L`."""
    (found,) = _numbers(name, range(8), _WEEKDAYS)
    wanted = found % 7
    if number is None:
        return lambda day, weekday, length: weekday == wanted and day + 7 > length
    week = int(number)
    return lambda day, weekday, length: weekday == wanted and (day + 6) // 7 == week
