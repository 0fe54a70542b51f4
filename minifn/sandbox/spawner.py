"""Starts confined commands and ends them for certain: the server's side of `launcher/`.

    async with Spawner(run_dir) as spawner:
        process = await spawner.spawn(engine.wrap(command), (socket.fileno(),), stdout=pipe, stderr=pipe)
        exit = await process.wait()          # Exit(code, signal, reason)

Inside the command stdin is /dev/null, the caller's descriptors are 3, 4, 5 ... in the order given, and nothing else
is open. The spawner duplicates descriptors: the caller closes its own after `spawn`. Every command has its own
session. When this process ends, however it ends, so does every command.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from .command import (
    FIRST_DATA_DESCRIPTOR,
    FIRST_DESCRIPTOR,
    PRIVATE_TMP,
    Exit,
    SpawnFailed,
    Wrapped,
)
from .launcher import tree
from .lock import acquire, yield_soon
from .strays import kill_strays

logger = logging.getLogger("minifn.sandbox")

#: Seconds an idle process goes on being watched closely: so that a busy one costs no message per request.
LINGER_SECONDS = 2.0
STOP_SECONDS = 8.0
#: What the child runs, under `-I -S`: this package comes last, where it hides nothing of the standard library.
BOOT = """import sys
sys.path.append(sys.argv[1])
from minifn.sandbox.launcher.main import main
main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
"""


class Process:
    """A started command."""

    def __init__(self, spawner: "Spawner", number: int, label: str) -> None:
        self.label = label
        self.pid = 0
        #: Clock ticks since boot; with the pid it names the process for good.
        self.started = 0
        self._spawner = spawner
        self._number = number
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._fast = True
        self._busy = True
        self._timer: asyncio.TimerHandle | None = None

    @property
    def exit(self) -> Exit | None:
        """How it ended, None while it runs."""
        return self._exit.result() if self._exit.done() else None

    async def wait(self) -> Exit:
        """Return how it ended, once nothing of its tree is left."""
        return await asyncio.shield(self._exit)

    async def kill(self) -> Exit:
        """Kill the whole tree and return once it is gone."""
        self._spawner.send({"op": "kill", "id": self._number})
        return await self.wait()

    def kill_soon(self) -> None:
        """Begin to kill the whole tree."""
        self._spawner.send({"op": "kill", "id": self._number})

    async def terminate(self, grace_seconds: float) -> Exit:
        """Send the command SIGTERM, and kill what is left of the tree after the grace."""
        self._spawner.send({"op": "terminate", "id": self._number})
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self.wait(), grace_seconds)
        return await self.kill()

    def watch(self, fast: bool) -> None:
        """Say whether the process works (memory is looked at every 100 ms) or idles (every second).

        A new process counts as working. Cheap enough to call twice per request.
        """
        self._busy = fast
        if fast:
            if not self._fast:
                self._set_fast(True)
        elif self._fast and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._idle)

    def _idle(self) -> None:
        self._timer = None
        if not self._busy and not self._exit.done():
            self._set_fast(False)

    def _set_fast(self, fast: bool) -> None:
        self._fast = fast
        self._spawner.send({"op": "watch", "id": self._number, "fast": fast})

    def ended(self, exit: Exit) -> None:
        """Called by the spawner, once."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._exit.done():
            self._exit.set_result(exit)


class Spawner:
    """The launcher process of this server. `run_dir` holds its lock, records and temporary directories."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.tmp_dir = run_dir / "tmp"
        #: Done when the launcher is gone although nobody stopped it; every command has died with it.
        self.lost: asyncio.Future[None]
        #: Whatever is written here tells the launcher that this process is to end: it kills it OVERDUE_SECONDS later.
        self.ending: socket.socket
        #: Whether the last command was given a control group.
        self.grouped = False
        self._records = run_dir / "processes"
        #: Marks the environment of every command: who they belong to survives a crash.
        self._cookie = secrets.token_hex(8)
        self._processes: dict[int, Process] = {}
        self._starting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._count = 0
        self._received = bytearray()
        #: Lines not yet sent, with the descriptors that ride on their first byte.
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()
        self._stopping = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the launcher, after killing what a previous server left behind.

        Raises DataInUse when another server uses the directory.
        """
        self._loop = asyncio.get_running_loop()
        self.lost = self._loop.create_future()
        for path in (self.run_dir, self.tmp_dir, self._records):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = await acquire(self.run_dir)
        await asyncio.to_thread(kill_strays, self.run_dir)
        cookie = self.run_dir / "cookie"
        # A server of an earlier version made it readable for everyone, and others may pass through the directory.
        cookie.unlink(missing_ok=True)
        with os.fdopen(os.open(cookie, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self._cookie)
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        self.ending, told = socket.socketpair()
        self.ending.setblocking(False)
        with theirs, told:
            # Blocks for a millisecond, once; asyncio's own would need a child watcher, which an embedder may lack.
            self._launcher = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-I", "-S", "-c", BOOT, *map(str, self._arguments(theirs, told))],
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), told.fileno(), lock),
                start_new_session=True,
            )
        os.close(lock)
        self._loop.add_reader(self._socket.fileno(), self._receive)

    def _arguments(self, control: socket.socket, told: socket.socket) -> tuple[object, ...]:
        return (
            Path(__file__).parents[2],
            control.fileno(),
            os.getpid(),
            self._records,
            told.fileno(),
        )

    async def stop(self) -> None:
        """Kill every command and end the launcher."""
        self._stopping = True
        yield_soon(self.run_dir)
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        try:
            await asyncio.to_thread(self._launcher.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            logger.error("the launcher did not end in %s s", STOP_SECONDS)
            self._launcher.kill()
            await asyncio.to_thread(self._launcher.wait)
        self.ending.close()
        if self.lost.done():
            # Nobody was left to kill what had gone its own way.
            await asyncio.to_thread(kill_strays, self.run_dir)
        self._end_all("the server stopped")

    async def spawn(
        self,
        wrapped: Wrapped,
        descriptors: Sequence[int] = (),
        *,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> Process:
        """Start a command; output without a descriptor goes to /dev/null. Raises SpawnFailed."""
        if len(descriptors) > FIRST_DATA_DESCRIPTOR - FIRST_DESCRIPTOR:
            raise SpawnFailed(f"{wrapped.label}: too many descriptors")
        if self._stopping or self.lost.done():
            raise SpawnFailed(f"{wrapped.label}: the spawner has stopped")
        self._count += 1
        number = self._count
        process = Process(self, number, wrapped.label)
        started: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._processes[number], self._starting[number] = process, started
        with open(os.devnull, "wb", buffering=0) as null:  # noqa: ASYNC230, PTH123 - a device, never blocks
            output = [null.fileno() if item is None else item for item in (stdout, stderr)]
            self.send(self._message(wrapped, number, len(descriptors)), (*output, *descriptors))
        try:
            answer = await asyncio.shield(started)
        except asyncio.CancelledError:
            self.send({"op": "kill", "id": number})
            raise
        if "error" in answer:
            raise SpawnFailed(f"{wrapped.label}: {answer['error']}")
        return process

    def _message(self, wrapped: Wrapped, number: int, descriptors: int) -> dict[str, Any]:
        limits = wrapped.limits
        # A process that escaped its parent is known by it, so no command may guess another's.
        cookie = f"{self._cookie}.{secrets.token_hex(8)}"
        # Also with a namespace: bwrap killed in its first milliseconds can leave an init behind.
        env = {**wrapped.env, tree.COOKIE: cookie}
        tmp = tmp_inside = ""
        if wrapped.private_tmp:
            tmp = tmp_inside = str(self.tmp_dir / str(number))
            if any(PRIVATE_TMP.encode() in content for content in wrapped.data[:1]):
                tmp_inside = "/tmp"
            env = {"HOME": tmp, "TMPDIR": tmp, **env}
        data = [
            content.replace(PRIVATE_TMP.encode(), tmp.encode()).decode("latin-1")
            for content in wrapped.data[:1]
        ]
        data += [content.decode("latin-1") for content in wrapped.data[1:]]
        if wrapped.supervision is not None:
            data = [json.dumps({**wrapped.supervision, "env": env, "tmp": tmp})]
            env = {"HOME": "/", tree.COOKIE: cookie}
        confinement = wrapped.confinement
        return {
            "op": "spawn",
            "id": number,
            "argv": wrapped.argv,
            "env": env,
            "cwd": wrapped.cwd,
            "uid": wrapped.uid,
            "descriptors": descriptors + 2,
            "data": data,
            "confine": confinement
            and {
                "files": confinement.files,
                "readable": confinement.readable,
                "writable": confinement.writable,
                "filter": confinement.filter.decode("latin-1"),
            },
            "namespaced": wrapped.namespaced,
            "cookie": cookie,
            "tmp": tmp,
            "tmp_inside": tmp_inside,
            "private_paths": wrapped.private_paths,
            "memory_bytes": limits.memory_bytes,
            "processes": limits.processes,
            "tmp_bytes": limits.tmp_bytes,
            "cpus": limits.cpus,
            "nice": limits.nice,
            "oom_score_adj": limits.oom_score_adj,
        }

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message to the launcher, later when its socket is full; descriptors are duplicated."""
        if self._stopping or self.lost.done():
            return
        line = json.dumps(message).encode() + b"\n"
        self._outgoing.append((line, [os.dup(number) for number in descriptors]))
        self._flush()

    def _flush(self) -> None:
        while self._outgoing:
            line, descriptors = self._outgoing[0]
            try:
                sent = (
                    socket.send_fds(self._socket, [line], descriptors)
                    if descriptors
                    else self._socket.send(line)
                )
            except BlockingIOError:
                self._loop.add_writer(self._socket.fileno(), self._flush)
                return
            except OSError:
                self._lose()
                return
            for descriptor in descriptors:
                os.close(descriptor)
            if sent < len(line):
                self._outgoing[0] = (line[sent:], [])
            else:
                self._outgoing.popleft()
        self._loop.remove_writer(self._socket.fileno())

    def _receive(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        self._received += data
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        for line in lines:
            self._handle(json.loads(line))

    def _handle(self, message: dict[str, Any]) -> None:
        number = message["id"]
        process = self._processes[number]
        if message["op"] == "exited":
            process.ended(
                Exit(code=message["code"], signal=message["signal"], reason=message["reason"])
            )
            del self._processes[number]
            return
        if message["op"] == "spawned":
            process.pid, process.started = message["pid"], message["started"]
            self.grouped = message["grouped"]
        else:
            del self._processes[number]
        self._starting.pop(number).set_result(message)

    def _lose(self) -> None:
        """The launcher died: nothing can be started, watched or killed any more."""
        if self._stopping or self.lost.done():
            return
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        logger.error("the launcher process ended unexpectedly")
        self.lost.set_result(None)
        self._end_all("the launcher ended")

    def _end_all(self, reason: str) -> None:
        for _, descriptors in self._outgoing:
            for descriptor in descriptors:
                os.close(descriptor)
        self._outgoing.clear()
        for starting in self._starting.values():
            starting.set_result({"error": reason})
        for process in self._processes.values():
            process.ended(Exit(code=None, signal=signal.SIGKILL, reason=reason))
        self._starting.clear()
        self._processes.clear()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """What a one-shot command did."""

    exit: Exit
    #: Standard output and error together, at most what was asked for, undecodable bytes replaced.
    text: str

    @property
    def ok(self) -> bool:
        """Whether it ended with code 0."""
        return self.exit.code == 0


async def run(
    spawner: Spawner, wrapped: Wrapped, *, timeout_seconds: float, output_bytes: int = 65536
) -> Output:
    """Run a command to its end and return its output; one that takes too long is killed. Raises SpawnFailed."""
    with tempfile.TemporaryFile() as file:
        process = await spawner.spawn(wrapped, stdout=file.fileno(), stderr=file.fileno())
        try:
            exit = await asyncio.wait_for(process.wait(), timeout_seconds)
        except TimeoutError:
            exit = dataclasses.replace(
                await process.kill(), reason=f"took longer than {timeout_seconds:g} s"
            )
        except asyncio.CancelledError:
            process.kill_soon()
            raise
        content = os.pread(file.fileno(), output_bytes, 0)
    return Output(exit=exit, text=content.decode(errors="replace"))
