"""Starts one process: the descriptors it gets, and the rules it lays upon itself first."""

import contextlib
import errno
import fcntl
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence

from . import confine
from .messages import FIRST_DATA_DESCRIPTOR, FIRST_DESCRIPTOR, Confine, Spawn

#: Received descriptors are moved here, out of the way of the numbers they get inside a command.
PARKED_DESCRIPTOR = 256
#: Signals that Python ignores; a command expects the default.
IGNORED_HERE = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP)


class Starter:
    """Starts processes; each inherits its own descriptors, working directory and cores."""

    def __init__(self) -> None:
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._next_core = 0

    def start(self, spawn: Spawn, given: Sequence[int]) -> int:
        """Start a command with the descriptors `given` and return its pid.

        Every descriptor here is close-on-exec, so it inherits the named ones alone. Raises OSError,
        and ValueError for a NUL in an argument or "=" in a variable's name.
        """
        make_private(spawn)
        program = find(spawn["argv"][0], spawn["env"].get("PATH", os.defpath))
        data = [blob(text.encode("latin-1")) for text in spawn["data"]]
        places = {
            **dict(enumerate((self._null, *given[:2]))),
            **dict(enumerate(given[2:], FIRST_DESCRIPTOR)),
            **dict(enumerate(data, FIRST_DATA_DESCRIPTOR)),
        }
        try:
            os.chdir(spawn["cwd"])
            self.narrow(spawn["cpus"])
            if spawn["confine"] is None:
                return start_plain(program, spawn, places)
            return start_confined(program, spawn, spawn["confine"], places)
        finally:
            os.chdir("/")
            self.narrow(0)
            for descriptor in data:
                os.close(descriptor)

    def narrow(self, cpus: float, pid: int = 0) -> None:
        """Set the cores of a process, 0 for all; pid 0: those that the next child inherits.

        They are a window that moves on with each start.
        """
        wanted = math.ceil(cpus)
        if not self._cores or wanted >= len(self._cores):
            return
        if wanted <= 0:
            os.sched_setaffinity(pid, self._cores)
            return
        first, count = self._next_core, len(self._cores)
        window = [self._cores[(first + at) % count] for at in range(wanted)]
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(pid, window)
        self._next_core = (first + wanted) % count


def make_private(spawn: Spawn) -> None:
    """Make the private temporary directory, and close paths to all but the command's user."""
    uid = spawn["uid"]
    if spawn["tmp"]:
        os.mkdir(spawn["tmp"], 0o700)  # noqa: PTH102
        if uid:
            os.chown(spawn["tmp"], uid, uid)
    for path in spawn["private_paths"]:
        # By group, because an owner could make its own code writable.
        os.chown(path, -1, uid)
        os.chmod(path, 0o750)  # noqa: PTH101


def start_plain(program: str, spawn: Spawn, places: dict[int, int]) -> int:
    """Start a process by posix_spawn, which copies nothing.

    `places`: its descriptors, as numbers inside to numbers here.
    """
    return os.posix_spawn(
        program,
        spawn["argv"],
        spawn["env"],
        file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for target, source in places.items()],
        setsid=True,
        setsigmask=(),
        setsigdef=IGNORED_HERE,
    )


def start_confined(program: str, spawn: Spawn, rules: Confine, places: dict[int, int]) -> int:
    """Start a process that confines itself first; raises OSError if it cannot, before it runs."""
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
            if rules["files"]:
                writable = filter(None, (spawn["tmp"], *rules["writable"]))
                confine.restrict_files(rules["readable"], writable)
            confine.filter_calls(rules["filter"].encode("latin-1"))
            os.execve(program, spawn["argv"], spawn["env"])
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
    """Do long work in a child that then ends.

    Returns the child's pid, 0 when there are too many processes to start it.
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
    """Move a received descriptor up, close-on-exec, and return its new number."""
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
    """Return the file of a program on a PATH. Raises FileNotFoundError."""
    if "/" in program:
        return program
    for directory in path.split(":"):
        candidate = f"{directory}/{program}"
        if os.access(candidate, os.X_OK):
            return candidate
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
