"""Resources that RSS and directory listings miss count towards the limits."""

import asyncio
import errno
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox.command import Limits
from minifn.sandbox.launcher import proc, tree
from minifn.sandbox.launcher.closer import Floor
from minifn.sandbox.launcher.hidden_use import ALL, NOTHING, held
from minifn.sandbox.launcher.sockets import Queues
from minifn.sandbox.spawner import run
from minifn.sandbox.strays import kill_strays
from tests.processes import killed_at_end
from tests.sandbox.commands import PYTHON, command, marked, marker, started, until
from tests.serving import wait_until

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
#: The pages stay in memory although no process has them.
GIVEN_BACK = """
import mmap, time
shared = mmap.mmap(-1, 200 << 20)
for at in range(0, 200 << 20, 1 << 20):
    shared[at : at + (1 << 20)] = b"x" * (1 << 20)
    shared.madvise(mmap.MADV_DONTNEED, at, 1 << 20)
time.sleep(60)
"""
#: Each socket keeps unread bytes of the other, in the kernel.
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
#: Memory that an IPC namespace would keep without any process.
SYSTEM_V = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for call in (libc.shmget, libc.semget, libc.msgget):
    print(call(0, 1, 0o1600), ctypes.get_errno())
"""
MEMORY_REASON, FILES_REASON = "memory limit exceeded (64 MB)", "temporary files exceed 32 MB"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="needs Linux: usage is read from /proc"
)


@pytest.mark.parametrize(
    ("engine_name", "script", "reason"),
    [
        ("process", DELETED_FILE, FILES_REASON),  # A namespace has a tmpfs of that size.
        *(("process", script, MEMORY_REASON) for script in (MEMORY_FILE, GIVEN_BACK, UNREAD)),
        *(("bwrap", script, MEMORY_REASON) for script in (MEMORY_FILE, GIVEN_BACK, UNREAD)),
    ],
)
def test_hidden_resources_count(
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
def test_memory_without_a_process_is_refused(
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


def test_each_resource_counts_once_and_only_if_deleted(tmp_path: Path) -> None:
    kept, gone = tmp_path / "kept", tmp_path / "gone"
    with kept.open("wb") as first, gone.open("wb") as second, tempfile.TemporaryFile() as elsewhere:
        for file in (first, second, elsewhere):
            file.write(os.urandom(MEGABYTE))
            file.flush()
            os.fsync(file.fileno())
        before = held([os.getpid()], str(tmp_path)).memory
        gone.unlink()
        memory = os.memfd_create("held")
        os.ftruncate(memory, 8 * MEGABYTE)
        os.pwrite(memory, bytes(MEGABYTE), 0)
        with (
            mmap.mmap(memory, 8 * MEGABYTE),
            killed_at_end(subprocess.Popen(["/bin/cat"], stdin=-1, pass_fds=(memory,))) as child,
        ):
            found = held([os.getpid(), child.pid], str(tmp_path))
            assert found[:2] == (before + MEGABYTE, MEGABYTE)
            assert proc.machine()[b"Shmem"] >= MEGABYTE
            assert held([os.getpid(), child.pid], "")[:2] == (before + MEGABYTE, 0)
            assert child.stdin
            child.stdin.close()
        os.close(memory)


def test_too_much_to_read_exceeds_every_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minifn.sandbox.launcher.hidden_use.MOST_BYTES", 100)
    assert held([os.getpid()], "") == ALL
    monkeypatch.setattr("minifn.sandbox.launcher.hidden_use.MOST_FILES", 1)
    assert held([os.getpid()], "") == ALL
    assert held([0], "") == NOTHING


#: Threads that hold memory in turns, each for a moment, after the first one has ended.
TURNS = """
import ctypes, os, threading, time
if os.fork() == 0:
    held = b"x" * (100 << 20)
    def turn():
        threading.Thread(target=turn).start()
    threading.Thread(target=turn).start()
    ctypes.CDLL(None).syscall(EXIT, 0)
os.wait()
print("ended", flush=True)
"""
#: A daemon whose first thread has ended; its parent waits.
HEADLESS = """
import ctypes, os, sys, threading, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        threading.Thread(target=time.sleep, args=(1000,)).start()
        ctypes.CDLL(None).syscall(EXIT, 0)
    os._exit(0)
os.wait()
time.sleep(1000)
"""
#: exit(2), which ends the calling thread alone.
EXIT = "60" if os.uname().machine == "x86_64" else "93"
#: A process with the memory of its parent, as between vfork and another program.
BORROWED = """
import ctypes, os, time
held = b"x" * (100 << 20)
libc, stack = ctypes.CDLL(None), ctypes.create_string_buffer(1 << 16)
top = ctypes.c_void_p((ctypes.addressof(stack) + (1 << 16)) & ~15)
print(libc.clone(ctypes.cast(libc.pause, ctypes.c_void_p), top, 0x100 | 17, None), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("engine_name", ["bwrap", "process"])
def test_threads_that_take_turns_do_not_hide(
    place: DataDir, engine_name: str, request: pytest.FixtureRequest
) -> None:
    if engine_name == "bwrap":
        request.getfixturevalue("bwrap")
    script = TURNS.replace("EXIT", EXIT)

    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            wrapped = engine.wrap(command(PYTHON, "-I", "-S", "-c", script, limits=LIMITS))
            output = await run(spawner, wrapped, timeout_seconds=30)
            assert output.exit.reason == MEMORY_REASON or "ended" in output.text

    asyncio.run(main())


@pytest.mark.parametrize("way", ["stop", "kill -9"])
def test_a_daemon_without_its_first_thread_does_not_survive(place: DataDir, way: str) -> None:
    name = marker()
    script = HEADLESS.replace("EXIT", EXIT)

    def headless() -> list[int]:
        return [pid for pid in marked(name) if proc.living(pid) not in (0, pid)]

    async def main() -> None:
        async with started(place, "process") as (spawner, engine):
            process = await spawner.spawn(engine.wrap(command(PYTHON, "-c", script, name)))
            await until(lambda: bool(headless()))
            if way == "kill -9":
                os.kill(proc.parent(process.pid), signal.SIGKILL)
                await asyncio.wait_for(spawner.lost, 10)
                assert headless()
                kill_strays(place.run)
                assert not marked(name)
        assert not marked(name)

    asyncio.run(main())


def test_borrowed_memory_counts_once() -> None:
    """Else a function that uses half of its limit could die when it starts a program."""
    argv = [sys.executable, "-I", "-S", "-c", BORROWED]
    with killed_at_end(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        try:
            alone, *_ = tree.exact_bytes([process.pid])
            both, *_ = tree.exact_bytes([process.pid, child])
        finally:
            os.kill(child, signal.SIGKILL)
    assert 100 * MEGABYTE < both < 1.1 * alone


def test_socket_queues_count_for_their_owner() -> None:
    queues = Queues()
    ours, theirs = socket.socketpair()
    lost, ended = socket.socketpair()
    with ours, theirs, lost, socket.create_server(("127.0.0.1", 0)) as server:
        inodes = {one: {os.fstat(one.fileno()).st_ino: os.getpid()} for one in (ours, lost, server)}
        ours.send(bytes(50_000))
        ended.send(b"x")
        ended.close()
        with socket.create_connection(server.getsockname()) as client:
            client.send(bytes(100_000))
        assert queues.bytes_of(inodes[ours]) >= 50_000
        # The writer is gone, so the most that it may have written counts.
        assert queues.bytes_of(inodes[lost]) >= 200_000
        # The kernel may deliver the bytes of a connection a moment later.
        wait_until(
            lambda: Queues().bytes_of(inodes[server]) >= 100_000, 5, "they count for the listener"
        )


def test_the_floor_is_the_smallest_value_of_the_last_seconds() -> None:
    floor = Floor()
    seen = []
    for now, value in ((0, 5), (1, 9), (11, 7), (12, 8), (22, 8), (33, 9)):
        floor.add(value, now)
        seen.append(floor.value)
    assert seen == [5, 5, 5, 5, 7, 8]
