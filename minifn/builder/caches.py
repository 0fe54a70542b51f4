"""The build caches of all functions together: which of them to give up when they have grown too large."""

import os
from pathlib import Path

from minifn.host.space import TreeRefused, measure
from minifn.ids import new_id

#: No id begins like this.
_ASIDE = "~"


def least_used(caches: Path, limit_bytes: int) -> list[Path]:
    """Return the caches that were used longest ago, as many as it takes to bring the others below `limit_bytes`."""
    sizes = {path: _size_bytes(path) for path in caches.iterdir()}
    excess_bytes = sum(sizes.values()) - limit_bytes
    found = []
    for path in sorted(sizes, key=lambda path: path.stat().st_mtime):
        # What an earlier run has set aside, and did not come to remove, is of no use to anybody.
        if excess_bytes > 0 or path.name.startswith(_ASIDE):
            found.append(path)
            excess_bytes -= sizes[path]
    return found


def mark_used(cache: Path) -> None:
    """Make a function's cache if it has none, and note that a build uses it now. Raises OSError."""
    cache.mkdir(mode=0o700, exist_ok=True)
    os.utime(cache)


def set_aside(cache: Path) -> Path:
    """Give a cache a name that no build uses, and return it. Raises OSError."""
    return cache.rename(cache.with_name(_ASIDE + new_id()))


def _size_bytes(cache: Path) -> int:
    try:
        return measure(cache).size_bytes
    except TreeRefused:
        # A build is at it that will not get away with this; its end removes the cache.
        return 0
