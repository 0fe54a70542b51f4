"""Intervals: functions that run every N minutes of the UTC clock.

Each function has an offset within the interval, derived from its id, so that functions with the
same interval do not all start in the same second.
"""

import zlib

_MINUTE_MS = 60_000
#: Longest interval, minutes: a year.
MINUTES_MAX = 525_600


def next_run(function_id: str, minutes: int, after: int) -> int:
    """Return the first instant later than `after` at which the function runs."""
    period, offset = _rhythm(function_id, minutes)
    return ((after - offset) // period + 1) * period + offset


def previous_run(function_id: str, minutes: int, before: int) -> int:
    """Return the last instant earlier than `before` at which the function runs."""
    period, offset = _rhythm(function_id, minutes)
    return (before - offset - 1) // period * period + offset


def _rhythm(function_id: str, minutes: int) -> tuple[int, int]:
    """Return the interval and the function's offset, a whole second; both in milliseconds."""
    seconds = zlib.crc32(function_id.encode()) % (minutes * 60)
    return minutes * _MINUTE_MS, seconds * 1000
