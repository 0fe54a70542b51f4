"""Runs the commands of a build: output goes to its log, and the use of the disk is watched."""

import asyncio
import os
from pathlib import Path

from minifn.builder.logs import LogText
from minifn.builder.publish import check_usage
from minifn.host.space import TreeRefused, check_space, measure
from minifn.sandbox.command import Command, Exit
from minifn.sandbox.engines import Engine
from minifn.sandbox.process import Process
from minifn.sandbox.spawner import Spawner

#: Seconds to wait for the rest of a command's output after its processes have ended.
DRAIN_SECONDS = 1.0
#: Least seconds between two checks of a build's size on disk.
GUARD_SECONDS = 1.0


class BuildError(Exception):
    """The build failed; the message is for the build log."""


class BuildCommands:
    """Runs commands that write to `code`, the code of a build, and to `others`."""

    def __init__(
        self,
        spawner: Spawner,
        engine: Engine,
        log: LogText,
        *,
        code: Path,
        others: tuple[Path, ...],
        limit_bytes: int,
    ) -> None:
        """`limit_bytes`: size on disk of each of the directories, beyond which a build fails."""
        self._spawner = spawner
        self._engine = engine
        self._log = log
        self._code = code
        self._others = others
        self._limit_bytes = limit_bytes

    async def run(self, command: Command, failure: str = "") -> None:
        """Run a command and write its output to the log.

        `failure` says it in place of the exit code. Raises BuildError unless the command ends with
        code 0, and TreeRefused when it wrote too much.
        """
        reading, writing = os.pipe()
        follower = asyncio.create_task(self._follow(reading))
        try:
            process = await self._spawner.spawn(
                self._engine.wrap(command), stdout=writing, stderr=writing
            )
        finally:
            os.close(writing)
        guard = asyncio.create_task(self._guard(process))
        try:
            exit = await process.wait()
            await asyncio.wait([follower], timeout=DRAIN_SECONDS)
        finally:
            if process.exit is None:
                await process.kill()
            follower.cancel()
            guard.cancel()
            await asyncio.wait([follower, guard])
        if not guard.cancelled():
            raise BuildError(f"The build was stopped: {guard.result()}.")
        if exit.code != 0:
            raise BuildError(failure if exit.code and failure else explain(exit))
        # The guard checks once a second: a fast command may have ended before. Sealing checks the
        # code.
        await asyncio.to_thread(check_trees, self._limit_bytes, *self._others)

    async def _follow(self, descriptor: int) -> None:
        """Copy the output of a command to the log until it is closed."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        file = os.fdopen(descriptor, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), file
        )
        try:
            while output := await reader.read(65536):
                await self._log.write(output)
        finally:
            transport.close()

    async def _guard(self, process: Process) -> str:
        """Kill a build that has written too much, and return the reason."""
        pause_seconds = GUARD_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(pause_seconds)
            started = loop.time()
            try:
                await asyncio.to_thread(self._check_disk)
            except TreeRefused as exc:
                process.kill_soon()
                return str(exc)
            # A large tree takes long to measure, so checks take at most a tenth of the time.
            pause_seconds = max(GUARD_SECONDS, 10 * (loop.time() - started))

    def _check_disk(self) -> None:
        check_space(self._code)
        check_trees(self._limit_bytes, self._code, *self._others)


def check_trees(limit_bytes: int, *directories: Path) -> None:
    """Raise TreeRefused when a directory cannot be measured or is too large."""
    for directory in directories:
        check_usage(measure(directory), limit_bytes)


def explain(exit: Exit) -> str:
    """Return why a command failed, in Appwrite's words if it has any."""
    if exit.reason:
        return f"The build was stopped: {exit.reason}."
    if exit.code is not None:
        return f"Build command exited with code {exit.code}."
    return f"Build command was ended by signal {exit.signal_name or exit.signal}."
