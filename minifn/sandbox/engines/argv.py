"""Argv prefixes that engines share: resource limits, dropped privileges, loader variables."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from minifn.sandbox.command import Limits

#: Queued signals and timers of a user, which the kernel counts together.
PENDING_SIGNALS = 256
#: Variables that glibc ignores in programs with more rights than their caller (its `unsecvars.h`).
#: The programs that confine a command start with the server's rights, so a function must not reach
#: their loader, allocator or locale by these.
LOADER_VARIABLES = (
    *("LD_", "GLIBC_", "MALLOC_", "GCONV_PATH", "GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN"),
    *("LOCPATH", "NIS_PATH", "NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS", "TZDIR"),
)
#: The variable that carries loader variables past the confining programs, and the program that
#: exports them once the command is confined. Arguments could not carry them: every user of the
#: machine can read those. (A shell started with these variables would drop invalid names.)
LOADER_ENV = "MINIFN_LOADER_ENV"
LOADER_PROGRAM = ("/bin/sh", "-c", f'eval "${LOADER_ENV}"; unset {LOADER_ENV}; exec "$@"', "sh")


@dataclass(frozen=True, kw_only=True, slots=True)
class Programs:
    """Paths of the confining programs of util-linux; "" for one that the machine lacks."""

    setpriv: str = ""
    prlimit: str = ""


def limits_argv(programs: Programs, limits: Limits, *, count_processes: bool) -> tuple[str, ...]:
    """Return the prefix that sets resource limits, () without prlimit.

    RLIMIT_AS stays alone: node, WebAssembly, Go and Java reserve far more address space than they
    use.
    """
    if not programs.prlimit:
        return ()
    values = {
        "core": 0,
        "sigpending": PENDING_SIGNALS,
        "nofile": limits.open_files or None,
        "data": _data_bytes(limits) or None,
        "fsize": limits.file_bytes or None,
        "nproc": (limits.processes or None) if count_processes else None,
        # The soft limit sends SIGXCPU, the hard one a second later SIGKILL.
        "cpu": f"{limits.cpu_seconds}:{limits.cpu_seconds + 1}" if limits.cpu_seconds else None,
    }
    options = (f"--{name}={value}" for name, value in values.items() if value is not None)
    return (programs.prlimit, *options, "--")


def _data_bytes(limits: Limits) -> int:
    """Return RLIMIT_DATA, 0 for none."""
    return limits.memory_bytes + limits.reserved_bytes if limits.memory_bytes else 0


def drop_argv(programs: Programs, uid: int) -> tuple[str, ...]:
    """Return the prefix that gives up root for `uid`, and every capability."""
    identity = ("--reuid", str(uid), "--regid", str(uid), "--clear-groups") if uid else ()
    return (programs.setpriv, *identity, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


def loader_argv(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the prefix that sets loader variables once the command is confined, () without any."""
    return LOADER_PROGRAM if any(map(_is_loader_variable, env)) else ()


def confining_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for the confining programs: loader variables travel in LOADER_ENV."""
    kept = {name: value for name, value in env.items() if not _is_loader_variable(name)}
    exports = [
        f"export {name}={shlex.quote(value)}" for name, value in env.items() if name not in kept
    ]
    return {**kept, LOADER_ENV: "\n".join(exports)} if exports else kept


def _is_loader_variable(name: str) -> bool:
    # No loader reads a name that is not an identifier, and no shell could set it.
    return name.startswith(LOADER_VARIABLES) and name.isascii() and name.isidentifier()
