"""Records of a command and its confinement, without effects.

A caller describes a process as a `Command`, an engine (`engines/`) turns it into a `Wrapped`, and
the spawner (`spawner.py`) starts that. Paths in a command are those that the command sees:
`engine.place(bind)` returns them.

    env = {"PATH": "/usr/bin"}
    command = Command(argv=("/usr/bin/python3", "-c", "print(1)"), env=env, label="hello")
    process = await spawner.spawn(engine.wrap(command), stdout=descriptor)
    exit = await process.wait()
"""

import enum
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: Placeholder for the host's path of the private temporary directory, which the spawner chooses. It
#: may stand in arguments and variables.
PRIVATE_TMP = "{private tmp}"


class SandboxError(Exception):
    """A process could not be confined or started."""


class EngineUnavailable(SandboxError):
    """The wanted engine cannot run on this machine; the message says why and what would help."""


class NetworkUnavailable(EngineUnavailable):
    """The engine runs, but not with the wanted network; the message says why."""


class SpawnFailed(SandboxError):
    """The operating system refused to start a command."""


class Network(enum.Enum):
    """The part of the network that a command reaches."""

    #: The host's network, loopback included.
    HOST = "host"
    #: Other hosts, through pasta: no address of this one, and none that is closed.
    ISOLATED = "isolated"
    #: Nothing but a loopback of its own.
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The resources that a command may use; 0 always means no limit."""

    #: Memory of the whole tree of processes, by a watchdog; and of each process, by RLIMIT_DATA.
    memory_bytes: int = 0
    #: Memory on top of that in RLIMIT_DATA alone, for a language that reserves more than it uses.
    reserved_bytes: int = 0
    #: Processes and threads. Without a user namespace (the server is root) they are counted per
    #: uid, so that the workers and builds of one function share them.
    processes: int = 256
    open_files: int = 1024
    #: Size of the largest file that may be written.
    file_bytes: int = 0
    #: Size of the private temporary directory.
    tmp_bytes: int = 64 * 1024 * 1024
    #: Cores the command may be scheduled on, rounded up.
    cpus: float = 0.0
    #: CPU time of one process, for one-shot commands such as builds.
    cpu_seconds: int = 0
    #: Niceness added to the server's, 0 to 19.
    nice: int = 0
    #: OOM score added to the server's, 0 to 1000: the kernel kills higher scores first.
    oom_score_adj: int = 900


@dataclass(frozen=True, kw_only=True, slots=True)
class Bind:
    """A host path that the command needs, and its place in an engine's own file system."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A process to start. It gets these variables and files of the server, and no others."""

    #: The program is found by the PATH of `env` unless it is a path.
    argv: tuple[str, ...]
    #: The complete environment. Engines add only MINIFN_TREE, by which orphans are recognized, and
    #: HOME and TMPDIR (the private temporary directory) where they are missing.
    env: Mapping[str, str]
    #: Working directory, as the command sees it.
    cwd: str = "/"
    binds: tuple[Bind, ...] = ()
    limits: Limits = field(default_factory=Limits)
    network: Network = Network.HOST
    #: The uid and gid to run as when the server is root. 0 keeps the server's, without
    #: capabilities: only for minifn's own code, never for a user's.
    uid: int = 0
    #: For logs and errors.
    label: str = "command"


@dataclass(frozen=True, kw_only=True, slots=True)
class Confinement:
    """The rules that a process without namespaces lays upon itself before it runs the command."""

    #: Whether Landlock limits it to these paths and the private temporary directory.
    files: bool
    readable: tuple[str, ...]
    writable: tuple[str, ...]
    #: A system call filter (`seccomp.program`), b"" for none.
    filter: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrapped:
    """A confined command, complete for the spawner."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    #: Working directory on the host.
    cwd: str
    limits: Limits
    label: str
    uid: int = 0
    #: Contents of the descriptors from FIRST_DATA_DESCRIPTOR on.
    data: tuple[bytes, ...] = ()
    #: Whether its first child is the init of a pid namespace, whose death kills everything.
    namespaced: bool = False
    #: Whether it gets a private temporary directory, which HOME and TMPDIR name. Its size is
    #: watched, and it is removed afterwards.
    private_tmp: bool = False
    #: The path by which the command knows that directory, "" for the host's path. If it is set, the
    #: host's path replaces PRIVATE_TMP in the first `data`.
    tmp_inside: str = ""
    confinement: Confinement | None = None
    #: JSON that a supervising program reads from the first data descriptor, with the command's
    #: environment added as `env` and the private temporary directory as `tmp`. The supervisor
    #: itself gets neither.
    supervision: Mapping[str, object] | None = None
    #: Directories that are closed to all but root and `uid`.
    private_paths: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """How a process ended: with a code, or by a signal."""

    code: int | None
    signal: int | None = None
    #: Why minifn ended it, for the function's owner: "memory limit exceeded (512 MB)"; else "".
    reason: str = ""
    #: Leftovers of an adopted process in its sandbox: see `launcher.messages.Left`.
    left: str = ""

    @property
    def signal_name(self) -> str:
        """The signal's name; "" without a signal, or for one without a name (real-time signals)."""
        return signal.Signals(self.signal).name if self.signal in set(signal.Signals) else ""
