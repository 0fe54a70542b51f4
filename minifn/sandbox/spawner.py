"""Starts confined commands and ends them for certain: the server's side of `launcher/`.

    async with Spawner(run_dir) as spawner:
        wrapped = engine.wrap(command)
        process = await spawner.spawn(wrapped, (socket.fileno(),), stdout=pipe, stderr=pipe)
        exit = await process.wait()  # Exit(code, signal, reason)

Inside the command stdin is /dev/null, the caller's descriptors are 3, 4, 5 ... in the order given,
and nothing else is open. The spawner duplicates descriptors: the caller closes its own after
`spawn`. Every command has its own session. When this process ends, in whatever way, so does every
command.
"""

import asyncio
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
from typing import Self

from .command import Exit, Limits, SpawnFailed, Wrapped
from .launcher.messages import (
    FIRST_DATA_DESCRIPTOR,
    FIRST_DESCRIPTOR,
    Failed,
    Spawn,
    Spawned,
    ToLauncher,
    ToServer,
)
from .lock import acquire, yield_soon
from .process import Process
from .spawn_message import adopt_message, spawn_message
from .strays import kill_strays

logger = logging.getLogger("minifn.sandbox")

#: Seconds that the launcher may take to end.
STOP_SECONDS = 8.0
#: The launcher's program, under `-I -S`. This package comes last on the path, where it hides no
#: module of the standard library.
BOOT = """import sys
sys.path.append(sys.argv[1])
from minifn.sandbox.launcher.main import main
main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
"""


class Spawner:
    """The launcher process of this server."""

    def __init__(self, run_dir: Path) -> None:
        """`run_dir` holds the launcher's lock, records and temporary directories."""
        self.run_dir = run_dir
        self.tmp_dir = run_dir / "tmp"
        #: File with the addresses that isolated networks do not reach beside this machine's.
        self.closed = run_dir / "closed"
        #: Done when the launcher has died, and every command with it.
        self.lost: asyncio.Future[None]
        #: Any byte written here tells the launcher that this process was told to end. The launcher
        #: kills this process OVERDUE_SECONDS later.
        self.ending: socket.socket
        self._records = run_dir / "processes"
        #: Marks the environment of every command, so that their owner is known after a crash.
        self._cookie = secrets.token_hex(8)
        self._processes: dict[int, Process] = {}
        self._starting: dict[int, asyncio.Future[Spawned | Failed]] = {}
        self._count = 0
        self._received = bytearray()
        #: Lines not yet sent, with the descriptors that ride on their first byte.
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()
        self._stopping = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Kill the processes that a previous server left behind, then start the launcher.

        Raises DataInUse when another server uses the directory.
        """
        self._loop = asyncio.get_running_loop()
        self.lost = self._loop.create_future()
        for path in (self.run_dir, self.tmp_dir, self._records):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = await acquire(self.run_dir)
        await asyncio.to_thread(kill_strays, self.run_dir)
        self._store_cookie()
        self._store_closed(())
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        self.ending, told = socket.socketpair()
        self.ending.setblocking(False)
        with theirs, told:
            # Blocks for a millisecond, once. asyncio's subprocesses need a child watcher, which an
            # embedder may lack.
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

    def _store_cookie(self) -> None:
        path = self.run_dir / "cookie"
        # Versions before this one made it readable for every user that may pass the directory.
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self._cookie)

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
            # The launcher could no longer kill processes that had left their tree.
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
        process = self._new(wrapped.label)
        # A device never blocks.
        with open(os.devnull, "wb", buffering=0) as null:  # noqa: ASYNC230, PTH123
            output = [null.fileno() if item is None else item for item in (stdout, stderr)]
            everything = (*output, *descriptors)
            self.send(self._message(wrapped, process.number, len(everything)), everything)
        return await self._started(process)

    async def adopt(self, template: Process, pid: int, cookie: str, limits: Limits) -> Process:
        """Look after a fork of a namespaced command as after a command. Raises SpawnFailed.

        `pid` must come from the kernel (SCM_CREDENTIALS). `cookie`, from `new_cookie`, is in the
        fork's variable MINIFN_TREE. The command reaps it when its `wait` has returned.
        """
        process = self._new(template.label)
        self.send(adopt_message(limits, process.number, template.number, pid, cookie))
        return await self._started(process)

    def _new(self, label: str) -> Process:
        self._count += 1
        process = Process(self.send, self._count, label)
        self._processes[process.number] = process
        self._starting[process.number] = self._loop.create_future()
        return process

    async def _started(self, process: Process) -> Process:
        try:
            answer = await asyncio.shield(self._starting[process.number])
        except asyncio.CancelledError:
            process.kill_soon()
            raise
        if answer["op"] == "failed":
            raise SpawnFailed(f"{process.label}: {answer['error']}")
        return process

    def close_addresses(self, addresses: Sequence[str]) -> None:
        """Close addresses, and no others, to isolated networks, also to those in use.

        Those in use keep what was closed before. Raises OSError when the addresses cannot be
        written; no isolated command starts then.
        """
        try:
            self._store_closed(addresses)
        except OSError:
            # Not even with those that were closed before.
            self.closed.unlink(missing_ok=True)
            raise
        finally:
            # A command that has read the file before has its network by now.
            self.send({"op": "close", "addresses": [*addresses]})

    def _store_closed(self, addresses: Sequence[str]) -> None:
        new = self.closed.with_name("closed~new")
        new.touch(mode=0o600)
        new.write_text("\n".join(addresses))
        new.replace(self.closed)

    def new_cookie(self) -> str:
        """Return a mark for processes. One that escapes is known by it, so none can be guessed."""
        return f"{self._cookie}.{secrets.token_hex(8)}"

    def _message(self, wrapped: Wrapped, number: int, descriptors: int) -> Spawn:
        tmp = str(self.tmp_dir / str(number)) if wrapped.private_tmp else ""
        return spawn_message(wrapped, number, descriptors, self.new_cookie(), tmp)

    def send(self, message: ToLauncher, descriptors: Sequence[int] = ()) -> None:
        """Send a message to the launcher, later when its socket is full.

        The descriptors are duplicated.
        """
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

    def _handle(self, message: ToServer) -> None:
        number = message["id"]
        if message["op"] == "exited":
            self._processes.pop(number).ended(
                Exit(
                    code=message["code"],
                    signal=message["signal"],
                    reason=message["reason"],
                    left=message["left"],
                )
            )
            return
        if message["op"] == "spawned":
            process = self._processes[number]
            process.pid, process.started = message["pid"], message["started"]
            process.grouped = message["grouped"]
        else:
            del self._processes[number]
        self._starting.pop(number).set_result(message)

    def _lose(self) -> None:
        """Note that the launcher died: nothing can be started, watched or killed any more."""
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
        for number, starting in self._starting.items():
            starting.set_result({"op": "failed", "id": number, "error": reason})
        for process in self._processes.values():
            process.ended(Exit(code=None, signal=signal.SIGKILL, reason=reason))
        self._starting.clear()
        self._processes.clear()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """The result of a one-shot command."""

    exit: Exit
    #: Standard output and error together, cut to the wanted length, undecodable bytes replaced.
    text: str
    #: Whether it had a control group of its own.
    grouped: bool

    @property
    def ok(self) -> bool:
        """Whether it ended with code 0."""
        return self.exit.code == 0


async def run(
    spawner: Spawner, wrapped: Wrapped, *, timeout_seconds: float, output_bytes: int = 65536
) -> Output:
    """Run a command to its end, by force after the timeout, and return its output.

    Raises SpawnFailed.
    """
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
    text = content.decode(errors="replace")
    return Output(exit=exit, text=text, grouped=process.grouped)
