"""Control groups, version 2: exact limits and a complete kill for a tree, where somebody delegated a group to us.

systemd does (`systemd-run --user --scope -p Delegate=yes minifn serve`), and containers with a writable
`/sys/fs/cgroup`. Elsewhere nothing is touched. Interface: the kernel's Documentation/admin-guide/cgroup-v2.rst; who
may divide a group: systemd's CGROUP_DELEGATION.md.
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
#: Microseconds in which a group gets its share of the cores.
PERIOD = 100_000
#: `minifn-<pid of the launcher>`, where the server goes because a group with limits for its children holds no process,
#: and `minifn-<pid>-<number>`, the group of a tree.
OURS = re.compile(r"minifn-(\d+)(-\d+)?")
#: Seconds that what a killed launcher left may take to disappear.
DEATH_SECONDS = 2.0
#: It exists where systemd is the init.
SYSTEMD = "/run/systemd/system"
#: How it marks what it delegated.
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
        """Kill all of it at once, as far as the kernel can (5.14)."""
        with contextlib.suppress(OSError):
            write(f"{self.path}/cgroup.kill", "1")

    def forgive(self) -> None:
        """Forget the processes that were refused until now: what ends later does not end for them."""
        self._refused = self._count("pids.events", "max")

    def reason(self) -> str:
        """Return which limit something in it has hit, "" for none; to be asked when it has failed."""
        if self._count("memory.events", "oom_kill"):
            return f"memory limit exceeded ({self.memory_bytes // 2**20} MB)"
        if self._count("pids.events", "max") > self._refused:
            return f"process limit exceeded ({self.processes})"
        return ""

    def _count(self, file: str, event: str) -> int:
        return int(
            dict(line.split() for line in read(f"{self.path}/{file}").splitlines()).get(event, "0")
        )

    def remove(self) -> bool:
        """Remove it; tell whether it is still there because it holds a process."""
        try:
            os.rmdir(self.path)
        except OSError as error:
            return error.errno == errno.EBUSY
        return False


class Groups:
    """A group of which ours are children."""

    def __init__(self, root: str, enabled: Iterable[str] = (), aside: str = "") -> None:
        """`enabled`: the controllers that were turned on for it; `aside`: its child that holds the server."""
        self.root = root
        self._enabled = tuple(enabled)
        self._aside = aside

    def make(self, number: int, limits: GroupLimits) -> Group:
        """Return a new group with these limits. Raises OSError."""
        path = f"{self.root}/minifn-{os.getpid()}-{number}"
        group = Group(path, limits["memory_bytes"], limits["processes"])
        os.mkdir(path)
        try:
            if group.memory_bytes:
                write(f"{path}/memory.max", str(group.memory_bytes))
                # One that may swap is no limit, and half a function is worth nothing.
                for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
                    if os.path.exists(f"{path}/{name}"):
                        write(f"{path}/{name}", value)
            # These two may not have been delegated: other limits remain.
            if group.processes and os.path.exists(f"{path}/pids.max"):
                write(f"{path}/pids.max", str(group.processes))
            if limits["cpus"] and os.path.exists(f"{path}/cpu.max"):
                write(f"{path}/cpu.max", f"{int(limits['cpus'] * PERIOD)} {PERIOD}")
        except OSError:
            group.remove()
            raise
        return group

    def leave(self) -> None:
        """Put things back as they were, once no tree is left; others who divide the group are joined."""
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
    """Return the groups we may make after moving `pids` (the server's) aside; None where we may not."""
    own = own_group(read(f"{place}/cgroup"), read(f"{place}/mountinfo"))
    parent, _, name = own.rpartition("/")
    if OURS.fullmatch(name):
        own = parent
    there = [name for name in CONTROLLERS if name in read(f"{own}/cgroup.controllers").split()]
    if "memory" not in there or not handed_over(own):
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
                # A shell or an init that started us: it goes back with us.
                for _ in range(10):
                    moved += _move(_members(own), aside)
        if enabled:
            write(f"{own}/cgroup.subtree_control", " ".join(f"+{name}" for name in enabled))
    except OSError:
        # Not ours to divide, or others live in it: as if nothing had been tried.
        with contextlib.suppress(OSError):
            _move(moved, own)
        with contextlib.suppress(OSError):
            os.rmdir(aside)
        return None
    return Groups(own, enabled, aside)


def handed_over(path: str) -> bool:
    """Tell whether a group that we could divide is ours: where systemd reigns, root needs one marked as delegated.

    From another it takes our limits away without a word, as soon as anybody says `systemctl daemon-reload`. The systemd
    of a user marks nothing, and what is not that user's cannot be divided.
    """
    return os.geteuid() != 0 or not os.path.isdir(SYSTEMD) or _marked(path)


def _marked(path: str) -> bool:
    with contextlib.suppress(OSError):
        return hasattr(os, "getxattr") and os.getxattr(path, MARK) == b"1"
    return False


def _whole(path: str) -> bool:
    """Tell whether everybody in a group came with us: systemd made it for us, or it is all that a container has."""
    return _marked(path) or os.path.ismount(path)


def _members(path: str) -> list[int]:
    # 0 stands for one that we cannot see, and written for ourselves.
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
    """Yield the groups that a launcher made: path, the launcher's pid, whether it is a tree's."""
    for name in os.listdir(root):
        if found := OURS.fullmatch(name):
            yield f"{root}/{name}", int(found[1]), found[2] is not None


def _clear(root: str) -> None:
    """Kill and remove what launchers left that were killed."""
    deadline = time.monotonic() + DEATH_SECONDS
    for path, pid, is_tree in _ours(root):
        if pid == os.getpid() or not proc.alive(pid):
            group = Group(path, 0)
            if is_tree:
                group.kill()
            while group.remove() and is_tree and time.monotonic() < deadline:
                time.sleep(0.005)


def write(path: str, value: str) -> None:
    """Write to a file that exists: the kernel makes them. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)
