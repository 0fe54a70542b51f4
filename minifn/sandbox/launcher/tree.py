"""One started command: the root of a process tree, its limits, and the kill of all of it."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Container, Iterable
from typing import NamedTuple

from . import proc
from .cgroup import Group, write
from .hidden_use import NOTHING, held
from .messages import Left, Spawn
from .rest import REST_SECONDS, Rest
from .sockets import Queues

#: Name of the variable that marks every process of a tree, unless the process hides it.
COOKIE = "MINIFN_TREE"
#: Seconds between looks at a tree while it works, and while it idles.
FAST_SECONDS, IDLE_SECONDS = 0.1, 1.0
#: Seconds between closer looks at a tree that seems to be within its limits.
CLOSER_SECONDS = 1.0
#: Closer looks at a tree at rest before the next one may wait. The second one counts what was in
#: flight at the first.
REST_CLOSER_LOOKS = 2
#: Share of a core for the launcher's own looks at all trees together.
LOOK_SHARE = 0.5
#: Share of a core for a child's closer looks at one tree.
CLOSER_SHARE = 0.2
#: Bytes of memory that a byte of page tables describes, if each page has an entry.
MAPPED_BY_TABLES = 512
#: Looks in a row in which a process may run and show no memory.
BLIND_LOOKS = 5
#: Share of its memory limit above which a tree is killed. RLIMIT_DATA gives the clean error, so
#: there is some slack.
MEMORY_SLACK = 1.1
#: Number of entries above which a private temporary directory counts as full.
TMP_ENTRIES = 50_000
#: File system in memory that a mount namespace has for itself.
OWN_MEMORY = "/dev/shm"
#: Looks in a row at a tree that find no process that the kernel would not kill before the server.
#: One is not enough: a process can be missed while its parent ends.
EXPOSE_LOOKS = 3
#: Highest OOM score adjustment that the kernel knows.
OOM_SCORE_MAX = 1000
#: Seconds that the rest of a control group may take to disappear; the next launcher then kills it.
GROUP_SECONDS = 5.0
#: Characters of the longest path that is counted; the kernel's own limit is 4095 bytes.
PATH_MAX = 3000


class Seen(NamedTuple):
    """The result of a closer look at a tree."""

    #: Why the tree must be killed, or "".
    reason: str
    #: Whether descriptors were sent and not received.
    in_flight: bool
    #: Bytes of memory that no process owns.
    shared: int


class Tree:
    """A root process and everything that descends from it."""

    def __init__(self, spawn: Spawn, pid: int, now: float) -> None:
        self.id = spawn["id"]
        self.pid = pid
        self.started = proc.started(pid)
        self.cookie = spawn["cookie"].encode()
        self.namespaced = spawn["namespaced"]
        self.tmp = spawn["tmp"]
        self.tmp_inside = spawn["tmp_inside"]
        self.memory_bytes = spawn["memory_bytes"]
        self.processes = spawn["processes"]
        self.tmp_bytes = spawn["tmp_bytes"]
        #: OOM kills of the whole machine before this tree could be among them.
        self.oom_kills = proc.oom_kills()
        own_score = max(0, proc.oom_score_adj(os.getpid()))
        self.oom_score = min(OOM_SCORE_MAX, own_score + spawn["oom_score_adj"])
        self.expose_looks = EXPOSE_LOOKS
        self.reason = ""
        self.killed = False
        #: Its control group, if it has one, and the limit that the group has hit.
        self.group: Group | None = None
        self.limit_hit = ""
        self._ended_at = 0.0
        #: The raw wait status once the root is reaped.
        self.status: int | None = None
        #: Its orphans, which the launcher adopted and updates.
        self.adopted: list[int] = []
        #: Processes that were made trees of their own: neither they nor theirs are its members.
        self.apart: Callable[[], Container[int]] = tuple
        #: Its leftovers in a sandbox that lives on.
        self.left: Left = ""
        self.fast = True
        self.check_at = now
        self._rest = Rest()
        #: Whether a cheap look cannot tell that the tree is within its memory limit.
        self.unsure = False
        #: Whether a child takes a closer look now.
        self.looked_at = False
        #: When the last closer look began.
        self.closer_began = now
        #: Since when it was at rest at that time, and the closer looks since then.
        self._closer_at_rest = (now, 0)
        #: Time, CPU seconds and result of the last closer look.
        self._closer_at = now
        self.closer_cost = 0.0
        self.seen = Seen("", in_flight=False, shared=0)
        #: The most memory that a look has found, or the kernel has told of one process.
        self.peak_bytes = 0
        #: Bytes of memory in use, and of disk free, on the machine at that time.
        self._in_use = self._free = 0
        #: Processes that run and show no memory, and the number of such looks.
        self._blind: dict[int, int] = {}

    def members(self) -> list[int]:
        """Return every process of the tree."""
        found = [] if self.status is not None else [self.pid]
        found += proc.descendants(self.pid, self.apart())
        for pid in self.adopted:
            found.append(pid)
            found += proc.descendants(pid)
        return found

    def expose(self, members: Iterable[int]) -> None:
        """Have the kernel kill these processes and their children before the server.

        Repeated until looks in a row find all with the score: bubblewrap forbids others to set it
        while it makes its namespaces. The launcher cannot hand the score down, not even while it
        starts a command: it would be the first to die, and the server with it.
        """
        lower = [pid for pid in members if proc.oom_score_adj(pid) < self.oom_score]
        for pid in lower:
            with contextlib.suppress(OSError):
                write(f"/proc/{pid}/oom_score_adj", str(self.oom_score))
        self.expose_looks = EXPOSE_LOOKS if lower else self.expose_looks - 1

    def note_end(self, pid: int, peak_bytes: int) -> None:
        """Note the most memory of a process that has ended, if it was one of the tree."""
        if pid == self.pid or pid in self._rest.members:
            self.peak_bytes = max(self.peak_bytes, peak_bytes)

    def watch(self, fast: bool, now: float) -> None:
        """Set whether it is looked at often, because it works, or seldom."""
        if fast and not self.fast and self.group is not None:
            self.group.forgive()
        self.fast = fast
        self.check_at = now

    def lives_on(self) -> bool:
        """Kill the rest of the group once the root is reaped; tell whether there was any."""
        if self.group is None:
            return False
        now = time.monotonic()
        self._ended_at = self._ended_at or now
        self.limit_hit = self.group.reason()
        self.group.kill()
        return self.group.remove() and now < self._ended_at + GROUP_SECONDS

    @property
    def dying(self) -> bool:
        """Whether its root was reaped or it is being killed."""
        return self.killed or self.status is not None

    @property
    def ceiling(self) -> float:
        """The bytes of memory above which it is killed, 0 for no limit."""
        return self.memory_bytes * MEMORY_SLACK

    @property
    def too_much_memory(self) -> str:
        """The reason for a kill by the memory limit."""
        return f"memory limit exceeded ({self.memory_bytes // 2**20} MB)"

    def check(self, now: float, trees: int) -> str:
        """Measure the tree as far as that is cheap; return why it must be killed, or "".

        A look that takes long delays the next: each of the `trees` has its share of a core. Trees
        that idle are looked at together, so that this process wakes up once for all of them.
        """
        began = time.thread_time()
        reason = "" if self._rests(now) else self._look(now)
        cost = (time.thread_time() - began) * trees / LOOK_SHARE
        pause = FAST_SECONDS if self.fast else IDLE_SECONDS - now % IDLE_SECONDS
        self.check_at = now + max(pause, cost)
        return reason

    def _rests(self, now: float) -> bool:
        """Tell whether nothing has changed since it was looked at."""
        return self.expose_looks <= 0 and self._rest.lasts(now)

    def _look(self, now: float) -> str:
        members = self.members()
        self._rest.note(members, now)
        if self.expose_looks > 0:
            self.expose(members)
        sizes = [proc.sizes(pid) for pid in members]
        self._kill_blind(members, sizes)
        own = sum(resident - shared for _, resident, shared in sizes)
        self.peak_bytes = max(self.peak_bytes, own)
        if self.memory_bytes:
            # The largest private memory of one process is a lower bound for the whole tree.
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
        """Kill processes that run and show no memory look after look: their threads take turns."""
        blind = (pid for pid, size in zip(members, sizes, strict=True) if not size[0])
        self._blind = {pid: self._blind.get(pid, 0) + 1 for pid in blind if proc.alive(pid)}
        for pid, looks in self._blind.items():
            if looks >= BLIND_LOOKS:
                proc.send_signal(pid, signal.SIGKILL)

    def wants_closer(self, now: float) -> bool:
        """Tell whether a closer look is due.

        It is due after some time, and when the machine has lost as much free memory or disk as the
        tree may use.
        """
        if self.looked_at or not (self.memory_bytes or self.tmp_bytes):
            return False
        if self._closer_at_rest >= (self._rest.since, REST_CLOSER_LOOKS) and self._rests(now):
            return self._closer_at < now - now % REST_SECONDS
        pause = FAST_SECONDS if self.unsure else CLOSER_SECONDS
        if now >= self._closer_at + max(pause, self.closer_cost / CLOSER_SHARE):
            return True
        if self.tmp_bytes and free_bytes(self.tmp) < self._free - self.tmp_bytes:
            return True
        return self.unsure and memory_in_use(proc.machine()) > self._in_use + self.ceiling

    def look_closer(self, queues: Queues, elsewhere: int) -> Seen:
        """Measure also what no path and no resident page shows, which takes long.

        `elsewhere`: bytes of the machine's shared memory that are not this tree's.
        """
        members = self.members()
        watched = self.tmp if self.tmp_bytes else ""
        bounded = bool(self.memory_bytes) and self.group is None
        sizes = [proc.sizes(pid) for pid in members]
        own = sum(resident - shared + size // MAPPED_BY_TABLES for size, resident, shared in sizes)
        in_memory = proc.machine().get(b"Shmem", 0)
        # If the whole machine has less, mappings cannot matter.
        mapped = bool(watched) or own + in_memory > self.ceiling
        directory = watched and self.tmp_inside
        found = held(members, directory, mapped=mapped) if bounded or watched else NOTHING
        reason = ""
        if self.memory_bytes:
            hidden = found.memory if bounded else 0
            if bounded:
                hidden += queues.bytes_of(found.sockets, self.ceiling - own - hidden)
            if bounded and found.in_flight and self.seen.in_flight:
                # Nothing tells which memory is in flight: all that was added since then counts.
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
        """Note the result of a closer look, None when it took too long.

        Returns why the tree must be killed, or "".
        """
        self.looked_at = False
        self._closer_at, self.closer_cost = now, cost
        if self.closer_began > self._rest.since:
            since, looks = self._closer_at_rest
            looks = looks + 1 if since == self._rest.since else 1
            self._closer_at_rest = (self._rest.since, looks)
        if seen is None:
            return self.too_much_memory if self.memory_bytes else ""
        self._in_use = memory_in_use(proc.machine()) if self.unsure else 0
        self._free = free_bytes(self.tmp)
        self.seen = seen
        return seen.reason

    def kill(self) -> None:
        """Kill everything; repeated until the root is reaped and nothing is left."""
        self.killed = True
        if self.group is not None:
            self.group.kill()
        if self.namespaced:
            # The death of the init kills its namespace. Before it exists the outer process is all.
            inner = proc.children(self.pid)
            for pid in inner or [self.pid]:
                proc.send_signal(pid, signal.SIGKILL)
            return
        kill_all(self.members)
        if self.status is None:
            proc.send_group_signal(self.pid, signal.SIGKILL)


def kill_all(members: Callable[[], Iterable[int]]) -> None:
    """Stop processes until no new ones appear, then kill them: a stopped process cannot fork."""
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
    """Return the bytes of resident memory, its private part without files, and page tables.

    Memory that several of these processes share counts once.
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
    """Return the bytes of a machine's memory that programs use."""
    return sum(machine.get(name, 0) for name in (b"AnonPages", b"Shmem", b"PageTables"))


def free_bytes(directory: str) -> int:
    """Return the free bytes of a directory's file system, 0 without a directory."""
    with contextlib.suppress(OSError):
        found = os.statvfs(directory)
        return found.f_bfree * found.f_frsize
    return 0


def device(path: str) -> int:
    """Return the device number of a directory's file system. Raises OSError."""
    return os.stat(path).st_dev  # noqa: PTH116 - a small process, which does without pathlib


def files_inside(members: Iterable[int]) -> int:
    """Return the number of files in the memory of a namespace.

    Each takes a kilobyte that its size does not count.
    """
    for pid in reversed(list(members)):
        with contextlib.suppress(OSError):
            inside = f"/proc/{proc.living(pid)}/root{OWN_MEMORY}"
            # The programs that confine the command are outside.
            if device(inside) != device(OWN_MEMORY):
                found = os.statvfs(inside)
                return found.f_files - found.f_ffree
    return 0


def used_bytes(path: str, enough: int) -> int:
    """Return the disk space below a directory; never follows links.

    More than `enough` when it has too many entries or nests too deep to count.
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
