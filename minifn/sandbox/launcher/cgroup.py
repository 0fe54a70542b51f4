"""Control groups, version 2: exact limits and a complete kill for a tree, in a delegated group.

systemd delegates one (`systemd-run --user --scope -p Delegate=yes minifn serve`), and so do
containers with a writable `/sys/fs/cgroup`. Elsewhere nothing is touched. Interface: the kernel's
Documentation/admin-guide/cgroup-v2.rst; rules of delegation: systemd's CGROUP_DELEGATION.md.
"""

# A small process, which does without pathlib.
# ruff: noqa: PTH102, PTH106, PTH110, PTH112, PTH208

import contextlib
import errno
import os
import re
import time
from collections.abc import Iterable, Iterator

from minifn.host.control_groups import own_group, read

from . import proc
from .messages import GroupLimits

CONTROLLERS = ("memory", "pids", "cpu")
#: Period over which a group gets its share of the cores, microseconds.
PERIOD = 100_000
#: Names of the launcher's groups. `minifn-<pid of the launcher>` holds the server, because a group
#: with limits for its children holds no process; `minifn-<pid>-<number>` holds a tree.
OURS = re.compile(r"minifn-(\d+)(-\d+)?")
#: Seconds that the groups of a killed launcher may take to disappear.
DEATH_SECONDS = 2.0
#: Directory that exists where systemd is the init.
SYSTEMD = "/run/systemd/system"
#: Attribute by which systemd marks a delegated group.
MARK = "trusted.delegate"


class Group:
    """The group of one tree."""

    def __init__(self, path: str, memory_bytes: int, processes: int = 0) -> None:
        self.path = path
        self.memory_bytes = memory_bytes
        self.processes = processes
        self._refused = 0

    def add(self, pids: Iterable[int]) -> None:
        """Move processes in; their later children begin there. Raises OSError."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                write(f"{self.path}/cgroup.procs", str(pid))

    def kill(self) -> None:
        """Kill all its processes at once; does nothing before Linux 5.14."""
        with contextlib.suppress(OSError):
            write(f"{self.path}/cgroup.kill", "1")

    def forgive(self) -> None:
        """Forget the processes refused until now: a later end is not put down to them."""
        self._refused = self._count("pids.events", "max")

    def reason(self) -> str:
        """Return the limit that one of its processes has hit, "" for none."""
        if self._count("memory.events", "oom_kill"):
            return f"memory limit exceeded ({self.memory_bytes // 2**20} MB)"
        if self._count("pids.events", "max") > self._refused:
            return f"process limit exceeded ({self.processes})"
        return ""

    def _count(self, file: str, event: str) -> int:
        counts = dict(line.split() for line in read(f"{self.path}/{file}").splitlines())
        return int(counts.get(event, "0"))

    def remove(self) -> bool:
        """Remove the group; tell whether it is still there because it holds a process."""
        try:
            os.rmdir(self.path)
        except OSError as error:
            return error.errno == errno.EBUSY
        return False


class Groups:
    """The parent of the launcher's groups."""

    def __init__(self, root: str, enabled: Iterable[str] = (), aside: str = "") -> None:
        """`enabled`: controllers that were turned on here; `aside`: the child with the server."""
        self.root = root
        self._enabled = tuple(enabled)
        self._aside = aside

    def create(self, number: int, limits: GroupLimits) -> Group:
        """Return a new group with these limits. Raises OSError."""
        path = f"{self.root}/minifn-{os.getpid()}-{number}"
        group = Group(path, limits["memory_bytes"], limits["processes"])
        os.mkdir(path)
        try:
            if group.memory_bytes:
                write(f"{path}/memory.max", str(group.memory_bytes))
                # Swap would evade the limit. A function that lost one process is of no use, so the
                # kernel kills all of it.
                for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
                    if os.path.exists(f"{path}/{name}"):
                        write(f"{path}/{name}", value)
            # These two controllers may not be delegated: other limits remain.
            if group.processes and os.path.exists(f"{path}/pids.max"):
                write(f"{path}/pids.max", str(group.processes))
            if limits["cpus"] and os.path.exists(f"{path}/cpu.max"):
                write(f"{path}/cpu.max", f"{int(limits['cpus'] * PERIOD)} {PERIOD}")
        except OSError:
            group.remove()
            raise
        return group

    def leave(self) -> None:
        """Restore the group once no tree is left, or join other launchers that divide it."""
        if not self._aside:
            return
        others = [
            (path, is_tree)
            for path, pid, is_tree in _ours(self.root)
            if pid != os.getpid() and proc.alive(pid)
        ]
        with contextlib.suppress(OSError):
            if self._enabled and not others:
                write(
                    f"{self.root}/cgroup.subtree_control",
                    " ".join(f"-{name}" for name in self._enabled),
                )
            _move(
                _members(self._aside),
                next((path for path, is_tree in others if not is_tree), self.root),
            )
            os.rmdir(self._aside)


def delegated(pids: Iterable[int], place: str = "/proc/self") -> Groups | None:
    """Move `pids` (the server's) aside and return the parent of new groups.

    None if this process's group is not delegated. Nothing has changed then.
    """
    own = own_group(read(f"{place}/cgroup"), read(f"{place}/mountinfo"))
    parent, _, name = own.rpartition("/")
    if OURS.fullmatch(name):
        own = parent
    there = [name for name in CONTROLLERS if name in read(f"{own}/cgroup.controllers").split()]
    if "memory" not in there or not is_delegated(own):
        return None
    enabled = [name for name in there if name not in read(f"{own}/cgroup.subtree_control").split()]
    # The root of all groups may hold processes beside its children.
    aside = f"{own}/minifn-{os.getpid()}" if os.path.exists(f"{own}/cgroup.type") else ""
    moved: list[int] = []
    try:
        _clear(own)
        if aside:
            os.mkdir(aside)
            moved += _move(pids, aside)
            if _whole(own):
                # The shell or init that started the server moves, and returns, with it.
                for _ in range(10):
                    moved += _move(_members(own), aside)
        if enabled:
            write(f"{own}/cgroup.subtree_control", " ".join(f"+{name}" for name in enabled))
    except OSError:
        # Not delegated, or shared with other processes: undo the attempt.
        with contextlib.suppress(OSError):
            _move(moved, own)
        with contextlib.suppress(OSError):
            os.rmdir(aside)
        return None
    return Groups(own, enabled, aside)


def is_delegated(path: str) -> bool:
    """Tell whether a group that can be divided is delegated.

    Under systemd, root needs a group that is marked: in any other, `systemctl daemon-reload`
    silently removes the limits. The systemd of a user marks nothing, and a user can divide no
    foreign group.
    """
    return os.geteuid() != 0 or not os.path.isdir(SYSTEMD) or _marked(path)


def _marked(path: str) -> bool:
    with contextlib.suppress(OSError):
        return hasattr(os, "getxattr") and os.getxattr(path, MARK) == b"1"
    return False


def _whole(path: str) -> bool:
    """Tell whether a group is the server's alone: systemd made it, or it is a container's root."""
    return _marked(path) or os.path.ismount(path)


def _members(path: str) -> list[int]:
    # 0 stands for a process that is not visible here; written, it means the writer.
    return [int(pid) for pid in read(f"{path}/cgroup.procs").split() if pid != "0"]


def _move(pids: Iterable[int], path: str) -> list[int]:
    """Move processes and return those that were moved. Raises OSError."""
    moved = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            write(f"{path}/cgroup.procs", str(pid))
            moved.append(pid)
    return moved


def _ours(root: str) -> Iterator[tuple[str, int, bool]]:
    """Yield each group of a launcher: path, the launcher's pid, whether it is a tree's."""
    for name in os.listdir(root):
        if found := OURS.fullmatch(name):
            yield f"{root}/{name}", int(found[1]), found[2] is not None


def _clear(root: str) -> None:
    """Kill and remove the groups that killed launchers left."""
    deadline = time.monotonic() + DEATH_SECONDS
    for path, pid, is_tree in _ours(root):
        if pid == os.getpid() or not proc.alive(pid):
            group = Group(path, 0)
            if is_tree:
                group.kill()
            while group.remove() and is_tree and time.monotonic() < deadline:
                time.sleep(0.005)


def write(path: str, value: str) -> None:
    """Write to a file of the kernel. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)
