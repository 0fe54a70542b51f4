"""Processes that a command forked and that are trees of their own: the workers of a template.

They share the command's pid namespace, so its init adopts the orphans of all of them. An orphan is
told apart by its session, by the variable that marks the programs a worker starts, or because it
was seen below a worker. Everything a worker can forge here concerns its own sandbox alone.
"""

import contextlib
import os
import signal
from collections.abc import Container, Iterable

from . import proc
from .messages import Adopt, Spawn
from .tree import COOKIE, OWN_MEMORY, Tree, device, kill_all

#: Seconds until a child of the template can be no worker to come; its server waits for half of it.
STRANGER_SECONDS = 4.0
#: Seconds between two looks for strangers.
LOOK_SECONDS = 1.0
#: Raw wait status of a process that went with its whole sandbox.
KILLED = int(signal.SIGKILL)


class AdoptionRefused(ValueError):
    """A process is not a fork of the command; the message says why."""


class Sandbox:
    """The namespace of a command whose forks were adopted."""

    def __init__(self, root: Tree, template: int) -> None:
        """`template` is the process of the command itself, whose children are adopted."""
        self.root = root
        self.template = template
        self.init = proc.parent(template)
        self.branches: dict[int, Branch] = {}
        #: When each child of the template that is not a worker, by pid and start, was first seen.
        self._strangers: dict[tuple[int, int], float] = {}
        self._look_at = 0.0
        self._traces = self._look_for_traces()
        root.apart = self._apart

    def refuse(self, pid: int) -> None:
        """Raise AdoptionRefused unless a process is a child of the template and leads a session.

        Then no other tree has it: the ways up from two trees do not meet below the launcher.
        """
        if proc.parent(pid) != self.template or proc.parent(self.init) != self.root.pid:
            raise AdoptionRefused("it is not a child of the template")
        if proc.session(pid) != pid or pid in self.branches:
            raise AdoptionRefused("it leads no session of its own")

    def orphans(self, *, sure: bool = False) -> Iterable[tuple[int, "Branch | None"]]:
        """Yield each process that the init adopted, with its worker, None for an unknown one.

        `sure` misses none: see `proc.children`.
        """
        for pid in proc.children(self.init, sure=sure):
            if pid != self.template and proc.alive(pid):
                yield pid, self._owner(pid)

    def _owner(self, pid: int) -> "Branch | None":
        by_session = self.branches.get(proc.session(pid))
        if by_session is not None:
            return by_session
        mark = proc.environment_value(pid, COOKIE.encode())
        for branch in self.branches.values():
            if mark == branch.cookie or (pid, proc.started(pid)) in branch.below:
                return branch
        return None

    def kill_strangers(self, now: float) -> None:
        """Kill the children of the template that become no workers: no deadline ends them.

        A template has none but its forks, unless its function makes it adopt orphans or fork.
        """
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        found = [pid for pid in proc.children(self.template) if pid not in self.branches]
        seen = [(pid, proc.started(pid)) for pid in found if proc.alive(pid)]
        self._strangers = {one: self._strangers.get(one, now) for one in seen}
        late = [pid for (pid, _), at in self._strangers.items() if now - at > STRANGER_SECONDS]
        if late:
            kill_all(lambda: [member for pid in late for member in proc.family(pid)])

    def _apart(self) -> Container[int]:
        orphans = [pid for pid, owner in self.orphans() if owner is not None]
        return {*self.branches, *orphans}

    def leave(self, branch: "Branch") -> bool:
        """Forget a worker that has ended; tell whether processes had to be killed first.

        Sets its `left`. Orphans that no mark names are those of the only worker, or unknown.
        """
        orphans = list(self.orphans(sure=True))
        if any(owner is branch for _, owner in orphans):
            return True
        unknown = [pid for pid, owner in orphans if owner is None]
        others = any(one.status is None for one in self.branches.values() if one is not branch)
        if unknown and not others:
            kill_all(lambda: [member for pid in unknown for member in proc.family(pid)])
            return True
        del self.branches[branch.pid]
        if unknown:
            branch.left = "processes"
        elif not others and self._look_for_traces() != self._traces:
            branch.left = "files"
        return False

    def _look_for_traces(self) -> tuple[object, ...]:
        """Return what changes when files are added to the temporary directories."""
        with contextlib.suppress(OSError):
            names = sorted(os.listdir(self.root.tmp)) if self.root.tmp else []  # noqa: PTH208
            inside = f"/proc/{self.template}/root{OWN_MEMORY}"
            if device(inside) == device(OWN_MEMORY):
                return tuple(names)
            found = os.statvfs(inside)
            return (*names, found.f_bfree, found.f_ffree)
        return ()


class Branch(Tree):
    """A process of a sandbox and everything that descends from it."""

    def __init__(self, adopt: Adopt, sandbox: Sandbox, now: float) -> None:
        super().__init__(_as_command(adopt), adopt["pid"], now)
        self.sandbox = sandbox
        #: The processes below it at the last look, with their start.
        self.below: set[tuple[int, int]] = set()
        sandbox.branches[self.pid] = self

    def members(self) -> list[int]:
        """Return every process of the tree."""
        self.adopted = [pid for pid, owner in self.sandbox.orphans() if owner is self]
        found = super().members()
        self.below = {(pid, proc.started(pid)) for pid in found}
        return found

    def check(self, now: float, trees: int) -> str:
        """Measure the tree, and look for strangers beside it; see `Tree.check`."""
        self.sandbox.kill_strangers(now)
        return super().check(now, trees)

    def end(self) -> None:
        """Note that its process has ended; the template reaps it later."""
        status = proc.wait_status(self.pid)
        self.status = KILLED if status is None else status

    def lives_on(self) -> bool:
        """Kill what it left; tell whether there was any."""
        if self.members():
            kill_all(self.members)
            return True
        if super().lives_on():
            return True
        if self.sandbox.branches.get(self.pid) is self:
            return self.sandbox.leave(self)
        return False


def _as_command(adopt: Adopt) -> Spawn:
    """Return the message that would start the process as a command of its own."""
    return {
        "op": "spawn",
        "id": adopt["id"],
        "argv": [],
        "env": {},
        "cwd": "/",
        "uid": 0,
        "descriptors": 0,
        "data": [],
        "confine": None,
        # Its session and its descendants are killed, not the namespace.
        "namespaced": False,
        "cookie": adopt["cookie"],
        "tmp": "",
        "tmp_inside": "",
        "private_paths": [],
        "tmp_bytes": 0,
        "memory_bytes": adopt["memory_bytes"],
        "processes": adopt["processes"],
        "cpus": adopt["cpus"],
        "nice": adopt["nice"],
        "oom_score_adj": adopt["oom_score_adj"],
    }
