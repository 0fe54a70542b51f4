"""Hostile functions that seek more rights: users, namespaces, rare kernel calls, settings."""

import contextlib
import ctypes
import errno
import os
import resource
import signal
import socket
import time
from pathlib import Path

from .attack import LIBC, Held, attack, call, system_call

#: Errors of the filter; any other error is the kernel's own.
REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAFNOSUPPORT)


@attack
def become_root(targets: dict[str, str]) -> str:
    if os.geteuid() == 0:
        return "is root"
    status = Path("/proc/self/status").read_text()
    if "CapEff:\t0000000000000000" not in status:
        return "has capabilities"
    if "NoNewPrivs:\t1" not in status:
        return "may gain privileges by setuid programs"
    os.setuid(0)
    return "became root"


@attack
def user_namespace(targets: dict[str, str]) -> str:
    call(LIBC.unshare(0x10000000))
    return "made a user namespace"


@attack
def user_namespace_by_clone(targets: dict[str, str]) -> str:
    if system_call("clone", 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)
    return "made a user namespace"


@attack
def mount_something(targets: dict[str, str]) -> str:
    with contextlib.suppress(OSError):
        call(LIBC.unshare(0x10020000))  # Mounting needs a user and a mount namespace.
    call(LIBC.mount(b"none", os.environ["TMPDIR"].encode(), b"tmpfs", 0, None))
    return "mounted"


@attack
def kernel_interfaces(targets: dict[str, str]) -> str:
    got = []
    for name, arguments in (
        ("io_uring_setup", (1, ctypes.create_string_buffer(256))),
        ("bpf", (0, ctypes.create_string_buffer(128), 128)),
        ("keyctl", (0, -3, 0)),
        ("userfaultfd", (1,)),
        ("fanotify_init", (0x200, 0)),
        ("personality", (0x0040000,)),
    ):
        try:
            system_call(name, *arguments)
            got.append(name)
        except OSError as error:
            if error.errno not in REFUSED:
                got.append(name)
    for name, family, kind in (("PACKET", 17, 3), ("RDS", 21, 5), ("ALG", 38, 5), ("VSOCK", 40, 1)):
        with contextlib.suppress(OSError):
            socket.socket(family, kind).close()
            got.append(name)
    if not got:
        raise Held("none answers")
    return ", ".join(got)


@attack
def change_machine(targets: dict[str, str]) -> str:
    """Set its clock, name and settings to their present values."""
    with contextlib.suppress(OSError):
        time.clock_settime(time.CLOCK_REALTIME, time.time())
        return "set the clock"
    with contextlib.suppress(OSError):
        socket.sethostname(socket.gethostname())
        return "set the name"
    for name in (
        "kernel/core_pattern",
        "kernel/randomize_va_space",
        "vm/overcommit_memory",
        "net/ipv4/ip_forward",
    ):
        with contextlib.suppress(OSError):
            Path("/proc/sys", name).write_text(Path("/proc/sys", name).read_text())
            return f"set {name}"
    for path in (
        "/proc/sysrq-trigger",
        "/sys/power/state",
        "/sys/kernel/mm/transparent_hugepage/enabled",
    ):
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY))
            return f"opened {path}"
    raise Held("nothing can be set")


@attack
def raise_limits(targets: dict[str, str]) -> str:
    for kind in (
        resource.RLIMIT_NOFILE,
        resource.RLIMIT_DATA,
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_CORE,
    ):
        hard = resource.getrlimit(kind)[1]
        if hard == resource.RLIM_INFINITY:
            return f"{kind} is not limited"
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (hard + 1, hard + 1))
            return f"raised {kind}"
    raise Held("each stays")
