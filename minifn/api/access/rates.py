"""How often something may be done: counts in windows of fixed length, as Appwrite's `utopia-php/abuse` keeps them."""

import time
from collections.abc import Callable

import msgspec

from minifn.api.wire.answers import RawHeaders

#: Keys counted in one window; more begin the counting anew, so that nobody can fill the memory with them.
_KEYS_MAX = 100_000


class Allowance(msgspec.Struct, frozen=True):
    """What is left of a limit in the window that ends at `reset`, seconds since the epoch."""

    limit: int
    used: int
    reset: int

    @property
    def exceeded(self) -> bool:
        """Whether what was counted is more than the limit allows."""
        return self.used > self.limit

    def headers(self) -> RawHeaders:
        """Return the three headers that tell a client."""
        shown = (
            ("x-ratelimit-limit", self.limit),
            ("x-ratelimit-remaining", max(0, self.limit - self.used)),
            ("x-ratelimit-reset", self.reset),
        )
        return [(name.encode(), str(value).encode()) for name, value in shown]


class Rate:
    """Allows `limit` uses in each window of `period_seconds`, for each key. `clock` tells seconds since the epoch."""

    def __init__(
        self, limit: int, period_seconds: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._limit = limit
        self._period_seconds = period_seconds
        self._clock = clock
        self._window = 0
        self._used: dict[str, int] = {}

    def look(self, key: str) -> Allowance:
        """Return what is left, counting nothing."""
        window = int(self._clock()) // self._period_seconds
        if window != self._window or len(self._used) > _KEYS_MAX:
            self._window = window
            self._used.clear()
        return Allowance(self._limit, self._used.get(key, 0), (window + 1) * self._period_seconds)

    def count(self, key: str) -> Allowance:
        """Count one more and return what is left."""
        self.look(key)
        self._used[key] = self._used.get(key, 0) + 1
        return self.look(key)
