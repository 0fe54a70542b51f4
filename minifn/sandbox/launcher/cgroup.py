"""Control groups, version 2: exact limits and a complete kill for a tree, where somebody delegated a group to us.

systemd does (`systemd-run --user --scope -p Delegate=yes minifn serve`), and containers with a writable
`/sys/fs/cgroup`. Elsewhere nothing is touched. Interface: the kernel's Documentation/admin-guide/cgroup-v2.rst.
"""

# A small process, which does without pathlib.
# ruff: noqa: PTH102, PTH106, PTH110, PTH123

import contextlib
import os
from collections.abc import Iterable, Mapping

CONTROLLERS = ("memory", "pids", "cpu")
#: Microseconds in which a group gets its share of the cores.
PERIOD = 100_000
#: Where the server itself goes: a group with limits for its children holds no process.
SERVER = "minifn-server"


class Group:
    """The group of one tree."""

    def __init__(self, path: str, memory_bytes: int) -> None:
        self.path = path
        self.memory_bytes = memory_bytes

    def add(self, pids: Iterable[int]) -> None:
        """Move processes in; their later children begin there. Raises OSError."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                write(f"{self.path}/cgroup.procs", str(pid))

    def kill(self) -> None:
        """Kill all of it at once, as far as the kernel can (5.14)."""
        with contextlib.suppress(OSError):
            write(f"{self.path}/cgroup.kill", "1")

    def reason(self) -> str:
        """Return which limit killed something in it, "" for none."""
        killed = dict(line.split() for line in read(f"{self.path}/memory.events").splitlines()).get("oom_kill", "0")
        return "" if killed == "0" else f"memory limit exceeded ({self.memory_bytes // 2**20} MB)"

    def remove(self) -> None:
        """Remove it; one that still holds a process stays."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


class Groups:
    """A group of which ours are children."""

    def __init__(self, root: str) -> None:
        self.root = root

    def make(self, number: int, limits: Mapping[str, float]) -> Group:
        """Return a new group with `memory_bytes`, `processes` and `cpus`, 0 for no limit. Raises OSError."""
        group = Group(f"{self.root}/minifn-{os.getpid()}-{number}", int(limits["memory_bytes"]))
        os.mkdir(group.path)
        try:
            if limits["memory_bytes"]:
                write(f"{group.path}/memory.max", str(int(limits["memory_bytes"])))
                # One that may swap is no limit, and half a function is worth nothing.
                for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
                    if os.path.exists(f"{group.path}/{name}"):
                        write(f"{group.path}/{name}", value)
            if limits["processes"]:
                write(f"{group.path}/pids.max", str(int(limits["processes"])))
            if limits["cpus"]:
                write(f"{group.path}/cpu.max", f"{int(limits['cpus'] * PERIOD)} {PERIOD}")
        except OSError:
            group.remove()
            raise
        return group


def delegated(pids: Iterable[int], proc: str = "/proc/self") -> Groups | None:
    """Return the groups we may make after moving `pids` (all there are in ours) aside; None where we may not."""
    own = own_group(read(f"{proc}/cgroup"), read(f"{proc}/mountinfo"))
    if not own or "memory" not in read(f"{own}/cgroup.controllers").split():
        return None
    moved = []
    aside = f"{own}/{SERVER}"
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(aside)
        for pid in pids:
            write(f"{aside}/cgroup.procs", str(pid))
            moved.append(pid)
        write(f"{own}/cgroup.subtree_control", " ".join(f"+{name}" for name in CONTROLLERS))
    except OSError:
        # Not ours to divide, or others live in it: as if nothing had been tried.
        for pid in moved:
            with contextlib.suppress(OSError):
                write(f"{own}/cgroup.procs", str(pid))
        with contextlib.suppress(OSError):
            os.rmdir(aside)
        return None
    return Groups(own)


def own_group(cgroup: str, mountinfo: str) -> str:
    """Return the directory of the group that the texts of /proc/PID say a process is in, "" for none."""
    inside = next((line[3:] for line in cgroup.splitlines() if line.startswith("0::/")), "")
    for line in mountinfo.splitlines():
        fields, _, kind = line.partition(" - ")
        root, place = fields.split()[3:5]
        if kind.startswith("cgroup2 ") and inside and (inside + "/").startswith(root.rstrip("/") + "/"):
            return (place + inside.removeprefix(root.rstrip("/"))).rstrip("/")
    return ""


def read(path: str) -> str:
    """Return a file's text, "" when there is none."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def write(path: str, value: str) -> None:
    """Write to a file that exists: the kernel makes them. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)
