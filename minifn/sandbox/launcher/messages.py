"""Messages between the server and its launcher: lines of JSON, told apart by `op`.

Descriptors of a `Spawn` ride on its first byte. Bytes travel as text in Latin-1.
"""

from typing import Literal, TypedDict

#: First of the caller's descriptors inside a command; the others follow in the order given.
FIRST_DESCRIPTOR = 3
#: First descriptor of an engine's own data (options, filters), so a caller may pass up to 61.
FIRST_DATA_DESCRIPTOR = 64


#: The leftovers of an adopted process in its sandbox: processes that may be those of another, or
#: files.
Left = Literal["", "processes", "files"]


class GroupLimits(TypedDict):
    """The limits that a control group can hold, 0 for none."""

    memory_bytes: int
    processes: int
    #: Cores.
    cpus: float


class Confine(TypedDict):
    """The rules a process lays upon itself: see `command.Confinement`."""

    files: bool
    readable: list[str]
    writable: list[str]
    #: A system call filter, "" for none.
    filter: str


class Spawn(GroupLimits):
    """Start a command: see `command.Wrapped` and `command.Limits`."""

    op: Literal["spawn"]
    #: The number of its tree in all other messages.
    id: int
    argv: list[str]
    env: dict[str, str]
    cwd: str
    #: 0 when no uid of its own must own its private directories.
    uid: int
    #: How many descriptors ride along: stdout, stderr and the caller's.
    descriptors: int
    data: list[str]
    confine: Confine | None
    namespaced: bool
    #: Value of the variable that marks the environment of every process of its tree.
    cookie: str
    #: The private temporary directory to make, watch and remove, "" for none.
    tmp: str
    #: The path by which its processes know that directory; another one in a mount namespace.
    tmp_inside: str
    private_paths: list[str]
    tmp_bytes: int
    nice: int
    oom_score_adj: int


class Adopt(GroupLimits):
    """Look after a process that a command forked as after a command of its own."""

    op: Literal["adopt"]
    #: The number of its tree in all other messages, and that of the command's tree.
    id: int
    tree: int
    pid: int
    #: Value of the variable that marks the programs it starts.
    cookie: str
    nice: int
    oom_score_adj: int


class Watch(TypedDict):
    """Look at a tree often, because it works, or seldom."""

    op: Literal["watch"]
    id: int
    fast: bool


class Kill(TypedDict):
    """Kill a whole tree."""

    op: Literal["kill"]
    id: int


class Close(TypedDict):
    """Close addresses to the isolated networks of all commands that run."""

    op: Literal["close"]
    addresses: list[str]


class Spawned(TypedDict):
    """A command runs."""

    op: Literal["spawned"]
    id: int
    pid: int
    #: Clock ticks since boot.
    started: int
    #: Whether it has a control group of its own.
    grouped: bool


class Failed(TypedDict):
    """A command could not be started."""

    op: Literal["failed"]
    id: int
    error: str


class Exited(TypedDict):
    """A command ended and nothing of its tree is left: see `command.Exit`."""

    op: Literal["exited"]
    id: int
    code: int | None
    signal: int | None
    reason: str
    left: Left


ToLauncher = Spawn | Adopt | Watch | Kill | Close
ToServer = Spawned | Failed | Exited
