"""One-time tokens, by which the first page of the console signs its visitor in.

They live in memory and end with the server; only their hashes are kept.
"""

import hashlib
import secrets
import time
from collections.abc import Callable

#: Seconds for which a link is good.
LINK_SECONDS = 600
#: Most links that wait to be used; the oldest give way.
LINKS_MAX = 100


class SignInLinks:
    """Makes tokens and takes each once. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: SHA-256 of the token -> its end.
        self._ends: dict[bytes, float] = {}

    def new(self) -> str:
        """Return the token of a new link."""
        token = secrets.token_urlsafe(24)
        while len(self._ends) >= LINKS_MAX:
            del self._ends[next(iter(self._ends))]
        self._ends[_hash(token)] = self._clock() + LINK_SECONDS
        return token

    def take(self, token: str) -> bool:
        """Use a token up; tell whether it was good."""
        return self._ends.pop(_hash(token), 0.0) > self._clock()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
