"""Rate limits: counts in windows of fixed length, as in Appwrite's `utopia-php/abuse`."""

import time
from collections.abc import Callable

import msgspec

from minifn.api.wire.answers import RawHeaders

#: Most keys per window; beyond it all counts reset, to bound memory.
_KEYS_MAX = 100_000


class Allowance(msgspec.Struct, frozen=True):
    """Use of a limit in the window that ends at `reset`, seconds since the epoch."""

    limit: int
    used: int
    reset: int

    @property
    def exceeded(self) -> bool:
        """Whether more was counted than the limit allows."""
        return self.used > self.limit

    def headers(self) -> RawHeaders:
        """Return Appwrite's three headers that describe the allowance."""
        shown = (
            ("x-ratelimit-limit", self.limit),
            ("x-ratelimit-remaining", max(0, self.limit - self.used)),
            ("x-ratelimit-reset", self.reset),
        )
        return [(name.encode(), str(value).encode()) for name, value in shown]


class Rate:
    """Allows `limit` uses per key in each window of `period_seconds`.

    `clock` returns seconds since the epoch.
    """

    def __init__(
        self, limit: int, period_seconds: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._limit = limit
        self._period_seconds = period_seconds
        self._clock = clock
        self._window = 0
        self._used: dict[str, int] = {}

    def look(self, key: str) -> Allowance:
        """Return what is left, without counting."""
        window = int(self._clock()) // self._period_seconds
        if window != self._window or len(self._used) > _KEYS_MAX:
            self._window = window
            self._used.clear()
        return Allowance(self._limit, self._used.get(key, 0), (window + 1) * self._period_seconds)

    def count(self, key: str) -> Allowance:
        """Count one use and return what is left."""
        self.look(key)
        self._used[key] = self._used.get(key, 0) + 1
        return self.look(key)
