"""What processes hold without showing it by a path or a resident page counts too."""

import asyncio
import errno
import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox.command import Limits
from minifn.sandbox.launcher.hidden_use import TOO_MUCH, held_bytes, machine_bytes
from minifn.sandbox.spawner import run
from tests.sandbox.test_spawner import PYTHON, command, started

MEGABYTE = 2**20
LIMITS = Limits(memory_bytes=64 * MEGABYTE, tmp_bytes=32 * MEGABYTE)
DELETED_FILE = """
import os, time
path = os.environ["TMPDIR"] + "/x"
descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
os.unlink(path)
for _ in range(96):
    os.write(descriptor, bytes(2**20))
time.sleep(60)
"""
MEMORY_FILE = """
import os, time
descriptor = os.memfd_create("x")
for _ in range(200):
    os.write(descriptor, bytes(2**20))
time.sleep(60)
"""
#: The pages stay, though no process has them.
GIVEN_BACK = """
import mmap, time
shared = mmap.mmap(-1, 200 << 20)
for at in range(0, 200 << 20, 1 << 20):
    shared[at : at + (1 << 20)] = b"x" * (1 << 20)
    shared.madvise(mmap.MADV_DONTNEED, at, 1 << 20)
time.sleep(60)
"""
#: Each holds what was written to the other, in the kernel.
UNREAD = """
import os, socket, time
for _ in range(7):
    if os.fork() == 0:
        break
pairs = [socket.socketpair() for _ in range(100)]
for one in sum(pairs, ()):
    one.setblocking(False)
    try:
        while True:
            one.send(bytes(50000))
    except BlockingIOError:
        pass
time.sleep(60)
"""
#: Where a namespace of its own would keep 200 MB of nobody.
SYSTEM_V = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for call in (libc.shmget, libc.semget, libc.msgget):
    print(call(0, 1, 0o1600), ctypes.get_errno())
"""
MEMORY_REASON, FILES_REASON = "memory limit exceeded (64 MB)", "temporary files exceed 32 MB"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: what is held is read from /proc")


@pytest.mark.parametrize(
    ("engine_name", "script", "reason"),
    [
        ("process", DELETED_FILE, FILES_REASON),  # a namespace has a tmpfs of that size
        *(("process", script, MEMORY_REASON) for script in (MEMORY_FILE, GIVEN_BACK, UNREAD)),
        *(("bwrap", script, MEMORY_REASON) for script in (MEMORY_FILE, GIVEN_BACK, UNREAD)),
    ],
)
def test_what_is_hidden_counts(
    place: DataDir, engine_name: str, script: str, reason: str, request: pytest.FixtureRequest
) -> None:
    if engine_name == "bwrap":
        request.getfixturevalue("bwrap")

    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            wrapped = engine.wrap(command(PYTHON, "-I", "-S", "-c", script, limits=LIMITS))
            output = await run(spawner, wrapped, timeout_seconds=30)
            assert output.exit.reason == reason, output.text

    asyncio.run(main())


@pytest.mark.parametrize("engine_name", ["bwrap", "sandlock", "process"])
def test_nothing_is_kept_that_no_process_holds(
    place: DataDir, engine_name: str, request: pytest.FixtureRequest
) -> None:
    if engine_name != "process":
        request.getfixturevalue(engine_name)

    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            wrapped = engine.wrap(command(PYTHON, "-I", "-S", "-c", SYSTEM_V))
            output = await run(spawner, wrapped, timeout_seconds=30)
            assert output.text == f"-1 {errno.EPERM}\n" * 3

    asyncio.run(main())


def test_each_counts_once_and_only_what_is_deleted(tmp_path: Path) -> None:
    kept, gone = tmp_path / "kept", tmp_path / "gone"
    with kept.open("wb") as first, gone.open("wb") as second, tempfile.TemporaryFile() as elsewhere:
        for file in (first, second, elsewhere):
            file.write(os.urandom(MEGABYTE))
            file.flush()
            os.fsync(file.fileno())
        before = held_bytes([os.getpid()], str(tmp_path))[0]
        gone.unlink()
        memory = os.memfd_create("held")
        os.ftruncate(memory, 8 * MEGABYTE)
        os.pwrite(memory, bytes(MEGABYTE), 0)
        with mmap.mmap(memory, 8 * MEGABYTE), subprocess.Popen(["/bin/cat"], stdin=-1, pass_fds=(memory,)) as child:
            found = held_bytes([os.getpid(), child.pid], str(tmp_path))
            assert found == (before + MEGABYTE, MEGABYTE)
            assert machine_bytes() >= MEGABYTE
            assert held_bytes([os.getpid(), child.pid], "") == (before + MEGABYTE, 0)
            assert child.stdin
            child.stdin.close()
        os.close(memory)


def test_too_much_to_look_through_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minifn.sandbox.launcher.hidden_use.MOST_BYTES", 100)
    assert held_bytes([os.getpid()], "") == (TOO_MUCH, TOO_MUCH)
    monkeypatch.setattr("minifn.sandbox.launcher.hidden_use.MOST_FILES", 1)
    assert held_bytes([os.getpid()], "") == (TOO_MUCH, TOO_MUCH)
    assert held_bytes([0], "") == (0, 0)
