"""Start, watch, reap and kill commands for the server at the other end of a socket.

Messages are lines of JSON. From the server: `spawn` (its descriptors ride along: stdin is /dev/null, then stdout and
stderr, then the caller's), `watch`, `terminate`, `kill`. To the server: `spawned`, `failed`, `exited`.
When the server ends, in whatever way, everything here is killed and this process ends.

Why a process of its own: starting from a small single-threaded parent is quick, PR_SET_PDEATHSIG fires when the
parent *thread* ends, and a child subreaper inherits the orphans of every command, however they daemonized.
"""

import array
import contextlib
import ctypes
import json
import math
import os
import select
import signal
import socket
import sys
import time
from typing import Any

from . import cgroup, confine, overdue, proc, tree
from .closer import Closer
from .start import PARKED_DESCRIPTOR, blob, errand, find, park, start_confined, start_plain
from .tree import Tree

PR_SET_CHILD_SUBREAPER = 36
#: What the kernel says by a signal.
LIMIT_SIGNALS = {
    int(signal.SIGXFSZ): "file size limit exceeded",
    int(signal.SIGXCPU): "CPU time limit exceeded",
}
FIRST_DESCRIPTOR, FIRST_DATA_DESCRIPTOR = 3, 64
#: Seconds between rounds of killing while something that must die is alive.
KILL_ROUND_SECONDS = 0.005
#: Seconds that the end may take.
STOP_SECONDS = 5.0
#: Seconds in which closer looks gather, so that one child begins with all that are due.
GATHER_SECONDS = 0.5


class Launcher:
    """Everything that was started and has not been reported as ended."""

    def __init__(
        self, control: socket.socket, records: str, groups: cgroup.Groups | None = None
    ) -> None:
        self.control = control
        self.groups = groups
        #: A directory with a file per root, `<pid>`, holding its start and cookie: what the next start must kill.
        self.records = records
        self.trees: dict[int, Tree] = {}
        self.by_pid: dict[int, Tree] = {}
        #: Children of our own, that do what takes long, and those that were left by their parents,
        #: with the cookie in their environment: it names the tree they belong to.
        self.errands: set[int] = set()
        self.orphans: dict[int, bytes] = {}
        self.poll = select.poll()
        self.closer = Closer(self.poll)
        self.gather_at = 0.0
        self.buffer = bytearray()
        self.descriptors: list[int] = []
        self.stopping = False
        self.null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.next_core = 0

    def run(self, wakeup: int, server: int | None) -> None:
        """Serve until the server is gone; `server` is a pidfd of it."""
        for descriptor in (self.control.fileno(), wakeup, *([] if server is None else [server])):
            self.poll.register(descriptor, select.POLLIN)
        while not self.stopping:
            ready = {descriptor for descriptor, _ in self.poll.poll(self.pause_ms())}
            if wakeup in ready:
                self.stopping = signal.SIGTERM in os.read(wakeup, 4096)
            if server in ready:
                self.stopping = True
            self.reap()
            for descriptor in ready & self.closer.running.keys():
                for item, reason in self.closer.receive(descriptor, time.monotonic()):
                    self.condemn(item, reason)
            self.watch()
            if self.control.fileno() in ready:
                self.receive()
        self.stop()

    def pause_ms(self) -> int | None:
        """Return how long nothing is due; None for ever."""
        if any(item.dying for item in self.trees.values()):
            return math.ceil(KILL_ROUND_SECONDS * 1000)
        if not self.trees:
            return None
        return max(
            0,
            math.ceil(
                (min(item.check_at for item in self.trees.values()) - time.monotonic()) * 1000
            ),
        )

    def receive(self) -> None:
        """Read what the server sent and obey the complete lines."""
        space = socket.CMSG_SPACE(4 * 128)
        try:
            data, ancillary, _, _ = self.control.recvmsg(
                1 << 20, space, getattr(socket, "MSG_CMSG_CLOEXEC", 0)
            )
        except ConnectionResetError:  # The server was killed before it had read everything.
            self.stopping = True
            return
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i", content[: len(content) - len(content) % 4])
                self.descriptors += [park(number) for number in numbers]
        if not data:
            self.stopping = True
        self.buffer += data
        while (end := self.buffer.find(b"\n")) >= 0:
            message = json.loads(bytes(self.buffer[:end]))
            del self.buffer[: end + 1]
            self.obey(message)

    def obey(self, message: dict[str, Any]) -> None:
        """Do what one message says."""
        if message["op"] == "spawn":
            self.spawn(message)
        elif item := self.trees.get(message["id"]):
            if message["op"] == "watch":
                item.watch(message["fast"], time.monotonic())
            elif message["op"] == "terminate":
                item.terminate()
            elif message["op"] == "kill":
                self.kill(item, "")

    def spawn(self, spec: dict[str, Any]) -> None:
        """Start a command and report its pid, or why it could not be started."""
        count = spec["descriptors"]
        given, self.descriptors = self.descriptors[:count], self.descriptors[count:]
        try:
            pid = self.start(spec, given)
        except (
            OSError,
            ValueError,
        ) as error:  # ValueError: a NUL in an argument, "=" in a variable's name
            self.remove(spec["tmp"])
            reason = error.strerror if isinstance(error, OSError) else error
            self.send({"op": "failed", "id": spec["id"], "error": f"{spec['argv'][0]}: {reason}"})
            return
        finally:
            for descriptor in given:
                os.close(descriptor)
        if spec["nice"]:
            with contextlib.suppress(OSError):
                os.setpriority(
                    os.PRIO_PROCESS, pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + spec["nice"])
                )
        item = Tree(spec, pid, time.monotonic())
        item.expose(proc.family(pid))
        if self.groups is not None:
            self.enclose(item, spec)
        self.trees[item.id] = self.by_pid[pid] = item
        # On a full disk the cookie in its environment is enough to find it again.
        with contextlib.suppress(OSError), open(f"{self.records}/{pid}", "w") as record:  # noqa: PTH123
            record.write(f"{item.started} {spec['cookie']}\n")
        self.send(
            {
                "op": "spawned",
                "id": item.id,
                "pid": pid,
                "started": item.started,
                "grouped": bool(item.group),
            }
        )

    def enclose(self, item: Tree, spec: dict[str, Any]) -> None:
        """Put a tree that has just started into a group of its own; without one the watchdog remains."""
        assert self.groups is not None
        try:
            item.group = self.groups.make(item.id, spec)
            item.group.add([item.pid])
            # What it started before that; the command itself is not among it, which takes longer to come about.
            item.group.add(proc.descendants(item.pid))
        except OSError:
            if item.group is not None:
                item.group.remove()
            item.group = None

    def start(self, spec: dict[str, Any], given: list[int]) -> int:
        """Start the process; every descriptor here is close-on-exec, so it inherits what is named and no more."""
        uid = spec["uid"]
        if spec["tmp"]:
            os.mkdir(spec["tmp"], 0o700)  # noqa: PTH102
            if uid:
                os.chown(spec["tmp"], uid, uid)
        for path in spec["private_paths"]:
            # By group, because an owner could make its own code writable.
            os.chown(path, -1, uid)
            os.chmod(path, 0o750)  # noqa: PTH101
        spec["program"] = find(spec["argv"][0], spec["env"].get("PATH", os.defpath))
        data = [blob(text.encode("latin-1")) for text in spec["data"]]
        places = {
            **dict(enumerate((self.null, *given[:2]))),
            **dict(enumerate(given[2:], FIRST_DESCRIPTOR)),
            **dict(enumerate(data, FIRST_DATA_DESCRIPTOR)),
        }
        try:
            os.chdir(spec["cwd"])
            self.narrow(spec["cpus"])
            return start_confined(spec, places) if spec["confine"] else start_plain(spec, places)
        finally:
            os.chdir("/")
            self.narrow(0)
            for descriptor in data:
                os.close(descriptor)

    def narrow(self, cpus: float) -> None:
        """Choose the cores the next child inherits: a window that moves on with each start; 0 = all of them."""
        wanted = math.ceil(cpus)
        if not self.cores or wanted >= len(self.cores):
            return
        if wanted <= 0:
            os.sched_setaffinity(0, self.cores)
            return
        os.sched_setaffinity(
            0, [self.cores[(self.next_core + at) % len(self.cores)] for at in range(wanted)]
        )
        self.next_core = (self.next_core + wanted) % len(self.cores)

    def reap(self) -> bool:
        """Collect every child that ended, ours or inherited; tell whether there are others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.errands.discard(pid)
            self.orphans.pop(pid, None)
            if item := self.by_pid.pop(pid, None):
                item.status = status

    def watch(self) -> None:
        """Look at the trees that are due, kill orphans without an owner, report the trees that are gone."""
        now = time.monotonic()
        due = [item for item in self.trees.values() if item.check_at <= now or item.dying]
        if not due:
            return
        strays = self.adopt(
            sure=any(item.status is not None for item in due)
        )  # Before an end is reported.
        for item in due:
            if not item.dying:
                self.condemn(item, item.check(now, len(self.trees)))
            if item.dying:
                self.finish(item, strays)
        self.look_closer(due, now)

    def look_closer(self, due: list[Tree], now: float) -> None:
        """Have a child look at the trees whose usage is unclear, and, now and then, at all."""
        if now >= self.gather_at:
            self.gather_at = now + GATHER_SECONDS
            wanting = list(self.trees.values())
        else:
            wanting = [item for item in due if item.unsure]
        if wanting := [item for item in wanting if not item.dying and item.wants_closer(now)]:
            self.errands |= self.closer.look(wanting, self.trees.values(), now)

    def condemn(self, item: Tree, reason: str) -> None:
        """Have a tree killed for a reason, if there is one and it has not begun to end."""
        if reason and not item.dying:
            item.reason = reason
            item.killed = True

    def adopt(self, *, sure: bool = False) -> bool:
        """Give the orphans among our children to their trees and kill those without; tell whether there were any.

        An orphan is known by the cookie in its environment. One that hid it belongs to nobody and dies at once.
        """
        owners = {item.cookie: item for item in self.trees.values() if not item.dying}
        for item in self.trees.values():
            item.adopted = []
        strays: list[int] = []
        for pid in proc.children(os.getpid(), sure=sure):
            if pid in self.by_pid or pid in self.errands:
                continue
            if pid not in self.orphans:
                # It keeps that number until it is reaped here, whatever program it runs by then.
                self.orphans[pid] = proc.environment_value(pid, tree.COOKIE.encode()) or b"-"
            if owner := owners.get(self.orphans[pid]):
                owner.adopted.append(pid)
            elif proc.alive(pid):
                strays.append(pid)
        if strays:
            tree.kill_all(lambda: [member for pid in strays for member in proc.family(pid)])
        return bool(strays)

    def kill(self, item: Tree, reason: str) -> None:
        """Begin to kill a tree; `watch` goes on with it until it is gone."""
        item.reason = item.reason or reason
        item.killed = True
        self.watch()

    def finish(self, item: Tree, strays: bool) -> None:
        """Go on killing; report the exit once the root is reaped and no orphan is left."""
        if item.status is None:
            item.kill()
            return
        if strays or item.lives_on():
            return
        del self.trees[item.id]
        self.remove(item.tmp)
        with contextlib.suppress(OSError):  # On a read-only disk a record stays that names nobody.
            os.unlink(f"{self.records}/{item.pid}")  # noqa: PTH108
        code = os.waitstatus_to_exitcode(item.status)
        if item.namespaced and 128 < code < 128 + signal.NSIG:
            code = 128 - code  # bwrap reports a death by signal as shells do
        item.reason = (
            item.reason or LIMIT_SIGNALS.get(-code, "") or (item.limit_hit if code else "")
        )
        if code == -signal.SIGKILL and not item.killed and proc.oom_kills() > item.oom_kills:
            item.reason = item.reason or "the server ran out of memory"
        self.send(
            {
                "op": "exited",
                "id": item.id,
                "code": code if code >= 0 else None,
                "signal": -code if code < 0 else None,
                "reason": item.reason,
            }
        )

    def remove(self, path: str) -> None:
        """Remove a private temporary directory in a child, because a big one takes long."""
        if not path:
            return

        def work() -> None:
            from pathlib import Path

            from minifn.host.datadir import remove_tree

            remove_tree(Path(path))

        # With too many processes the next start removes it.
        self.errands |= {errand(work)} - {0}

    def send(self, message: dict[str, Any]) -> None:
        """Tell the server; when it is gone there is nobody to tell, and the end is near anyway."""
        try:
            self.control.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.stopping = True

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


def close_on_exec() -> None:
    """Keep what this process was given (the socket, the lock) from its children; later descriptors begin that way."""
    for number in range(3, PARKED_DESCRIPTOR):
        with contextlib.suppress(OSError):
            os.set_inheritable(number, False)


def become_subreaper() -> None:
    """Inherit orphaned descendants instead of leaving them to init. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main(control: int, server: int, records: str, told: int) -> None:
    """Run until the server ends. `control` is the socket's descriptor, `server` the server's pid.

    On the descriptor `told` the server is heard to have been told to end.
    """
    close_on_exec()
    become_subreaper()
    # The environments of functions pass through here, with the variables that are their secrets.
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
    Launcher(socket.socket(fileno=control), records, groups).run(wakeup, watched)
