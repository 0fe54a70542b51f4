"""Starting one process: what it has at which descriptor, and what it does to itself first."""

import errno
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from . import confine

#: Received descriptors are moved up here, out of the way of the numbers they get inside a command.
PARKED_DESCRIPTOR = 256
#: Python ignores these; a command expects the default.
IGNORED_HERE = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP)


def start_plain(spec: dict[str, Any], places: dict[int, int]) -> int:
    """Start a process by posix_spawn, which copies nothing; `places` says which descriptor it has at each number."""
    return os.posix_spawn(
        spec["program"],
        spec["argv"],
        spec["env"],
        file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for target, source in places.items()],
        setsid=True,
        setsigmask=(),
        setsigdef=IGNORED_HERE,
    )


def start_confined(spec: dict[str, Any], places: dict[int, int]) -> int:
    """Start a process that confines itself first. Raises OSError when it cannot: then nothing has run."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for ignored in IGNORED_HERE:
                signal.signal(ignored, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            write = park(write)
            for target, source in places.items():
                os.dup2(source, target)
            confine.die_with_parent()
            confine.forbid_new_privileges()
            if spec["confine"]["files"]:
                confine.restrict_files(
                    spec["confine"]["readable"],
                    filter(None, (spec["tmp"], *spec["confine"]["writable"])),
                )
            confine.filter_calls(spec["confine"]["filter"].encode("latin-1"))
            os.execve(spec["program"], spec["argv"], spec["env"])
        except (OSError, ValueError) as error:
            os.write(write, str(error.strerror if isinstance(error, OSError) else error).encode())
        finally:
            os._exit(127)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        failure = pipe.read().decode()
    if failure:
        os.waitpid(pid, 0)
        raise OSError(0, failure)
    return pid


def errand(work: Callable[[], object]) -> int:
    """Do something that takes long in a child that ends after it; return the child's pid, 0 when
    there are too many processes for one.
    """
    try:
        pid = os.fork()
    except OSError:
        return 0
    if pid == 0:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(0)
    return pid


def park(number: int) -> int:
    """Move a received descriptor up and make it close-on-exec."""
    parked = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, PARKED_DESCRIPTOR)
    os.close(number)
    return parked


def blob(content: bytes) -> int:
    """Return a descriptor that reads `content`."""
    descriptor = os.memfd_create("minifn")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return park(descriptor)


def find(program: str, path: str) -> str:
    """Return the file a program name means under a PATH."""
    if "/" in program:
        return program
    for directory in path.split(":"):
        candidate = f"{directory}/{program}"
        if os.access(candidate, os.X_OK):
            return candidate
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
