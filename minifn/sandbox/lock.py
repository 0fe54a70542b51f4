"""The lock that allows one server per data directory; its launcher holds it until it ends."""

import asyncio
import contextlib
import fcntl
import os
import time
from pathlib import Path

from .launcher import proc

#: Seconds to wait for the launcher of a dead or ending server to finish killing.
WAIT_SECONDS = 8.0
POLL_SECONDS = 0.05


class DataInUse(Exception):
    """Another server, or another Minifn, uses the data directory; the message names both."""


async def acquire(run_dir: Path) -> int:
    """Lock the directory for this process; return the descriptor, which the launcher inherits.

    Raises DataInUse: at once when the process that the lock file names lives, else after
    WAIT_SECONDS.
    """
    descriptor = os.open(run_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not _lock(descriptor):
            holder = _living_holder(descriptor)
            if holder or time.monotonic() > deadline:
                who = f"another server (process {holder})" if holder else "another server"
                if holder == os.getpid():
                    who = f"another Minifn of this process ({holder})"
                raise DataInUse(f"{who} is using {run_dir.parent}")
            await asyncio.sleep(POLL_SECONDS)
        pid = os.getpid()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{pid} {proc.started(pid)}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_held(run_dir: Path) -> bool:
    """Tell whether a server uses the directory, or its launcher still ends what it left."""
    try:
        descriptor = os.open(run_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def yield_soon(run_dir: Path) -> None:
    """Let a successor wait for the lock from now on, because this server is about to end."""
    # On a disk that refuses the write, the successor fails at once instead of waiting.
    with contextlib.suppress(OSError):
        os.truncate(run_dir / "lock", 0)


def _lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _living_holder(descriptor: int) -> int:
    """Return the pid of the living server that the file names, 0 for none."""
    words = os.pread(descriptor, 64, 0).split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return 0
    pid, started = map(int, words)
    return pid if proc.alive(pid) and proc.started(pid) == started else 0
