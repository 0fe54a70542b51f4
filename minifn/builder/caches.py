"""The build caches of all functions, and which of them to remove when they are too large."""

import asyncio
import os
from collections.abc import Callable, Collection
from pathlib import Path

from minifn.host.files import remove_tree
from minifn.host.space import TreeRefused, measure
from minifn.ids import new_id

#: First character of the name of a cache set aside; no id begins with it.
_ASIDE = "~"


def least_used(caches: Path, limit_bytes: int) -> list[Path]:
    """Return the least recently used caches, without which the others fit into `limit_bytes`."""
    sizes = {path: _size_bytes(path) for path in caches.iterdir()}
    excess_bytes = sum(sizes.values()) - limit_bytes
    found = []
    for path in sorted(sizes, key=lambda path: path.stat().st_mtime):
        # A cache that an earlier run set aside and did not remove is never used again.
        if excess_bytes > 0 or path.name.startswith(_ASIDE):
            found.append(path)
            excess_bytes -= sizes[path]
    return found


async def trim(caches: Path, limit_bytes: int, used: Callable[[], Collection[str]]) -> int:
    """Remove the least recently used caches beyond `limit_bytes`; return how many.

    `used` returns the names of those that stay. Raises OSError.
    """
    found = await asyncio.to_thread(least_used, caches, limit_bytes)
    # Set aside at once, so that a build that begins now makes a new cache.
    removed = [set_aside(path) for path in found if path.name not in used()]
    for path in removed:
        await asyncio.to_thread(remove_tree, path)
    return len(removed)


def mark_used(cache: Path) -> None:
    """Make a function's cache if it has none, and record its use by a build. Raises OSError."""
    cache.mkdir(mode=0o700, exist_ok=True)
    os.utime(cache)


def set_aside(cache: Path) -> Path:
    """Give a cache a name that no build uses, and return it. Raises OSError."""
    return cache.rename(cache.with_name(_ASIDE + new_id()))


def _size_bytes(cache: Path) -> int:
    try:
        return measure(cache).size_bytes
    except TreeRefused:
        # A running build has nested it too deep; the end of that build removes the cache.
        return 0
