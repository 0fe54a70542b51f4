"""One started command: the root of a process tree, what it may use, and how all of it is killed."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from . import proc
from .cgroup import Group, write
from .hidden_use import NOTHING, held
from .sockets import Queues

#: The variable that marks every process of a tree, unless it hides it.
COOKIE = "MINIFN_TREE"
#: Seconds between looks at a tree: while it works, and while it idles.
FAST_SECONDS, IDLE_SECONDS = 0.1, 1.0
#: Seconds between closer looks at a tree that seems to be within its limits.
CLOSER_SECONDS = 1.0
#: The shares of a core that looks at all trees may take together, by the launcher itself, and that
#: closer looks at one tree may take, by a child of it.
LOOK_SHARE, CLOSER_SHARE = 0.5, 0.2
#: Bytes of memory that a byte of page tables describes, where each page has an entry.
MAPPED_BY_TABLES = 512
#: Looks in a row in which a process may run and show nothing of itself.
BLIND_LOOKS = 5
#: A tree is killed above this share of its memory limit; a little slack, because RLIMIT_DATA gives the clean error.
MEMORY_SLACK = 1.1
#: A private temporary directory with more entries than this is as good as full.
TMP_ENTRIES = 50_000
#: The file system in memory that a mount namespace has for itself.
OWN_MEMORY = "/dev/shm"
#: Looks at a tree for processes that the kernel would not kill before the server, at most.
EXPOSE_ROUNDS = 20
#: Seconds that the rest of a control group may take to disappear; what lives on then is left to the next start.
GROUP_SECONDS = 5.0
#: Characters of the longest path that is looked into; the kernel takes no more than 4095 bytes.
PATH_MAX = 3000


class Seen(NamedTuple):
    """What a closer look at a tree found."""

    #: Why the tree must be killed, or "".
    reason: str
    #: Whether descriptors were sent and not received.
    in_flight: bool
    #: Bytes of memory that no process owns.
    shared: int


class Tree:
    """A root process and everything that descends from it."""

    def __init__(self, spec: dict[str, Any], pid: int, now: float) -> None:
        self.id: int = spec["id"]
        self.pid = pid
        self.started = proc.started(pid)
        self.cookie: bytes = spec["cookie"].encode()
        self.namespaced: bool = spec["namespaced"]
        self.tmp: str = spec["tmp"]
        #: The path by which its processes know that directory; another one in a mount namespace.
        self.tmp_inside: str = spec["tmp_inside"]
        self.memory_bytes: int = spec["memory_bytes"]
        self.processes: int = spec["processes"]
        self.tmp_bytes: int = spec["tmp_bytes"]
        #: Of the whole machine, before it could be among them.
        self.oom_kills = proc.oom_kills()
        self.oom_score = min(1000, max(0, proc.oom_score_adj(os.getpid())) + spec["oom_score_adj"])
        self.expose_rounds = EXPOSE_ROUNDS
        self.reason = ""
        self.killed = False
        #: Its control group, where there is one, and which limit that says was hit.
        self.group: Group | None = None
        self.limit_hit = ""
        self._ended_at = 0.0
        #: The raw wait status once the root is reaped.
        self.status: int | None = None
        #: Processes whose parents died and that came to the spawner; refreshed by it.
        self.adopted: list[int] = []
        self.fast = True
        self.check_at = now
        #: Whether what shows cheaply may be more than its limit.
        self.unsure = False
        #: Closer looks: whether a child looks now, when the last one was done, the seconds of a
        #: core it took, what memory the machine had in use and how much disk it had free then.
        self.looked_at = False
        self._closer_at = now
        self.closer_cost = 0.0
        self._in_use = self._free = 0
        self.seen = Seen("", in_flight=False, shared=0)
        #: Processes that run and show nothing, and for how many looks.
        self._blind: dict[int, int] = {}

    def members(self) -> list[int]:
        """Return every process of the tree."""
        found = [] if self.status is not None else [self.pid]
        found += proc.descendants(self.pid)
        for pid in self.adopted:
            found.append(pid)
            found += proc.descendants(pid)
        return found

    def expose(self, members: Iterable[int]) -> None:
        """Have the kernel kill these, and what they start, before the server.

        To be repeated until all have the score: bubblewrap forbids others to set it while it makes
        its namespaces. The launcher has no such score to hand down itself, not even while it starts
        a command: it would be the first to die, and the server with it.
        """
        lower = [pid for pid in members if proc.oom_score_adj(pid) < self.oom_score]
        for pid in lower:
            with contextlib.suppress(OSError):
                write(f"/proc/{pid}/oom_score_adj", str(self.oom_score))
        self.expose_rounds = self.expose_rounds - 1 if lower else 0

    def watch(self, fast: bool, now: float) -> None:
        """Look at it often, because it works, or seldom."""
        if fast and not self.fast and self.group is not None:
            self.group.forgive()
        self.fast = fast
        self.check_at = now

    def lives_on(self) -> bool:
        """Kill what is left in the group once the root is reaped, and tell whether there was anything."""
        if self.group is None:
            return False
        now = time.monotonic()
        self._ended_at = self._ended_at or now
        self.limit_hit = self.group.reason()
        self.group.kill()
        return self.group.remove() and now < self._ended_at + GROUP_SECONDS

    @property
    def dying(self) -> bool:
        """Whether it was reaped or is to be killed."""
        return self.killed or self.status is not None

    @property
    def ceiling(self) -> float:
        """The bytes of memory above which it is killed, 0 for no limit."""
        return self.memory_bytes * MEMORY_SLACK

    @property
    def too_much_memory(self) -> str:
        """Why it is killed then."""
        return f"memory limit exceeded ({self.memory_bytes // 2**20} MB)"

    def check(self, now: float, trees: int) -> str:
        """Look at what the tree uses, as far as that is cheap; return why it must be killed, or "".

        It is looked at again the later the longer that takes: each of the `trees` has its share.
        """
        began = time.thread_time()
        reason = self._look()
        cost = (time.thread_time() - began) * trees / LOOK_SHARE
        self.check_at = now + max(FAST_SECONDS if self.fast else IDLE_SECONDS, cost)
        return reason

    def _look(self) -> str:
        members = self.members()
        if self.expose_rounds:
            self.expose(members)
        sizes = [proc.sizes(pid) for pid in members]
        self._kill_blind(members, sizes)
        if self.memory_bytes:
            # What one process has alone or with its forks is the least that all of them have.
            if max((resident - shared for _, resident, shared in sizes), default=0) > self.ceiling:
                return self.too_much_memory
            most = sum(resident + size // MAPPED_BY_TABLES for size, resident, _ in sizes)
            self.unsure = most > self.ceiling
        if not self.namespaced and self.processes:
            tasks = len(members)
            if tasks <= self.processes and self.group is None:
                tasks = sum(len(proc.threads(pid)) for pid in members)
            if tasks > self.processes:
                return f"process limit exceeded ({self.processes})"
        if self.tmp_inside != self.tmp and files_inside(members) > TMP_ENTRIES:
            return f"more than {TMP_ENTRIES:,} temporary files"
        return ""

    def _kill_blind(self, members: list[int], sizes: list[tuple[int, int, int]]) -> None:
        """Kill processes that run and show nothing in look after look: their threads take turns."""
        blind = (pid for pid, size in zip(members, sizes, strict=True) if not size[0])
        self._blind = {pid: self._blind.get(pid, 0) + 1 for pid in blind if proc.alive(pid)}
        for pid, looks in self._blind.items():
            if looks >= BLIND_LOOKS:
                proc.send_signal(pid, signal.SIGKILL)

    def wants_closer(self, now: float) -> bool:
        """Tell whether a closer look is due: by time, or because the machine has as much less
        memory or disk free as the tree may have.
        """
        if self.looked_at or not (self.memory_bytes or self.tmp_bytes):
            return False
        pause = FAST_SECONDS if self.unsure else CLOSER_SECONDS
        if now >= self._closer_at + max(pause, self.closer_cost / CLOSER_SHARE):
            return True
        if self.tmp_bytes and free_bytes(self.tmp) < self._free - self.tmp_bytes:
            return True
        return self.unsure and memory_in_use(proc.machine()) > self._in_use + self.ceiling

    def look_closer(self, queues: Queues, elsewhere: int) -> Seen:
        """Look at what no path and no resident page shows as well, which takes long.

        `elsewhere` says how many bytes of the machine's shared memory are not this tree's.
        """
        members = self.members()
        watched = self.tmp if self.tmp_bytes else ""
        bounded = bool(self.memory_bytes) and self.group is None
        sizes = [proc.sizes(pid) for pid in members]
        own = sum(resident - shared + size // MAPPED_BY_TABLES for size, resident, shared in sizes)
        in_memory = proc.machine().get(b"Shmem", 0)
        # Without that much on the whole machine there is no need to look at what is mapped.
        mapped = bool(watched) or own + in_memory > self.ceiling
        found = (
            held(members, watched and self.tmp_inside, mapped=mapped)
            if bounded or watched
            else NOTHING
        )
        reason = ""
        if self.memory_bytes:
            hidden = found.memory if bounded else 0
            if bounded:
                hidden += queues.bytes_of(found.sockets, self.ceiling - own - hidden)
            if bounded and found.in_flight and self.seen.in_flight:
                # Nothing tells what memory is in flight: all that has come since nothing was.
                hidden += max(0, in_memory - found.memory - elsewhere)
            if self.unsure or own + hidden > self.ceiling:
                resident, anonymous, tables = exact_bytes(members)
                if max(resident, anonymous + hidden) + tables > self.ceiling:
                    reason = self.too_much_memory
        if not reason and watched:
            written = found.deleted + used_bytes(watched, self.tmp_bytes)
            if written > self.tmp_bytes:
                reason = f"temporary files exceed {self.tmp_bytes // 2**20} MB"
        return Seen(reason, found.in_flight > 0, min(found.memory, in_memory))

    def looked_closer(self, seen: Seen | None, cost: float, now: float) -> str:
        """Take in what a closer look found, None when it took too long; return why the tree must
        be killed, or "".
        """
        self.looked_at = False
        self._closer_at, self.closer_cost = now, cost
        if seen is None:
            return self.too_much_memory if self.memory_bytes else ""
        self._in_use = memory_in_use(proc.machine()) if self.unsure else 0
        self._free = free_bytes(self.tmp)
        self.seen = seen
        return seen.reason

    def terminate(self) -> None:
        """Ask the command itself to end: behind a pid namespace's init that is its first child."""
        if not self.namespaced:
            proc.send_signal(self.pid, signal.SIGTERM)
            return
        for init in proc.children(self.pid):
            for pid in proc.children(init):
                proc.send_signal(pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill everything; to be repeated until the root is reaped and nothing is left."""
        self.killed = True
        if self.group is not None:
            self.group.kill()
        if self.namespaced:
            # The init takes its namespace with it; before it exists there is only the outer process.
            inner = proc.children(self.pid)
            for pid in inner or [self.pid]:
                proc.send_signal(pid, signal.SIGKILL)
            return
        kill_all(self.members)
        if self.status is None:
            proc.send_group_signal(self.pid, signal.SIGKILL)


def kill_all(members: Callable[[], Iterable[int]]) -> None:
    """Stop processes until no new ones appear, then kill them: a stopped process cannot fork its way out."""
    stopped: set[int] = set()
    for _ in range(100):
        new = set(members()) - stopped
        if not new:
            break
        for pid in new:
            proc.send_signal(pid, signal.SIGSTOP)
        stopped |= new
    for pid in stopped:
        proc.send_signal(pid, signal.SIGKILL)


def exact_bytes(members: Iterable[int]) -> tuple[int, int, int]:
    """Return the resident memory of these processes, the part of it that belongs to no file and is
    not for sharing, and their page tables, in bytes; what several have counts once.
    """
    members = set(members)
    resident = anonymous = tables = 0
    for pid in members:
        parent = proc.parent(pid)
        # A child that is about to run another program has its parent's memory, not a copy.
        if parent in members and proc.same(proc.SAME_MEMORY, proc.living(pid), proc.living(parent)):
            continue
        all_of_it, own = proc.exact_bytes(pid)
        resident += all_of_it
        anonymous += own
        tables += proc.table_bytes(pid)
    return resident, anonymous, tables


def memory_in_use(machine: dict[bytes, int]) -> int:
    """Return the bytes that programs have on a machine."""
    return sum(machine.get(name, 0) for name in (b"AnonPages", b"Shmem", b"PageTables"))


def free_bytes(directory: str) -> int:
    """Return the bytes that are free where a directory lies, 0 for no directory."""
    with contextlib.suppress(OSError):
        found = os.statvfs(directory)
        return found.f_bfree * found.f_frsize
    return 0


def device(path: str) -> int:
    """Return the file system that a directory lies on. Raises OSError."""
    return os.stat(path).st_dev  # noqa: PTH116 - a small process, which does without pathlib


def files_inside(members: Iterable[int]) -> int:
    """Return the number of files in the memory of a namespace; each takes a kilobyte that its size
    does not count.
    """
    for pid in reversed(list(members)):
        with contextlib.suppress(OSError):
            inside = f"/proc/{proc.living(pid)}/root{OWN_MEMORY}"
            # The processes that confine the command are outside.
            if device(inside) != device(OWN_MEMORY):
                found = os.statvfs(inside)
                return found.f_files - found.f_ffree
    return 0


def used_bytes(path: str, enough: int) -> int:
    """Return the disk space below a directory, more than `enough` when it has too many entries or nests too deep to
    see; never follows links.
    """
    total = entries = 0
    waiting = [path]
    while waiting:
        directory = waiting.pop()
        if len(directory) > PATH_MAX:
            return enough + 1
        with contextlib.suppress(OSError), os.scandir(directory) as found:
            for entry in found:
                entries += 1
                if entries > TMP_ENTRIES:
                    return enough + 1
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    return total
