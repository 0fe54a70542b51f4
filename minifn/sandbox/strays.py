"""What a server that was killed left running."""

import logging
import time
from pathlib import Path

from minifn.host.datadir import remove_tree

from .launcher import proc, tree

logger = logging.getLogger("minifn.sandbox")

#: Seconds that killed processes may take to disappear.
DEATH_SECONDS = 5.0


def kill_strays(run_dir: Path) -> int:
    """Kill what a server that was killed left running, and remove its temporary directories; return how many.

    Blocks until they are gone. Roots are known by their recorded pid and start, everything else by the cookie in its
    environment. Only for a directory no living server uses: `Spawner.start` calls it under its lock.
    """
    records = run_dir / "processes"
    cookie_file = run_dir / "cookie"
    cookie = cookie_file.read_bytes() if cookie_file.exists() else b""
    recorded = {
        int(record.name): int(start)
        for record in (records.iterdir() if records.is_dir() else ())
        # After a loss of power a record may hold nothing, or zeros.
        if record.name.isdigit() and (start := record.read_bytes().partition(b" ")[0]).isdigit()
    }

    def strays() -> set[int]:
        roots = {
            pid
            for pid, started in recorded.items()
            if proc.started(pid) == started and proc.alive(pid)
        }
        if cookie:
            wanted = cookie + b"."
            roots |= {
                pid
                for pid in proc.pids()
                if proc.environment_value(pid, tree.COOKIE.encode()).startswith(wanted)
                and proc.alive(pid)
            }
        return roots.union(*(proc.descendants(pid) for pid in roots))

    found = strays() if recorded or cookie else set()
    if found:
        logger.warning("killing %s processes a previous server left behind", len(found))
        deadline = time.monotonic() + DEATH_SECONDS
        while strays() and time.monotonic() < deadline:
            tree.kill_all(strays)
            time.sleep(0.005)
    for record in records.iterdir() if records.is_dir() else ():
        record.unlink()
    tmp = run_dir / "tmp"
    for directory in tmp.iterdir() if tmp.is_dir() else ():
        remove_tree(directory)
    return len(found)
