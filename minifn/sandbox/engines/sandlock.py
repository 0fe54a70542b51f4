"""The engine `sandlock`: Landlock and system calls that a supervisor decides on, by the package of that name.

For machines that allow no namespaces (containers) and yet have a recent kernel. The package closes every descriptor but
the three standard ones and supervises from threads of its caller, so each command has `sandlock_main.py` around it.
"""

import importlib.util
from pathlib import Path

from minifn.sandbox.command import Bind, Command, EngineUnavailable, Wrapped
from minifn.sandbox.launcher.confine import DEVICES

from .bwrap import (
    Programs,
    confining_env,
    drop_argv,
    limits_argv,
    loader_argv,
    refuse_less_network,
)

MAIN = Path(__file__).with_name("sandlock_main.py")
#: Addresses that lead nowhere: the package allows all others only to those who deny some.
NOWHERE = ("0.0.0.1/32",)
#: What the package leaves to the kernel and `process` refuses, of the calls it knows by name.
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
    """A process that reads only what it is given, sees only its own and asks a supervisor for the rest."""

    name = "sandlock"
    strength = (
        "Landlock and supervised system calls: reads only its own code, sees only its own processes"
    )

    def __init__(
        self,
        *,
        programs: Programs,
        root: bool,
        python: str,
        package: Path,
        readable: tuple[str, ...],
    ) -> None:
        """`python` runs the supervisor and must be open to every uid when the server is root.

        `readable`: what of the host every command may read.
        """
        self._programs = programs
        self._root = root
        self._python = python
        self._package = package
        self._readable = readable

    def place(self, bind: Bind) -> str:
        """A bind is where it is on the host."""
        return str(bind.source)

    def wrap(self, command: Command) -> Wrapped:
        """Return the argv of the supervisor. Raises EngineUnavailable for a command with less network."""
        refuse_less_network(self.name, command)
        own_uid = self._root and command.uid > 0
        identity = (
            drop_argv(self._programs, command.uid)
            if self._root
            else (self._programs.setpriv, "--no-new-privs")
        )
        limits = command.limits
        inner = (
            *limits_argv(self._programs, limits, count_processes=own_uid),
            *loader_argv(command.env),
            *command.argv,
        )
        options = {
            "fs_readable": [
                *self._readable,
                *(str(bind.source) for bind in command.binds if not bind.writable),
            ],
            "fs_writable": [
                *DEVICES,
                *(str(bind.source) for bind in command.binds if bind.writable),
            ],
            # The watchdog counts the supervisor as well.
            "max_processes": max(1, limits.processes - 1) if limits.processes else None,
            "net_deny": NOWHERE,
            "net_allow_bind": ["*"],
            "no_coredump": True,
            "extra_deny_syscalls": OPEN_CALLS,
            "clean_env": True,
            "cwd": command.cwd,
        }
        return Wrapped(
            argv=(
                *identity,
                "--pdeathsig",
                "KILL",
                "--",
                self._python,
                "-I",
                "-S",
                str(MAIN),
                str(self._package),
            ),
            env=confining_env(command.env),
            cwd="/",
            limits=limits,
            label=command.label,
            uid=command.uid if own_uid else 0,
            private_tmp=True,
            supervision={"argv": inner, "options": options},
        )
