"""What is to run and how it is confined: plain records, no effects.

A caller describes a process as a `Command`; an engine (`engines.py`) turns it into a `Wrapped`; the spawner
(`spawner.py`) starts it. Paths in a command are written the way the command sees them: ask `engine.place(bind)`.

    command = Command(argv=("/usr/bin/python3", "-c", "print(1)"), env={"PATH": "/usr/bin"}, label="hello")
    process = await spawner.spawn(engine.wrap(command), stdout=descriptor)
    exit = await process.wait()
"""

import enum
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: The first of the caller's descriptors inside a command; the others follow in the order they were given.
FIRST_DESCRIPTOR = 3
#: Engines hand their own data (options, filters) over from here on, so a caller may pass fewer than 61.
FIRST_DATA_DESCRIPTOR = 64


#: Stands for the path of the private temporary directory, which the spawner chooses.
PRIVATE_TMP = "{private tmp}"


class SandboxError(Exception):
    """A process could not be confined or started."""


class EngineUnavailable(SandboxError):
    """The engine asked for cannot run on this machine; the message says why and what would help."""


class NetworkUnavailable(EngineUnavailable):
    """The engine runs, but not with the network asked for; the message says why."""


class SpawnFailed(SandboxError):
    """The operating system refused to start a command."""


class Network(enum.Enum):
    """What a command reaches over the network."""

    #: The host's network, loopback included.
    HOST = "host"
    #: Other hosts, through pasta: not the host's loopback.
    ISOLATED = "isolated"
    #: Nothing but a loopback of its own.
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much a command may use; 0 always means no limit."""

    #: Of the whole tree of processes, by a watchdog; of each process at once, by RLIMIT_DATA.
    memory_bytes: int = 0
    #: Processes and threads. Without a user namespace (the server is root) they are counted per uid, so that the
    #: workers and builds of one function share them.
    processes: int = 256
    open_files: int = 1024
    #: The largest file that may be written.
    file_bytes: int = 0
    #: The private /tmp.
    tmp_bytes: int = 64 * 1024 * 1024
    #: Cores the command may be scheduled on, rounded up.
    cpus: float = 0.0
    #: CPU time of one process; for one-shot commands such as builds.
    cpu_seconds: int = 0
    #: How far behind the server it stands in line for a core, 0 to 19.
    nice: int = 0
    #: How much earlier than the server the kernel kills it when memory runs out, 0 to 1000.
    oom_score_adj: int = 900


@dataclass(frozen=True, kw_only=True, slots=True)
class Bind:
    """A host path that the command needs, and where it appears when the engine has a file system of its own."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A process to start. Nothing of the server's environment reaches it but what is written here."""

    #: The program is found by the PATH of `env` unless it is a path.
    argv: tuple[str, ...]
    #: Complete; engines add only HOME and TMPDIR (the private temporary directory) where they are missing, and
    #: MINIFN_TREE, by which orphans are recognised.
    env: Mapping[str, str]
    #: As the command sees it.
    cwd: str = "/"
    binds: tuple[Bind, ...] = ()
    limits: Limits = field(default_factory=Limits)
    network: Network = Network.HOST
    #: The uid and gid to run as when the server is root. 0 keeps the server's (without capabilities): only for
    #: minifn's own code, never for a user's.
    uid: int = 0
    #: For logs and errors.
    label: str = "command"


@dataclass(frozen=True, kw_only=True, slots=True)
class Confinement:
    """What a process without namespaces lays upon itself before it becomes the command."""

    #: By Landlock: only these paths and the private temporary directory can be opened. False: no rule for files.
    files: bool
    readable: tuple[str, ...]
    writable: tuple[str, ...]
    #: A system call filter (`seccomp.program`), b"" for none.
    filter: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrapped:
    """A command as an engine wants it started: the spawner needs nothing else."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    #: On the host.
    cwd: str
    limits: Limits
    label: str
    uid: int = 0
    #: Bytes that the command reads from descriptor FIRST_DATA_DESCRIPTOR + index.
    data: tuple[bytes, ...] = ()
    #: The command has a pid namespace: its first child is that namespace's init, and killing it kills all.
    namespaced: bool = False
    #: Make a private temporary directory, watch its size, remove it afterwards. HOME and TMPDIR lead there, unless the
    #: command has it at a place of its own: then its path takes the place of PRIVATE_TMP in the first `data`.
    private_tmp: bool = False
    confinement: Confinement | None = None
    #: The program is a supervisor that reads, from the first data descriptor, this with the command's environment as
    #: `env` and the private temporary directory as `tmp` added. It gets neither itself.
    supervision: Mapping[str, object] | None = None
    #: Directories that only root and `uid` may enter from now on.
    private_paths: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """How a process ended: with a code, or by a signal."""

    code: int | None
    signal: int | None = None
    #: Why minifn ended it, in words for the function's owner: "memory limit exceeded (512 MB)"; else "".
    reason: str = ""

    @property
    def signal_name(self) -> str:
        """The signal's name, "" when it has none, as most real-time signals, or when there was none."""
        return signal.Signals(self.signal).name if self.signal in set(signal.Signals) else ""
