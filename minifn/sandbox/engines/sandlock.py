"""The engine `sandlock`: Landlock and supervised system calls, by the package of that name.

For machines without namespaces (containers) and with a recent kernel. The package closes every
descriptor but the three standard ones and supervises from threads of its caller, so each command
runs inside a `sandlock_main.py`.
"""

import importlib.util
from pathlib import Path

from minifn.sandbox.command import (
    PRIVATE_TMP,
    Bind,
    Command,
    Confinement,
    EngineUnavailable,
    Wrapped,
)
from minifn.sandbox.launcher.confine import DEVICES
from minifn.sandbox.launcher.messages import FIRST_DATA_DESCRIPTOR, FIRST_DESCRIPTOR
from minifn.sandbox.seccomp import NO_SECRET_MEMORY

from . import refuse_less_network
from .argv import Programs, confining_env, drop_argv, limits_argv, loader_argv

MAIN = Path(__file__).with_name("sandlock_main.py")
#: Denied addresses that lead nowhere: the package allows all others only beside a denied one.
NOWHERE = ("0.0.0.1/32",)
#: System calls that `process` refuses and the package does not, among those it knows by name.
OPEN_CALLS = ("fanotify_init",)


def find_package() -> Path:
    """Return the directory that `sandlock` is imported from. Raises EngineUnavailable."""
    package = importlib.util.find_spec("sandlock")
    if package is None or not package.origin:
        raise EngineUnavailable(
            "the package sandlock is not installed (pip install minifn[sandlock])"
        )
    return Path(package.origin).parents[1]


class SandlockEngine:
    """A process that reads only the given files, sees only its own and asks a supervisor first."""

    name = "sandlock"
    tmp = PRIVATE_TMP
    namespaces = False
    strength = "functions read only their own code, and see only their own processes"

    def __init__(
        self,
        *,
        programs: Programs,
        root: bool,
        python: str,
        package: Path,
        readable: tuple[str, ...],
    ) -> None:
        """`python` runs the supervisor; every uid must be able to run it when the server is root.

        `readable`: host paths that every command may read.
        """
        self._programs = programs
        self._root = root
        self._python = python
        self._package = package
        self._readable = readable

    def place(self, bind: Bind) -> str:
        """Return the bind's path on the host."""
        return str(bind.source)

    def wrap(self, command: Command) -> Wrapped:
        """Return the supervisor's argv. Raises EngineUnavailable for less network."""
        refuse_less_network(self.name, command)
        own_uid = self._root and command.uid > 0
        identity = (
            drop_argv(self._programs, command.uid)
            if self._root
            else (self._programs.setpriv, "--no-new-privs")
        )
        supervisor = (self._python, "-I", "-S", MAIN, self._package)
        descriptors = (FIRST_DESCRIPTOR, FIRST_DATA_DESCRIPTOR)
        inner = (
            *limits_argv(self._programs, command.limits, count_processes=own_uid),
            *loader_argv(command.env),
            *command.argv,
        )
        return Wrapped(
            argv=(
                *(*identity, "--pdeathsig", "KILL", "--"),
                *map(str, (*supervisor, *descriptors)),
            ),
            env=confining_env(command.env),
            cwd="/",
            limits=command.limits,
            label=command.label,
            uid=command.uid if own_uid else 0,
            private_tmp=True,
            # The package knows no name of this call.
            confinement=Confinement(files=False, readable=(), writable=(), filter=NO_SECRET_MEMORY),
            supervision={"argv": inner, "options": self._options(command)},
        )

    def _options(self, command: Command) -> dict[str, object]:
        """Return the arguments of the package's `Sandbox`."""
        processes = command.limits.processes
        return {
            "fs_readable": [
                *self._readable,
                *(str(bind.source) for bind in command.binds if not bind.writable),
            ],
            "fs_writable": [
                *DEVICES,
                *(str(bind.source) for bind in command.binds if bind.writable),
            ],
            # The watchdog counts the supervisor as well.
            "max_processes": max(1, processes - 1) if processes else None,
            "net_deny": NOWHERE,
            "net_allow_bind": ["*"],
            "no_coredump": True,
            "extra_deny_syscalls": OPEN_CALLS,
            "clean_env": True,
            "cwd": command.cwd,
        }
