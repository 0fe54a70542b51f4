"""The engine `process`: an unprivileged process under limits, Landlock and a system call filter."""

from pathlib import Path

from minifn.sandbox.command import PRIVATE_TMP, Bind, Command, Confinement, Wrapped

from . import refuse_less_network
from .argv import Programs, confining_env, drop_argv, limits_argv, loader_argv

#: The protection in one line, by whether the server is root and whether there is Landlock.
STRENGTH = {
    (True, True): (
        "each function has a user of its own and reads only its own code, but sees that others run"
    ),
    (True, False): (
        "each function has a user of its own and cannot touch the server's data, but sees that"
        " others run"
    ),
    (False, True): (
        "functions share the server's user, and Landlock lets them read only their own code:"
        " a weak boundary"
    ),
    (False, False): (
        "functions share the server's user and have only resource limits: NOT a security boundary"
    ),
}


class ProcessEngine:
    """A process without privileges, under resource limits and a watchdog.

    It has a uid of its own when the server is root. Landlock and a system call filter keep it from
    other files and processes as far as the kernel supports them.
    """

    name = "process"
    tmp = PRIVATE_TMP
    namespaces = False

    def __init__(
        self,
        *,
        programs: Programs,
        root: bool,
        private_root: Path | None = None,
        readable: tuple[str, ...] = (),
        landlock: bool = False,
        seccomp: bytes = b"",
    ) -> None:
        """Directories below `private_root` open only for the uid of the command that uses them.

        `readable`: host paths that every command may read, for `landlock`.
        """
        self._programs = programs
        self._root = root
        self._private_root = private_root
        self._readable = readable
        self._landlock = landlock
        self._seccomp = seccomp
        #: A process that confines itself needs setpriv only to give up root.
        self._confined = landlock or bool(seccomp)
        self.strength = STRENGTH[root, landlock]

    def place(self, bind: Bind) -> str:
        """Return the bind's path on the host."""
        return str(bind.source)

    def wrap(self, command: Command) -> Wrapped:
        """Return the argv. Raises EngineUnavailable for a command with less network."""
        refuse_less_network(self.name, command)
        own_uid = self._root and command.uid > 0
        return Wrapped(
            # Processes are counted per uid, so only for a uid that no other process has.
            argv=(
                *self._drop_argv(command.uid),
                *limits_argv(self._programs, command.limits, count_processes=own_uid),
                *loader_argv(command.env),
                *command.argv,
            ),
            env=confining_env(command.env),
            cwd=command.cwd,
            limits=command.limits,
            label=command.label,
            uid=command.uid if own_uid else 0,
            private_tmp=True,
            private_paths=self._private_paths(command) if own_uid else (),
            confinement=self._confinement(command) if self._confined else None,
        )

    def _drop_argv(self, uid: int) -> tuple[str, ...]:
        if self._root:
            return (*drop_argv(self._programs, uid), "--pdeathsig", "KILL", "--")
        if self._programs.setpriv and not self._confined:
            return (self._programs.setpriv, "--no-new-privs", "--pdeathsig", "KILL", "--")
        return ()

    def _private_paths(self, command: Command) -> tuple[str, ...]:
        read_only = (bind.source for bind in command.binds if not bind.writable)
        return tuple(str(path) for path in read_only if path.parent == self._private_root)

    def _confinement(self, command: Command) -> Confinement:
        return Confinement(
            files=self._landlock,
            readable=(
                *self._readable,
                *(str(bind.source) for bind in command.binds if not bind.writable),
            ),
            writable=tuple(str(bind.source) for bind in command.binds if bind.writable),
            filter=self._seccomp,
        )
