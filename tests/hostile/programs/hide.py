"""Hostile functions that hide their resources, or themselves, from the watchdog."""

# Attacks name the exact system call.
# ruff: noqa: PTH108

import array
import contextlib
import ctypes
import errno
import mmap
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .attack import LIBC, Held, Left, attack, call, system_call

#: exit(2) ends the calling thread alone.
EXIT = {"x86_64": 60, "aarch64": 93}
#: CLONE_VM, FS, SIGHAND, THREAD, SYSVSEM: a thread with descriptors of its own.
OWN_DESCRIPTORS = 0x100 | 0x200 | 0x800 | 0x10000 | 0x40000
SECONDS = 10
#: Number and size of files, just within the limits.
FILES, FILE_BYTES = 48, 5 * 2**20
#: Bytes beyond the limit of memory.
SECRET_BYTES = 160 * 2**20


def memory_file() -> int:
    descriptor = os.memfd_create("hidden")
    os.write(descriptor, bytes(FILE_BYTES))
    return descriptor


def without_first_thread(body: Callable[[], object]) -> None:
    """Run `body` in another thread of a new process, whose first thread ends."""
    if os.fork() == 0:
        ready = threading.Event()

        def rest() -> None:
            ready.set()
            with contextlib.suppress(OSError, MemoryError):
                body()
                os._exit(0)
            os._exit(1)

        threading.Thread(target=rest, daemon=True).start()
        ready.wait()
        LIBC.syscall(EXIT[os.uname().machine], 0)


@attack
def headless_memory(targets: dict[str, str]) -> str:
    def body() -> None:
        held = [b"x" * 2**20 for _ in range(48)]
        time.sleep(SECONDS + len(held) % 2)

    for _ in range(8):
        without_first_thread(body)
    time.sleep(SECONDS)
    return "384 MB"


@attack
def headless_deleted_file(targets: dict[str, str]) -> str:
    def body() -> None:
        for number in range(8):
            path = Path(os.environ["TMPDIR"], f"gone{number}")
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
            os.unlink(path)
            for _ in range(4):
                os.write(descriptor, os.urandom(2**20))
        time.sleep(SECONDS)

    without_first_thread(body)
    if os.wait()[1]:
        raise Held("it ended")
    return "32 MB"


@attack
def headless_daemon(targets: dict[str, str]) -> str:
    """One of them also has no environment."""
    script = (
        "import ctypes, threading, time; "
        "threading.Thread(target=time.sleep, args=(1000,)).start(); "
        f"ctypes.CDLL(None).syscall({EXIT[os.uname().machine]}, 0)"
    )
    null = os.open(os.devnull, os.O_RDWR)
    for env in (dict[str, str](), dict(os.environ)):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in range(3):
                    os.dup2(null, number)
                argv = ["python", "-I", "-S", "-c", script, targets["mark"]]
                os.execve(sys.executable, argv, env)
            time.sleep(0.5)
            os._exit(0)
        os.wait()
    raise Left("two daemons")


@attack
def own_descriptors(targets: dict[str, str]) -> str:
    """Memory files that only a thread has open."""
    stack = ctypes.create_string_buffer(2**16)
    top = ctypes.c_void_p((ctypes.addressof(stack) + 2**16) & ~15)
    descriptors = [memory_file() for _ in range(FILES)]
    call(LIBC.clone(ctypes.cast(LIBC.pause, ctypes.c_void_p), top, OWN_DESCRIPTORS, None))
    for descriptor in descriptors:
        os.close(descriptor)
    time.sleep(SECONDS)
    return f"{FILES * FILE_BYTES >> 20} MB"


@attack
def thread_bomb(targets: dict[str, str]) -> str:
    """Threads are tasks of the kernel like processes."""
    threading.stack_size(2**16)
    for number in range(1000):
        try:
            threading.Thread(target=time.sleep, args=(SECONDS,), daemon=True).start()
        except RuntimeError as error:
            raise Held(f"{number} threads") from error
    time.sleep(SECONDS)
    return "1000 threads"


@attack
def page_tables(targets: dict[str, str]) -> str:
    """Reading one byte in two megabytes makes a page of tables, and nothing resident."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE
    area = mmap.mmap(-1, 2**38, flags=flags, prot=mmap.PROT_READ)
    found = sum(area[at] for at in range(0, 2**38, 2**21))
    time.sleep(SECONDS + found)
    return "512 MB"


@attack
def secret_memory(targets: dict[str, str]) -> str:
    """Touch pages of a secret file and unmap them: they stay, and no size of anything has them."""
    descriptor = system_call("memfd_secret", 0)
    os.ftruncate(descriptor, SECRET_BYTES)
    # Mapped memory of this kind is limited, so a piece at a time.
    piece = 2**20
    for offset in range(0, SECRET_BYTES, piece):
        with mmap.mmap(descriptor, piece, offset=offset) as area:
            for at in range(0, piece, mmap.PAGESIZE):
                area[at] = 1
    return f"{SECRET_BYTES >> 20} MB"


@attack
def many_files(targets: dict[str, str]) -> str:
    """Each takes a kilobyte of the kernel's memory that its size does not count."""
    for number in range(52_000):
        os.close(os.open(f"{os.environ['TMPDIR']}/{number}", os.O_WRONLY | os.O_CREAT))
    # A busy machine takes long to count them.
    time.sleep(2 * SECONDS)
    return "52,000 files"


def fill(*ends: socket.socket) -> None:
    for end in ends:
        end.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                end.send(bytes(2**20))


@attack
def loopback_queues(targets: dict[str, str]) -> str:
    """It sends to itself and never reads."""
    pairs = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(3):
            for _ in range(16):
                client = socket.create_connection(server.getsockname())
                pairs.append((client, server.accept()[0]))
                fill(*pairs[-1])
            if os.fork():
                break
            pairs = []
    time.sleep(SECONDS)
    return f"{len(pairs)} connections"


@attack
def queue_of_the_dead(targets: dict[str, str]) -> str:
    """The connections are never accepted, and their clients are gone."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:
        for _ in range(400):
            client = socket.create_connection(server.getsockname())
            fill(client)
            client.close()
        time.sleep(SECONDS)
    return "400 connections"


@attack
def descriptors_in_flight(targets: dict[str, str]) -> str:
    """It sends memory files to itself, closes them and never receives them."""
    ends = socket.socketpair()
    deadline = time.monotonic() + SECONDS
    for _ in range(FILES):
        descriptor = memory_file()
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))
        send_by(deadline, ends[0], rights)
        os.close(descriptor)
    time.sleep(SECONDS)
    return f"{FILES * FILE_BYTES >> 20} MB"


def send_by(
    deadline: float, end: socket.socket, rights: tuple[int, int, "array.array[int]"]
) -> None:
    """Send descriptors, once other programs of this user leave it room for them on their way."""
    while True:
        try:
            end.sendmsg([b"x"], [rights])
            return
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@attack
def pending_signals(targets: dict[str, str]) -> str:
    """The kernel counts them per user, so a function could leave none for the server."""
    import signal

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
    sent = 0
    while sent < 3000:
        if LIBC.sigqueue(os.getpid(), int(signal.SIGRTMIN), None):
            raise Held(f"{sent} signals")
        sent += 1
    return f"{sent} signals"
