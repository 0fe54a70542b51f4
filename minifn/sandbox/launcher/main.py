"""Starts, watches, reaps and kills commands for the server at the other end of a socket.

Messages are those of `messages.py`. When the server ends, in whatever way, everything here is
killed and this process ends.

Reasons for a process of its own: starting from a small single-threaded parent is quick,
PR_SET_PDEATHSIG fires when the parent *thread* ends, and a child subreaper inherits the orphans of
every command, however they daemonized.
"""

import contextlib
import ctypes
import math
import os
import select
import signal
import socket
import sys
import time

from . import cgroup, confine, isolated, overdue, proc, tree
from .branches import AdoptionRefused, Branch, Sandbox
from .closer import Closer
from .control import Control
from .ends import exited
from .messages import Adopt, Spawn, ToLauncher
from .start import PARKED_DESCRIPTOR, Starter, errand
from .tree import Tree

PR_SET_CHILD_SUBREAPER = 36
#: Seconds between rounds of killing while a tree is dying.
KILL_ROUND_SECONDS = 0.005
#: Seconds that the launcher's own end may take.
STOP_SECONDS = 5.0
#: Seconds between two starts of a child that takes all closer looks then due.
GATHER_SECONDS = 0.5
#: Highest niceness that the kernel knows.
NICE_MAX = 19


class Launcher:
    """The commands that were started and whose end was not yet reported."""

    def __init__(self, control: Control, records: str, groups: cgroup.Groups | None = None) -> None:
        self.control = control
        self.groups = groups
        #: Directory with a file per root, `<pid>`, that holds its start and cookie: the next
        #: launcher kills these.
        self.records = records
        self.starter = Starter()
        self.trees: dict[int, Tree] = {}
        self.by_pid: dict[int, Tree] = {}
        #: The sandboxes with adopted processes, by the number of their tree; and those processes,
        #: by a descriptor (pidfd) that becomes readable when one ends.
        self.sandboxes: dict[int, Sandbox] = {}
        self.branches: dict[int, Branch] = {}
        #: Children of the launcher's own that do long work.
        self.errands: set[int] = set()
        #: Adopted children and the cookie in their environment, which names their tree.
        self.orphans: dict[int, bytes] = {}
        self.poll = select.poll()
        self.closer = Closer(self.poll)
        self.gather_at = 0.0
        self.stopping = False

    def run(self, wakeup: int, server: int | None) -> None:
        """Serve until the server is gone; `server` is a pidfd of it."""
        for descriptor in (self.control.fileno(), wakeup, *([] if server is None else [server])):
            self.poll.register(descriptor, select.POLLIN)
        while not (self.stopping or self.control.closed):
            ready = {descriptor for descriptor, _ in self.poll.poll(self.pause_ms())}
            if wakeup in ready:
                self.stopping = signal.SIGTERM in os.read(wakeup, 4096)
            if server in ready:
                self.stopping = True
            self.reap()
            for descriptor in ready & self.branches.keys():
                self.poll.unregister(descriptor)
                self.branches.pop(descriptor).end()
                os.close(descriptor)
            for descriptor in ready & self.closer.running.keys():
                for item, reason in self.closer.receive(descriptor, time.monotonic()):
                    self.condemn(item, reason)
            self.watch()
            if self.control.fileno() in ready:
                for message in self.control.receive():
                    self.obey(message)
        self.stop()

    def pause_ms(self) -> int | None:
        """Return the milliseconds until the next look is due, None without trees."""
        if any(item.dying for item in self.trees.values()):
            return math.ceil(KILL_ROUND_SECONDS * 1000)
        if not self.trees:
            return None
        pause = min(item.check_at for item in self.trees.values()) - time.monotonic()
        return max(0, math.ceil(pause * 1000))

    def obey(self, message: ToLauncher) -> None:
        """Carry out one message."""
        if message["op"] == "spawn":
            self.spawn(message)
        elif message["op"] == "adopt":
            self.adopt_fork(message)
        elif message["op"] == "close":
            self.errands |= isolated.close(self.trees.values(), message["addresses"])
        elif item := self.trees.get(message["id"]):
            if message["op"] == "watch":
                item.watch(message["fast"], time.monotonic())
            else:
                item.killed = True
                self.watch()

    def spawn(self, spawn: Spawn) -> None:
        """Start a command, and report its pid or the reason why it could not start."""
        given = self.control.take(spawn["descriptors"])
        try:
            pid = self.starter.start(spawn, given)
        except (OSError, ValueError) as error:
            self.remove(spawn["tmp"])
            reason = error.strerror if isinstance(error, OSError) else error
            failure = f"{spawn['argv'][0]}: {reason}"
            self.control.send({"op": "failed", "id": spawn["id"], "error": failure})
            return
        finally:
            for descriptor in given:
                os.close(descriptor)
        if spawn["nice"]:
            renice(pid, spawn["nice"])
        item = Tree(spawn, pid, time.monotonic())
        item.expose(proc.family(pid))
        if self.groups is not None:
            self.enclose(item, spawn, self.groups)
        self.trees[item.id] = self.by_pid[pid] = item
        # On a full disk the cookie in its environment is enough to find it again.
        record = f"{self.records}/{pid}"
        with contextlib.suppress(OSError), open(record, "w") as file:  # noqa: PTH123
            file.write(f"{item.started} {spawn['cookie']}\n")
        self.tell_start(item)

    def tell_start(self, item: Tree) -> None:
        """Report that a tree is watched."""
        self.control.send(
            {
                "op": "spawned",
                "id": item.id,
                "pid": item.pid,
                "started": item.started,
                "grouped": item.group is not None,
            }
        )

    def adopt_fork(self, adopt: Adopt) -> None:
        """Make a fork of a command a tree of its own, or report the reason why it cannot be."""
        pid, now = adopt["pid"], time.monotonic()
        try:
            root = self.trees.get(adopt["tree"])
            if root is None or root.dying or not root.namespaced:
                raise AdoptionRefused("its sandbox has ended")
            ended = os.pidfd_open(pid)
            try:
                sandbox = self.sandboxes.get(root.id) or Sandbox(root, proc.parent(pid))
                sandbox.refuse(pid)
            except AdoptionRefused:
                os.close(ended)
                raise
        except (OSError, ValueError) as error:
            self.control.send({"op": "failed", "id": adopt["id"], "error": str(error)})
            return
        self.sandboxes[root.id] = sandbox
        self.trees[adopt["id"]] = self.branches[ended] = item = Branch(adopt, sandbox, now)
        self.poll.register(ended, select.POLLIN)
        renice(pid, adopt["nice"])
        self.starter.narrow(adopt["cpus"], pid)
        if self.groups is not None:
            self.enclose(item, adopt, self.groups)
        self.tell_start(item)

    def enclose(self, item: Tree, spawn: Spawn | Adopt, groups: cgroup.Groups) -> None:
        """Move a tree that has just started to a group of its own.

        Without one the watchdog remains.
        """
        try:
            item.group = groups.create(item.id, spawn)
            item.group.add([item.pid])
            # Processes that it started before; the command itself comes later than these.
            item.group.add(proc.descendants(item.pid))
        except OSError:
            if item.group is not None:
                item.group.remove()
            item.group = None

    def reap(self) -> bool:
        """Collect every child that ended, own or adopted; tell whether there are others."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.errands.discard(pid)
            self.orphans.pop(pid, None)
            for one in self.trees.values():
                one.note_end(pid, usage.ru_maxrss * 1024)
            if item := self.by_pid.pop(pid, None):
                item.status = status

    def watch(self) -> None:
        """Check the trees that are due, kill orphans without a tree, report ended trees."""
        now = time.monotonic()
        due = [item for item in self.trees.values() if item.check_at <= now or item.dying]
        if not due:
            return
        ended = [item for item in due if item.status is not None and not isinstance(item, Branch)]
        # Orphans are sought thoroughly before an end is reported, once the quick look finds none.
        strays = self.adopt() or (bool(ended) and self.adopt(sure=True))
        for item in due:
            if not item.dying:
                self.condemn(item, item.check(now, len(self.trees)))
            if item.dying:
                self.finish(item, strays)
        self.look_closer(due, now)

    def look_closer(self, due: list[Tree], now: float) -> None:
        """Have a child look closer at trees whose usage is unclear and, now and then, at all."""
        if now >= self.gather_at:
            self.gather_at = now + GATHER_SECONDS
            wanting = list(self.trees.values())
        else:
            wanting = [item for item in due if item.unsure]
        if wanting := [item for item in wanting if not item.dying and item.wants_closer(now)]:
            self.errands |= self.closer.look(wanting, self.trees.values(), now)

    def condemn(self, item: Tree, reason: str) -> None:
        """Have a tree killed if there is a reason and it is not dying already."""
        if reason and not item.dying:
            item.reason = reason
            item.killed = True

    def adopt(self, *, sure: bool = False) -> bool:
        """Assign adopted children to their trees and kill those without one.

        Returns whether any was killed. An orphan is known by the cookie in its environment, which
        the functions of most languages do not pass on, or by its session: that is its tree's unless
        it began one of its own, and it cannot join another. `sure` misses none: see
        `proc.children`.
        """
        living = [item for item in self.trees.values() if not item.dying]
        owners = {item.cookie: item for item in living}
        sessions = {item.pid: item for item in living if not isinstance(item, Branch)}
        for item in self.trees.values():
            item.adopted = []
        strays: list[int] = []
        for pid in proc.children(os.getpid(), sure=sure):
            if pid in self.by_pid or pid in self.errands:
                continue
            if pid not in self.orphans:
                # Its pid stays the same until it is reaped here, even if it runs another program.
                self.orphans[pid] = proc.environment_value(pid, tree.COOKIE.encode()) or b"-"
            owner = owners.get(self.orphans[pid]) or sessions.get(proc.session(pid))
            if owner:
                owner.adopted.append(pid)
            elif proc.alive(pid):
                strays.append(pid)
        if strays:
            tree.kill_all(lambda: [member for pid in strays for member in proc.family(pid)])
        return bool(strays)

    def finish(self, item: Tree, strays: bool) -> None:
        """Kill what is left; report the end once the root is reaped and no orphan is left."""
        if item.status is None:
            item.kill()
            return
        if strays or item.lives_on():
            return
        del self.trees[item.id]
        self.sandboxes.pop(item.id, None)
        self.remove(item.tmp)
        # On a read-only disk the record stays: no process has its pid and start.
        with contextlib.suppress(OSError):
            os.unlink(f"{self.records}/{item.pid}")  # noqa: PTH108
        self.control.send(exited(item, item.status))

    def remove(self, path: str) -> None:
        """Remove a private temporary directory, in a child if it holds files."""
        if not path:
            return
        with contextlib.suppress(OSError):
            os.rmdir(path)  # noqa: PTH106
            return

        def work() -> None:
            from pathlib import Path

            from minifn.host.files import remove_tree

            remove_tree(Path(path))

        # With too many processes the next start removes it.
        self.errands |= {errand(work)} - {0}

    def stop(self) -> None:
        """Kill everything and wait for it."""
        deadline = time.monotonic() + STOP_SECONDS
        self.closer.stop()
        for item in list(self.trees.values()):
            item.killed = True
        while (self.reap() or self.trees) and time.monotonic() < deadline:
            if self.trees:
                self.watch()
            else:
                self.adopt(sure=True)
            time.sleep(KILL_ROUND_SECONDS)
        if self.groups is not None:
            self.groups.leave()


def renice(pid: int, nice: int) -> None:
    """Set the niceness of a process to the launcher's and `nice` more.

    Without root it can only rise.
    """
    niceness = min(NICE_MAX, os.getpriority(os.PRIO_PROCESS, 0) + nice)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, niceness)


def close_on_exec() -> None:
    """Keep inherited descriptors (the socket, the lock) from children.

    Python makes later descriptors that way.
    """
    for number in range(3, PARKED_DESCRIPTOR):
        with contextlib.suppress(OSError):
            os.set_inheritable(number, False)


def become_subreaper() -> None:
    """Inherit orphaned descendants instead of leaving them to init. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main(control: int, server: int, records: str, told: int) -> None:
    """Run until the server ends.

    `control` is the socket's descriptor, `server` the server's pid. `told` is the descriptor that
    becomes readable when the server was told to end.
    """
    close_on_exec()
    become_subreaper()
    # The environments of functions pass through here, secret variables included.
    confine.forbid_dumps()
    wakeup, wake = os.pipe()
    os.set_blocking(wake, False)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        # A copy of the socket in a forked child of the server would hide the server's end.
        watched = os.pidfd_open(server)
    except (AttributeError, OSError):
        watched = None
    overdue.Overdue(told, server)
    groups = cgroup.delegated((server, os.getpid()))
    Launcher(Control(socket.socket(fileno=control)), records, groups).run(wakeup, watched)
