"""Hostile functions that use up resources, or stay longer than they may."""

# Attacks name the exact system call.
# ruff: noqa: PTH108, PTH123

import contextlib
import os
import resource
import signal
import sys
import time
from pathlib import Path

from .attack import Held, Left, attack


@attack
def spin(targets: dict[str, str]) -> str:
    """Compute until the deadline, also in a process that left the session."""
    if os.fork() == 0:
        os.setsid()
    while True:
        pass


@attack
def ignore_termination(targets: dict[str, str]) -> str:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    print("READY", flush=True)
    while True:
        time.sleep(1000)


@attack
def daemon(targets: dict[str, str]) -> str:
    """Leave two, one of them without its environment."""
    for forgetful in (False, True):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                if forgetful:
                    script = "import time; time.sleep(1000)"
                    os.execve(
                        sys.executable, ["python", "-I", "-S", "-c", script, targets["mark"]], {}
                    )
                time.sleep(1000)
            os._exit(0)
        os.wait()
    raise Left("two daemons")


@attack
def fork_bomb(targets: dict[str, str]) -> str:
    made, end = 0, time.monotonic() + 20
    while made < 3000 and time.monotonic() < end:
        try:
            if os.fork() == 0:
                time.sleep(30)
                os._exit(0)
        except OSError as error:
            raise Held(f"{made} processes") from error
        made += 1
    return f"{made} processes"


@attack
def memory_bomb(targets: dict[str, str]) -> str:
    block = []
    for _ in range(64):
        block.append(b"x" * 2**24)
    return f"{len(block) * 16} MB"


@attack
def memory_tree(targets: dict[str, str]) -> str:
    """Each process stays below its own limit."""
    for _ in range(8):
        if os.fork() == 0:
            held = b"x" * (48 * 2**20)
            time.sleep(20)
            os._exit(len(held) % 2)
    time.sleep(10)
    return "384 MB"


@attack
def shared_memory(targets: dict[str, str]) -> str:
    import mmap

    area = mmap.mmap(-1, 512 * 2**20)
    for at in range(0, len(area), 4096):
        area[at] = 1
    time.sleep(3)
    return "512 MB"


@attack
def fill_disk(targets: dict[str, str]) -> str:
    written = 0
    for number in range(64):
        with open(Path(os.environ["TMPDIR"], f"fill{number}"), "wb") as file:
            for _ in range(4):
                file.write(os.urandom(2**20))
                file.flush()
                written += 1
    time.sleep(5)
    return f"{written} MB"


@attack
def fill_devices(targets: dict[str, str]) -> str:
    """Memory behind /dev and /dev/shm belongs to no process."""
    written = 0
    for place in ("/dev", "/dev/shm"):
        with contextlib.suppress(OSError), open(f"{place}/fill-{os.getpid()}", "wb") as file:
            try:
                while written < 64:
                    file.write(b"x" * 2**20)
                    file.flush()
                    written += 1
            finally:
                os.unlink(file.name)
    if written < 64:
        raise Held(f"{written} MB")
    return f"{written} MB"


@attack
def open_everything(targets: dict[str, str]) -> str:
    held = []
    for number in range(4096):
        try:
            held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            raise Held(f"{number} descriptors") from error
    return f"{len(held)} descriptors"


@attack
def dump_core(targets: dict[str, str]) -> str:
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        raise Held("no core files")
    return "may write core files"
