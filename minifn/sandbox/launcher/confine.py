"""Rules that a process without namespaces lays upon itself: Landlock and a system call filter.

Both hold for all its descendants and cannot be removed. They come before the command's own argv, so
`setpriv` and `prlimit` already run under them. Kernel interfaces: linux/landlock.h,
linux/seccomp.h.
"""

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 4, 38, 22
SECCOMP_MODE_FILTER = 2
#: System calls, with the same numbers on every architecture.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULESET_VERSION, PATH_BENEATH = 1, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEVICE = 1 << 14, 1 << 15
#: First version that forbids truncation; before it the filter must.
TRUNCATE_SINCE = 3
#: Rights that each version of Landlock adds. A ruleset handles all of them: it forbids each one
#: that no rule grants.
RIGHTS_OF_VERSION = (
    (1, (1 << 13) - 1),
    (2, 1 << 13),
    (TRUNCATE_SINCE, TRUNCATE),
    (5, IOCTL_DEVICE),
)
READ = EXECUTE | READ_FILE | READ_DIR
#: Rights that the kernel accepts for anything but a directory.
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
#: Scopes (no abstract sockets and no signals beyond the sandbox) and their first version.
SCOPES, SCOPED_SINCE = 0b11, 6


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _call(number: int, *arguments: object) -> int:
    result = int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def _control(option: int, *arguments: object) -> None:
    """Call prctl."""
    padding = [0] * (4 - len(arguments))
    if ctypes.CDLL(None, use_errno=True).prctl(option, *arguments, *padding):
        error = ctypes.get_errno()
        raise OSError(error, f"prctl {option}: {os.strerror(error)}")


def landlock_version() -> int:
    """Return the version of Landlock this kernel runs, 0 for none."""
    if not hasattr(os, "O_PATH"):
        return 0
    try:
        return _call(CREATE_RULESET, None, ctypes.c_size_t(0), RULESET_VERSION)
    except OSError:
        return 0


def die_with_parent() -> None:
    """Have the kernel kill this process when the launcher ends. Giving up root undoes it.

    Does nothing without prctl. Raises OSError.
    """
    if sys.platform == "linux":
        _control(PR_SET_PDEATHSIG, signal.SIGKILL)


def forbid_new_privileges() -> None:
    """Ignore setuid programs from now on. Raises OSError."""
    _control(PR_SET_NO_NEW_PRIVS, 1)


def forbid_dumps() -> None:
    """Let only root read this process's memory and environment, until it runs another program.

    It leaves no core file either. Does nothing without prctl. Raises OSError.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        _control(PR_SET_DUMPABLE, 0)


def restrict_files(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Allow only these paths, what lies below them, and devices that hold nothing.

    Missing paths are ignored. Raises OSError without Landlock.
    """
    version = _call(CREATE_RULESET, None, ctypes.c_size_t(0), RULESET_VERSION)
    handled = sum(rights for since, rights in RIGHTS_OF_VERSION if version >= since)
    attributes = struct.pack("=QQQ", handled, 0, SCOPES if version >= SCOPED_SINCE else 0)
    # An older kernel takes a larger structure if the fields it does not know are zero.
    ruleset = _call(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for path in readable:
            _allow(ruleset, path, READ & handled)
        for path in DEVICES:
            _allow(ruleset, path, (READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEVICE) & handled)
        for path in writable:
            _allow(ruleset, path, handled)
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not os.path.isdir(path):  # noqa: PTH112 - a small process, without pathlib
                rights &= OF_A_FILE
            _call(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
        finally:
            os.close(descriptor)


def filter_calls(program: bytes) -> None:
    """Set a system call filter: an array of struct sock_filter, b"" for none. Raises OSError."""
    if not program:
        return
    _control(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(len(program) // 8, program)))
