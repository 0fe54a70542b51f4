"""The builds in a node's data directory: those that the server sent, and those made here."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from minifn.archive.apart import pack_apart
from minifn.builder.build import Build
from minifn.builder.caches import set_aside, trim
from minifn.builder.commands import BuildError
from minifn.builder.context import BuildMachine
from minifn.builder.logs import LogText
from minifn.builder.order import BuildOrder, Built
from minifn.cluster.messages import BuildMade
from minifn.host.files import remove_tree
from minifn.host.space import check_space
from minifn.limits import LOG_LIMIT_CHARS

#: Bytes of one piece of a file on its way: Ray copies a piece while nothing else runs.
PIECE_BYTES = 1024 * 1024
#: Most bytes of the builds of a node; the least recently used are removed.
BUILDS_BYTES_MAX = 20_000_000_000
#: Bytes of all build caches of a node together.
CACHES_BYTES_MAX = 5_000_000_000


class BuildDamaged(Exception):
    """A file did not arrive as it was sent."""


class NodeLog(LogText):
    """The log of a build on its way to the server, which stores its end alone."""

    def __init__(self, news: Callable[[], None]) -> None:
        super().__init__()
        self._news = news

    def added(self) -> None:
        """Have the server hear of it, and give up what the store would not keep."""
        if len(self._pending) > 2 * LOG_LIMIT_CHARS:
            self._pending = self._pending[-LOG_LIMIT_CHARS:]
        self._news()


class NodeBuilds:
    """The builds in a node's data directory."""

    def __init__(self, machine: BuildMachine) -> None:
        self._machine = machine
        self._data = machine.data
        #: Deployment -> its build, the least recently used first.
        self._built: dict[str, Built] = {}
        #: Files that arrive: the file and its digest.
        self._arriving: dict[str, tuple[IO[bytes], hashlib._Hash]] = {}
        #: Builds that are made here: deployment -> the function, and the work.
        self._making: dict[str, tuple[str, asyncio.Task[BuildMade]]] = {}

    def __contains__(self, deployment_id: str) -> bool:
        return deployment_id in self._built

    def use(self, deployment_id: str) -> None:
        """Note that a build is used."""
        self._built[deployment_id] = self._built.pop(deployment_id)

    def begin(self, deployment_id: str) -> None:
        """Expect a source archive or a packed build; blocks. Raises OSError and TreeRefused."""
        check_space(self._data.builds)
        self._forget_arriving(deployment_id)
        path = self._data.upload(deployment_id)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._arriving[deployment_id] = (os.fdopen(descriptor, "w+b"), hashlib.sha256())

    def receive(self, deployment_id: str, piece: bytes) -> None:
        """Add a piece; blocks. Raises KeyError without `begin`, and OSError."""
        file, digest = self._arriving[deployment_id]
        file.write(piece)
        digest.update(piece)

    def _arrived(self, deployment_id: str, expected: str) -> Path:
        """Return the file that has arrived; blocks. Raises KeyError, OSError and BuildDamaged."""
        file, digest = self._arriving.pop(deployment_id)
        file.close()
        path = self._data.upload(deployment_id)
        if digest.hexdigest() != expected:
            path.unlink()
            raise BuildDamaged("its bytes are not those that were sent")
        return path

    async def adopt(self, expected: str, order: BuildOrder) -> str:
        """Publish a packed build that has arrived; return why it cannot be used, "" for success.

        Raises KeyError without `begin`, BuildDamaged and OSError.
        """
        own = order.deployment.id
        path = await asyncio.to_thread(self._arrived, own, expected)
        try:
            built = await Build(self._machine, order, LogText(), _ignore).adopt(path)
        except BuildError as exc:
            return str(exc)
        finally:
            path.unlink(missing_ok=True)
        self._built[own] = built
        return ""

    async def make(
        self, expected: str, order: BuildOrder, log: LogText, seconds: float, *, packed: bool
    ) -> BuildMade:
        """Build from a source archive that has arrived, within `seconds`; `packed`: and pack it.

        Canceled, it leaves nothing behind. Raises KeyError without `begin`, BuildDamaged and
        OSError.
        """
        own = order.deployment.id
        await asyncio.to_thread(self._arrived, own, expected)
        self._built.pop(own, None)
        task = asyncio.create_task(self._make(order, log, seconds, packed=packed))
        self._making[own] = (order.function.id, task)
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            await asyncio.wait([task])
            del self._making[own]
        return BuildMade(key=own, problem="It was canceled.") if task.cancelled() else task.result()

    async def _make(
        self, order: BuildOrder, log: LogText, seconds: float, *, packed: bool
    ) -> BuildMade:
        own = order.deployment.id
        try:
            async with asyncio.timeout(seconds):
                built = await Build(self._machine, order, log, _ignore).run()
                size = 0
                if packed:
                    path = self._data.output(own)
                    sha256 = await pack_apart(self._data.build(own), path)
                    built, size = msgspec.structs.replace(built, sha256=sha256), path.stat().st_size
            self._built[own] = built
        except (BuildError, TimeoutError) as exc:
            return BuildMade(
                key=own, problem=str(exc) or f"Build timed out after {seconds:.0f} seconds."
            )
        finally:
            for path in (self._data.source(own), self._data.upload(own)):
                path.unlink(missing_ok=True)
            if own not in self._built:
                await asyncio.to_thread(remove_tree, self._data.build(own))
        making = self._making.values
        await trim(self._data.caches, CACHES_BYTES_MAX, lambda: [one for one, _ in making()])
        return BuildMade(key=own, built=built, packed_bytes=size)

    async def stop(self, deployment_id: str) -> None:
        """End a build that is being made, with its processes and files."""
        _, task = self._making.get(deployment_id, ("", None))
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def read(self, deployment_id: str, offset: int) -> bytes:
        """Return a piece of a packed build; blocks. Raises OSError."""
        with self._data.output(deployment_id).open("rb") as file:
            file.seek(offset)
            return file.read(PIECE_BYTES)

    def unpacked(self, deployment_id: str) -> None:
        """Remove the packed build, which the server has; blocks. Raises OSError."""
        self._data.output(deployment_id).unlink(missing_ok=True)

    async def remove(self, deployment_id: str) -> None:
        """Remove a build, also one that is being made. Raises OSError."""
        await self.stop(deployment_id)
        self._built.pop(deployment_id, None)
        self._forget_arriving(deployment_id)
        self.unpacked(deployment_id)
        await asyncio.to_thread(remove_tree, self._data.build(deployment_id))

    def caches(self) -> tuple[str, ...]:
        """Return the functions that have a build cache; blocks."""
        return tuple(path.name for path in self._data.caches.iterdir())

    async def forget(self, function_id: str) -> None:
        """Remove the build cache of a function. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            aside = set_aside(self._data.cache(function_id))
            await asyncio.to_thread(remove_tree, aside)

    def surplus(self, used: frozenset[str]) -> list[str]:
        """Return the least recently used builds beyond BUILDS_BYTES_MAX that no worker uses."""
        total, found = sum(one.size.size_bytes for one in self._built.values()), []
        for own, built in self._built.items():
            if total <= BUILDS_BYTES_MAX:
                break
            if own not in used:
                found.append(own)
                total -= built.size.size_bytes
        return found

    def _forget_arriving(self, deployment_id: str) -> None:
        file, _ = self._arriving.pop(deployment_id, (None, None))
        if file is not None:
            file.close()
        with contextlib.suppress(FileNotFoundError):
            self._data.upload(deployment_id).unlink()


async def _ignore() -> None:
    """Do nothing: the server records that a build has begun."""
