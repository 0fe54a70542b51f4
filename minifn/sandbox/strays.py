"""Kills the processes that a killed server left running."""

import logging
import time
from pathlib import Path

from minifn.host.files import remove_tree

from .launcher import proc, tree

logger = logging.getLogger("minifn.sandbox")

#: Seconds that killed processes may take to disappear.
DEATH_SECONDS = 5.0


def kill_strays(run_dir: Path) -> int:
    """Kill the processes that a killed server left running; return how many they were.

    Blocks until they are gone and their temporary directories are removed. Roots are known by their
    recorded pid and start, everything else by the cookie in its environment. Only for a directory
    that no living server uses: `Spawner.start` calls it under its lock.
    """
    records = run_dir / "processes"
    cookie_file = run_dir / "cookie"
    cookie = cookie_file.read_bytes() if cookie_file.exists() else b""
    recorded = _recorded(records)
    found = _strays(recorded, cookie)
    if found:
        logger.warning("killing %s processes that a previous server left behind", len(found))
        deadline = time.monotonic() + DEATH_SECONDS
        while _strays(recorded, cookie) and time.monotonic() < deadline:
            tree.kill_all(lambda: _strays(recorded, cookie))
            time.sleep(0.005)
    for record in _entries(records):
        record.unlink()
    for directory in _entries(run_dir / "tmp"):
        remove_tree(directory)
    return len(found)


def _entries(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []


def _recorded(records: Path) -> dict[int, int]:
    """Return the start of each recorded root by its pid."""
    return {
        int(record.name): int(start)
        for record in _entries(records)
        # After a power failure a record may be empty, or hold zeros.
        if record.name.isdigit() and (start := record.read_bytes().partition(b" ")[0]).isdigit()
    }


def _strays(recorded: dict[int, int], cookie: bytes) -> set[int]:
    """Return the living processes that were recorded or have the cookie, and their descendants."""
    roots = {pid for pid, started in recorded.items() if proc.started(pid) == started}
    if cookie:
        wanted, name = cookie + b".", tree.COOKIE.encode()
        values = ((pid, proc.environment_value(pid, name)) for pid in proc.pids())
        roots |= {pid for pid, value in values if value.startswith(wanted)}
    roots = set(filter(proc.alive, roots))
    return roots.union(*(proc.descendants(pid) for pid in roots))
