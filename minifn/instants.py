"""Instants: integer milliseconds since 1970-01-01 UTC, and their text form in the API."""

import time
from datetime import UTC, datetime
from functools import lru_cache

#: The end of the year 9999 in milliseconds since the epoch: the latest instant that can be
#: formatted.
MAX_INSTANT_MS = 253_402_300_799_999


def now_ms() -> int:
    """Return the wall clock, milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@lru_cache(maxsize=64)
def _format_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def format_instant(instant_ms: int) -> str:
    """Return `YYYY-MM-DDTHH:MM:SS.mmm+00:00`, the form of Appwrite's answers."""
    second, millisecond = divmod(instant_ms, 1000)
    return f"{_format_second(second)}.{str(1000 + millisecond)[1:]}+00:00"


def parse_instant(text: str) -> int:
    """Return the instant `text` names; without a zone it is UTC.

    Raises ValueError for a text that `datetime.fromisoformat` does not read, and outside the years
    1970 to 9999.
    """
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    instant_ms = round(moment.timestamp() * 1000)
    if not 0 <= instant_ms <= MAX_INSTANT_MS:
        raise ValueError(f"instant out of range: {text}")
    return instant_ms
