"""The base of hostile functions: `main()` runs the one that its first argument names.

It prints BREACHED and the spoils, HELD and the reason, or LEFT and what it leaves behind, which the
driver looks for. The second argument is JSON with the places of the victims; a real attacker would
search for them. It uses the standard library only and nothing of minifn, because it runs inside the
sandbox. `attack.cjs` is its twin for Node.js.
"""

import contextlib
import ctypes
import errno
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

Attack = Callable[[dict[str, str]], str]
ATTACKS: dict[str, Attack] = {}
LIBC = ctypes.CDLL(None, use_errno=True)
#: Numbers by `uname -m` of system calls that the C library lacks, or checks itself.
SYSTEM_CALLS = {
    "bpf": {"x86_64": 321, "aarch64": 280},
    "clone": {"x86_64": 56, "aarch64": 220},
    "fanotify_init": {"x86_64": 300, "aarch64": 262},
    "io_uring_setup": {"x86_64": 425, "aarch64": 425},
    "ioprio_set": {"x86_64": 251, "aarch64": 30},
    "keyctl": {"x86_64": 250, "aarch64": 219},
    "memfd_secret": {"x86_64": 447, "aarch64": 447},
    "personality": {"x86_64": 135, "aarch64": 92},
    "userfaultfd": {"x86_64": 323, "aarch64": 282},
}


class Held(Exception):
    """The sandbox held, for the reason given."""


class Left(Exception):
    """Something is left behind; its harm shows after this function's end."""


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__] = function
    return function


def call(result: int) -> int:
    """Return what a C function returned. Raises OSError for -1."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def system_call(name: str, *arguments: object) -> int:
    """Return what the kernel returned. Raises OSError."""
    return call(LIBC.syscall(SYSTEM_CALLS[name][os.uname().machine], *arguments))


def is_visible(pid: int, word: str) -> None:
    """Raise Held unless that pid means the victim here and not another process."""
    with contextlib.suppress(PermissionError):  # It is hidden, but exists.
        if word not in Path(f"/proc/{pid}/cmdline").read_text(errors="replace"):
            raise Held("another process has that number here")


def main() -> None:
    if sys.argv[1] == "victim":
        # Blocked signals stay pending, where the driver sees them.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGURG])
        time.sleep(1000)
    for topic in ("reach", "rights", "exhaust", "hide"):
        importlib.import_module(f"{__package__}.{topic}")
    try:
        print("BREACHED", ATTACKS[sys.argv[1]](json.loads(sys.argv[2])), flush=True)
    except Left as error:
        print("LEFT", error, flush=True)
    except (Held, OSError, MemoryError) as error:
        name = (
            errno.errorcode.get(error.errno or 0, "")
            if isinstance(error, OSError)
            else type(error).__name__
        )
        print("HELD", name, error, flush=True)
