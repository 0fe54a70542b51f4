"""A template: a process that has imported the function and serves no one; workers are its forks.

It gets messages in JSON by a socket, one a packet, and answers the first with `{"obstacle": text}`,
"" for none:

`{"fork": N, "mark": M}`
    Fork worker N. Two descriptors come along: the worker's socket to the server, and its output.
    Programs that the worker starts have M in MINIFN_TREE. Answer only when the fork fails:
    `{"failed": N}`.
`{"reap": N}`
    Worker N has ended, and the launcher has read how.

A function can only be forked while it is alone: a fork has one thread, and shares open files,
whose position is common, connections, whose bytes would mix, and mapped memory such as the locks of
multiprocessing, which stay locked when a worker that holds one is killed.
"""

from __future__ import annotations

import _socket
import array
import contextlib
import gc
import json
import os
import signal
import sys
from os import fork

READ_BYTES = 4096
#: Files that all may share: they have no position.
STATELESS = ("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero")


class Template:
    """Imports the function and forks workers on demand."""

    def __init__(self, descriptor: int, worker, function) -> None:
        """`worker` (`minifn_worker.Worker`) serves in each fork."""
        self._control = _socket.socket(
            _socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fileno=descriptor
        )
        os.set_inheritable(descriptor, False)
        self._worker = worker
        self._function = function
        #: Pid by the worker's number.
        self._forks: dict[int, int] = {}

    def run(self) -> None:
        """Serve until the server is gone. Returns in each fork, whose worker has its socket."""
        before = open_files()
        self._worker._accept({"type": "load"}, b"")
        obstacle = self._obstacle(before)
        self._control.send(json.dumps({"obstacle": obstacle}).encode())
        if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Collections in forks would otherwise copy the pages of everything that was imported.
        gc.collect()
        gc.freeze()
        while True:
            data, ancillary, _, _ = self._control.recvmsg(
                READ_BYTES, _socket.CMSG_SPACE(8), _socket.MSG_CMSG_CLOEXEC
            )
            if not data or obstacle:
                os._exit(0)
            message = json.loads(data)
            if "reap" in message:
                self._reap(message["reap"])
            elif self._fork(message, array.array("i", ancillary[0][2])):
                return

    def _obstacle(self, before: dict[str, str]) -> str:
        """Return why no worker can be forked, "" if nothing is in the way."""
        if self._function.main is None:
            return "its import failed"
        if has_threads():
            # Libraries that know forks (OpenBLAS) end theirs before one.
            child = fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        if has_threads():
            return "its import started threads"
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return "its import started processes"
        except ChildProcessError:
            pass
        # libffi, from 3.5 on, keeps its own file open to map it again: `ctypes` of Debian 14.
        code = {line[5].rstrip() for line in mappings() if "x" in line[1] and len(line) > 5}
        # A copy of an open file is one too: the socket, or the output, of the template itself.
        added = [
            name
            for number, name in open_files().items()
            if before.get(number) != name and name not in STATELESS and name not in code
        ]
        if any(name.startswith("socket:") for name in added):
            return "its import opened sockets"
        if added:
            return "its import opened files or an event loop"
        if shares_memory():
            return "its import shares memory with other processes, as locks of multiprocessing do"
        return ""

    def _reap(self, number: int) -> None:
        # The function may have reaped it.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._forks.pop(number), 0)

    def _fork(self, message: dict, descriptors) -> bool:
        """Fork a worker; tell whether this is it."""
        try:
            pid = fork()
        except OSError:
            self._control.send(json.dumps({"failed": message["fork"]}).encode())
            pid = -1
        if pid == 0:
            self._become(message["mark"], *descriptors)
            return True
        if pid > 0:
            self._forks[message["fork"]] = pid
        for descriptor in descriptors:
            os.close(descriptor)
        return False

    def _become(self, mark: str, channel: int, output: int) -> None:
        os.setsid()
        # The number that it has in a worker that was not forked.
        self._worker.channel.fd = os.dup2(channel, self._control.detach(), inheritable=False)
        for number in (1, 2):
            os.dup2(output, number)
        os.close(output)
        os.close(channel)
        os.environ["MINIFN_TREE"] = mark
        reseed()


def has_threads() -> bool:
    return len(os.listdir("/proc/self/task")) > 1


def open_files() -> dict[str, str]:
    """Return what every open descriptor refers to, by its number."""
    names = {}
    for number in os.listdir("/proc/self/fd"):
        # The listing's own is closed.
        with contextlib.suppress(OSError):
            names[number] = os.readlink("/proc/self/fd/" + number)
    return names


def mappings() -> list[list[str]]:
    """Return the fields of /proc/self/maps: what is mapped, how, from which file."""
    with open("/proc/self/maps", errors="surrogateescape") as maps:
        return [line.split(maxsplit=5) for line in maps]


def shares_memory() -> bool:
    """Tell whether processes that are forked would write to the same memory."""
    return any(mapping[1][1::2] == "ws" for mapping in mappings())


def reseed() -> None:
    """Make random numbers of a fork its own, where libraries do not (the module `random` does)."""
    for name in ("numpy.random", "torch"):
        module = sys.modules.get(name)
        if module is not None:
            module.seed()
