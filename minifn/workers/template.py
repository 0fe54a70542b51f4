"""A template: a process in a deployment's sandbox whose forks are workers; it serves no requests.

It has run user code, so nothing that it says is believed. Its forks are known by the pid that the
kernel attaches to their first bytes, and the launcher checks that this is a child of the template
in the same sandbox.
"""

import array
import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Literal

from minifn import jsontext
from minifn.hooks import nothing
from minifn.host.tasks import Tasks
from minifn.log_text import one_line
from minifn.sandbox.command import SandboxError, Wrapped
from minifn.sandbox.engines import Engine
from minifn.sandbox.launcher import proc
from minifn.sandbox.launcher.messages import FIRST_DESCRIPTOR
from minifn.sandbox.process import Process
from minifn.sandbox.spawner import Spawner
from minifn.workers.channels import Started, channels
from minifn.workers.records import WorkerSpec

#: Seconds that an import may take, and a fork.
LOAD_SECONDS, FORK_SECONDS = 60.0, 2.0
#: CPU time between two looks that a template without workers may take.
RESTLESS_SECONDS = 0.1
#: Bytes of the longest message of a template.
MESSAGE_BYTES = 4096
#: Bytes of the first frame of a worker.
FIRST_BYTES = 64 * 1024
#: struct ucred: pid, uid, gid.
CREDENTIALS = struct.Struct("iII")
#: Seconds that calls in flight may take when their sandbox is given up.
RETIRE_SECONDS = 30.0

State = Literal["loading", "ready", "retired"]


class ForkFailed(SandboxError):
    """A template did not fork; the worker starts without it."""


class Template:
    """The template of one deployment."""

    name = "template"

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.state: State = "loading"
        #: Why the function cannot be forked, "" if it can or is not known.
        self.obstacle = ""
        #: When it forked last, on the monotonic clock.
        self.used_at = 0.0
        #: Called once, when it forks no more although it was ready.
        self.on_retired: Callable[[Template], None] = nothing
        #: Leftovers of a fork in its sandbox: see `launcher.messages.Left`.
        self.left = ""
        #: The processes of its living forks, by number.
        self.forks: dict[int, Process] = {}
        self._loop = asyncio.get_running_loop()
        self._spawner: Spawner
        self.process: Process | None = None
        self._control: socket.socket
        self._pid = 0
        self._count = 0
        #: CPU time of its sandbox at the last look, whether it was idle, and its forks until then.
        self._looked = (0.0, False, 0)
        self._tasks = Tasks()
        #: Set while it has no forks; seen only once it is retired.
        self._idle = asyncio.Event()
        #: Forks that were asked for and are not workers yet; done when the fork failed.
        self._asked: dict[int, asyncio.Future[None]] = {}

    @property
    def resident_bytes(self) -> int:
        """The memory of its process, 0 when that has ended."""
        return proc.sizes(self._pid)[1] if self._pid else 0

    @property
    def has_ended(self) -> bool:
        """Whether its process was started and has ended."""
        return self.process is not None and self.process.exit is not None

    def is_restless(self) -> bool:
        """Tell whether its sandbox is not at rest although no worker is in it.

        Then its function has lied: a process with one thread, which waits, takes no time
        between two looks, and has no children. Takes milliseconds for a large sandbox.
        """
        before, was_idle, asked = self._looked
        process = self.process
        members = proc.family(process.pid) if process is not None else []
        taken = sum(proc.cpu_seconds(pid) for pid in members)
        self._looked = taken, self.is_idle, self._count
        if not (was_idle and self.is_idle and asked == self._count):
            return False
        return self._has_children(members) or taken > before + RESTLESS_SECONDS

    def _has_children(self, members: list[int]) -> bool:
        """Tell whether its sandbox has a process that its wrapper has not started."""
        own = {*proc.ancestors(self._pid), self._pid}
        return any(proc.alive(pid) for pid in members if pid not in own)

    @property
    def is_idle(self) -> bool:
        """Whether it has no forks."""
        return not self.forks and not self._asked

    async def load(self, spawner: Spawner, engine: Engine) -> None:
        """Start the process and wait until it has imported the function.

        It has an obstacle then, or is ready. Raises SandboxError.
        """
        self._spawner = spawner
        await self.spec.prepare()
        wrapped = _wrap(self.spec, engine)
        if not wrapped.namespaced:
            raise ForkFailed("its sandbox has no processes of its own")
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        with theirs:
            try:
                self.process = await spawner.spawn(wrapped, (theirs.fileno(),))
            except BaseException:
                self._control.close()
                raise
        try:
            self.obstacle = await asyncio.wait_for(self._first_word(), LOAD_SECONDS)
        except TimeoutError:
            self.obstacle = "its import takes too long"
        finally:
            if self.state != "loading" or self._pid == 0 or self.obstacle:
                self._give_up()
        if self.state == "loading":
            self._become_ready()

    def _give_up(self) -> None:
        assert self.process is not None
        self.state = "retired"
        self.process.kill_soon()
        self._control.close()

    def _become_ready(self) -> None:
        assert self.process is not None
        self.state = "ready"
        self.used_at = self._loop.time()
        self.process.watch(False)
        self._loop.add_reader(self._control.fileno(), self._hear)

    async def _first_word(self) -> str:
        """Return the obstacle that the process reports, or the one that it is."""
        try:
            data, pid = await receive(self._control, MESSAGE_BYTES)
            obstacle = _word(data, "obstacle")
        except (OSError, ValueError):
            return "its import ended the process"
        self._pid = pid
        return one_line(str(obstacle))

    async def give(self) -> Started:
        """Fork a worker. Raises SandboxError."""
        with channels() as (ours, theirs, reading, writing):
            process, read = await self._fork(ours, theirs, writing)
            return Started(process=process, socket=ours, output=reading, read=read, forked=True)

    async def _fork(
        self, ours: socket.socket, theirs: socket.socket, output: int
    ) -> tuple[Process, bytes]:
        """Fork a worker that has the socket `theirs`, which is closed, and writes to `output`.

        Returns its process and the first bytes that it wrote to `ours`. Raises SandboxError.
        """
        if self.state != "ready" or self.process is None:
            raise ForkFailed("the template forks no more")
        self._count += 1
        number, mark = self._count, self._spawner.new_cookie()
        self.used_at = self._loop.time()
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        descriptors = array.array("i", (theirs.fileno(), output))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
        self._asked[number] = failed = self._loop.create_future()
        self._idle.clear()
        try:
            self._control.sendmsg([json.dumps({"fork": number, "mark": mark}).encode()], rights)
            theirs.close()
            read, pid = await first_of(receive(ours, FIRST_BYTES), failed)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
            limits = self.spec.command.limits
            process = await self._spawner.adopt(self.process, pid, mark, limits)
        except ForkFailed:
            raise
        except BaseException as exc:
            # A worker that comes after all would count as a part of the template.
            self.retire()
            if not isinstance(exc, OSError | SandboxError):
                raise
            raise ForkFailed(f"the template did not fork: {exc}") from exc
        else:
            self.forks[number] = process
        finally:
            self._asked.pop(number, None)
            self._note_idle()
        self._tasks.start(self._follow(number, process), f"worker {self.spec.command.label}")
        return process, read

    def _hear(self) -> None:
        """Note a fork that failed, or the end of the template."""
        try:
            data = self._control.recv(MESSAGE_BYTES)
            # Each fork fails once: anything else does not come from the wrapper.
            settle(self._asked.pop(int(_word(data, "failed"))))
        except BlockingIOError:
            pass
        except (OSError, ValueError, KeyError):
            self.retire()

    async def _follow(self, number: int, process: Process) -> None:
        exit = await process.wait()
        del self.forks[number]
        self._note_idle()
        if exit.left:
            self.left = exit.left
            self.retire()
        elif self.state == "ready":
            try:
                self._control.send(json.dumps({"reap": number}).encode())
            except OSError:
                self.retire()

    def _note_idle(self) -> None:
        if self.is_idle:
            self._idle.set()

    def retire(self) -> None:
        """Fork no more; end the sandbox once its workers have ended."""
        before, self.state = self.state, "retired"
        if before == "ready":
            self._loop.remove_reader(self._control.fileno())
            self._tasks.start(self._end(), f"end of a template {self.spec.command.label}")
            self.on_retired(self)

    async def _end(self) -> None:
        with contextlib.suppress(TimeoutError):
            if not self.is_idle:
                # Processes of unknown workers may not live on until the last call ends.
                seconds = RETIRE_SECONDS if self.left == "processes" else None
                await asyncio.wait_for(self._idle.wait(), seconds)
        await self.stop()

    async def close(self) -> None:
        """End the process, and wait for all that follows from its end."""
        await self.stop()
        await self._tasks.wait()

    async def stop(self) -> None:
        """End the process and its forks."""
        self.on_retired = nothing
        self.retire()
        if self.process is not None:
            await self.process.kill()
            self._control.close()


def _wrap(spec: WorkerSpec, engine: Engine) -> Wrapped:
    """Return the command of a template."""
    env = {
        **spec.command.env,
        "MINIFN_SOCKET": f"fd:{FIRST_DESCRIPTOR}",
        "MINIFN_TEMPLATE": "1",
    }
    return engine.wrap(dataclasses.replace(spec.command, env=env))


def _word(message: bytes, name: str) -> str | int:
    """Return a field of a message that the process sent. Raises ValueError."""
    return jsontext.decode_as(dict[str, str | int], message).get(name, "")


def settle(future: "asyncio.Future[None]") -> None:
    """Have what waits for a future go on."""
    if not future.done():
        future.set_result(None)


async def receive(end: socket.socket, most: int) -> tuple[bytes, int]:
    """Return the next bytes, b"" at the end, and the pid of the process that wrote them.

    Raises OSError. Descriptors that come along are closed.
    """
    loop, descriptor = asyncio.get_running_loop(), end.fileno()
    readable = loop.create_future()
    loop.add_reader(descriptor, settle, readable)
    try:
        await readable
    finally:
        loop.remove_reader(descriptor)
    data, ancillary, _, _ = end.recvmsg(most, socket.CMSG_SPACE(CREDENTIALS.size) + 256)
    pid = 0
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid = CREDENTIALS.unpack(content)[0]
        elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            for number in array.array("i", content[: len(content) - len(content) % 4]):
                os.close(number)
    return data, pid


async def first_of(
    hello: Coroutine[None, None, tuple[bytes, int]], failed: "asyncio.Future[None]"
) -> tuple[bytes, int]:
    """Return the first bytes of a fork and its pid.

    Raises ForkFailed when the template says that it cannot fork, OSError when no worker comes.
    """
    coming = asyncio.ensure_future(hello)
    try:
        await asyncio.wait(
            (coming, failed), timeout=FORK_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if not coming.done():
            raise ForkFailed("no process is left") if failed.done() else TimeoutError("too slow")
        read, pid = coming.result()
        if not read:
            raise ConnectionError("the worker ended at once")
        return read, pid
    finally:
        coming.cancel()
        # It gives up the socket before that is closed.
        await asyncio.wait((coming,))
