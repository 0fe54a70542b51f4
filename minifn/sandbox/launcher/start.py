"""Starting one process: what it has at which descriptor, and what it does to itself first."""

import contextlib
import errno
import fcntl
import os
import signal
from typing import Any

from . import cgroup, confine, proc

#: Received descriptors are moved up here, out of the way of the numbers they get inside a command.
PARKED_DESCRIPTOR = 256
#: Python ignores these; a command expects the default.
IGNORED_HERE = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP)


def start(spec: dict[str, Any], places: dict[int, int]) -> int:
    """Start a process; `places` says which descriptor it has at each number.

    Raises OSError when it cannot be started, or not confined: then nothing has run. Forks, because
    only the child itself can raise its score in time: bubblewrap soon forbids others to.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for ignored in IGNORED_HERE:
                signal.signal(ignored, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            write = park(write)
            raise_oom_score(spec["oom_score_adj"])
            for target, source in places.items():
                os.dup2(source, target)
            if spec["confine"]:
                confine_itself(spec)
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


def confine_itself(spec: dict[str, Any]) -> None:
    """Lay the confinement of `spec` upon this process. Raises OSError."""
    confine.die_with_parent()
    confine.forbid_new_privileges()
    if spec["confine"]["files"]:
        confine.restrict_files(spec["confine"]["readable"], filter(None, (spec["tmp"], *spec["confine"]["writable"])))
    confine.filter_calls(spec["confine"]["filter"].encode("latin-1"))


def raise_oom_score(adjustment: int) -> None:
    """Have the kernel kill this process, and those it starts, before the server.

    The launcher must not have that score itself, not even while it starts one: it would be the
    first to die, and the server with it.
    """
    with contextlib.suppress(OSError):
        own = int(proc.read("/proc/self/oom_score_adj") or b"0")
        cgroup.write("/proc/self/oom_score_adj", str(min(1000, max(0, own) + adjustment)))


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
