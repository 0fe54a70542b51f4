"""One started command: the root of a process tree, what it may use, and how all of it is killed."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

from . import proc
from .cgroup import Group
from .hidden_use import held_bytes, machine_bytes

#: The variable that marks every process of a tree, unless it hides it.
COOKIE = "MINIFN_TREE"
#: Seconds between looks at a tree: while it works, and while it idles.
FAST_SECONDS, IDLE_SECONDS = 0.1, 1.0
#: Seconds between counts of a private temporary directory, and of one of an idle tree in a namespace.
TMP_SECONDS, TMP_IDLE_SECONDS = 1.0, 5.0
#: A tree is killed above this share of its memory limit; a little slack, because RLIMIT_DATA gives the clean error.
MEMORY_SLACK = 1.1
#: A private temporary directory with more entries than this is as good as full.
TMP_ENTRIES = 50_000
#: Seconds that the rest of a control group may take to disappear; what lives on then is left to the next start.
GROUP_SECONDS = 5.0
#: Characters of the longest path that is looked into; the kernel takes no more than 4095 bytes.
PATH_MAX = 3000


class Tree:
    """A root process and everything that descends from it."""

    def __init__(self, spec: dict[str, Any], pid: int, now: float) -> None:
        self.id: int = spec["id"]
        self.pid = pid
        self.started = proc.started(pid)
        self.cookie: bytes = spec["cookie"].encode()
        self.namespaced: bool = spec["namespaced"]
        self.tmp: str = spec["tmp"]
        #: Where its processes have it.
        self.tmp_inside = "/tmp" if self.namespaced else self.tmp
        self.memory_bytes: int = spec["memory_bytes"]
        self.processes: int = spec["processes"]
        self.tmp_bytes: int = spec["tmp_bytes"]
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
        self.tmp_check_at = now + TMP_SECONDS

    def members(self) -> list[int]:
        """Return every process of the tree."""
        found = [] if self.status is not None else [self.pid]
        found += proc.descendants(self.pid)
        for pid in self.adopted:
            found.append(pid)
            found += proc.descendants(pid)
        return found

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

    def check(self, now: float) -> str:
        """Look at what the tree uses; return why it must be killed, or ""."""
        self.check_at = now + (FAST_SECONDS if self.fast else IDLE_SECONDS)
        members = self.members()
        ceiling = self.memory_bytes * MEMORY_SLACK
        # The cheap sum counts shared pages once per process, so only the exact one may condemn.
        if ceiling and sum(map(proc.rss_bytes, members)) > ceiling and sum(map(proc.pss_bytes, members)) > ceiling:
            return f"memory limit exceeded ({self.memory_bytes // 2**20} MB)"
        if not self.namespaced and self.processes and len(members) > self.processes:
            return f"process limit exceeded ({self.processes})"
        if now >= self.tmp_check_at:
            seldom = self.namespaced and not self.fast
            self.tmp_check_at = now + (TMP_IDLE_SECONDS if seldom else TMP_SECONDS)
            return self._look_closer(members, ceiling)
        return ""

    def _look_closer(self, members: list[int], ceiling: float) -> str:
        """Look at what no path and no resident page shows as well; return why the tree must be killed, or ""."""
        watched = self.tmp if self.tmp_bytes else ""
        bounded = bool(ceiling) and self.group is None
        if not bounded and not watched:
            return ""
        own = sum(map(proc.anonymous_bytes, members))
        # Without that much on the whole machine there is no need to look at what is mapped, which takes longest.
        mapped = bool(watched) or own + machine_bytes() > ceiling
        memory, deleted = held_bytes(members, watched and self.tmp_inside, mapped=mapped)
        # The cheap sum again counts pages of a fork twice.
        if bounded and own + memory > ceiling and sum(map(proc.anonymous_pss_bytes, members)) + memory > ceiling:
            return f"memory limit exceeded ({self.memory_bytes // 2**20} MB)"
        if watched and deleted + used_bytes(watched, self.tmp_bytes) > self.tmp_bytes:
            return f"temporary files exceed {self.tmp_bytes // 2**20} MB"
        return ""

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
