"""Commands that tests start, and the processes of the machine that belong to them."""

import asyncio
import dataclasses
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from minifn.host.datadir import DataDir
from minifn.sandbox.choose import choose
from minifn.sandbox.command import Command
from minifn.sandbox.engines import Engine
from minifn.sandbox.launcher import proc
from minifn.sandbox.spawner import Spawner
from tests.patience import patient

PATH = "/usr/local/bin:/usr/bin:/bin"
PYTHON = "/usr/bin/python3"
#: A uid that no function has.
UID = 20_111 if os.geteuid() == 0 else 0


@asynccontextmanager
async def started(data: DataDir, name: str) -> AsyncIterator[tuple[Spawner, Engine]]:
    """Start a spawner and choose an engine."""
    async with Spawner(data.run) as spawner:
        yield spawner, await choose(name, spawner, data)


def command(*argv: str, **changes: Any) -> Command:
    """Return a command with a PATH and, when the server is root, a uid of its own."""
    return dataclasses.replace(Command(argv=argv, env={"PATH": PATH}, uid=UID), **changes)


def shell(script: str, **changes: object) -> Command:
    """Return a command that runs a script of the shell."""
    return command("/bin/sh", "-c", script, **changes)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition; fails after the deadline."""
    deadline = time.monotonic() + patient(seconds)
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def marker() -> str:
    """Return a duration for `sleep`, so long and unusual that it names one test's processes."""
    return f"{10**6 + int.from_bytes(os.urandom(4))}.5"


def command_line(pid: int) -> bytes:
    """Return the arguments of a process, each ended by a NUL; its first thread may have ended."""
    read = proc.read(f"/proc/{pid}/cmdline")
    return read or proc.read(f"/proc/{proc.living(pid)}/cmdline")


def marked(marker: str) -> list[int]:
    """Return every process of the machine with `marker` as one of its arguments."""
    return [pid for pid in proc.pids() if marker.encode() in command_line(pid).split(b"\0")]


def sleeping(marker: str) -> list[int]:
    """Return the marked processes that already run `sleep`."""
    return [pid for pid in marked(marker) if proc.read(f"/proc/{pid}/comm") == b"sleep\n"]
