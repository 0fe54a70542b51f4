"""A server's view of the builds of one node: which it has, and the way to send and make them."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO

import msgspec

from minifn.builder.logs import LogText
from minifn.builder.order import Begun, BuildOrder
from minifn.cluster.connection import Actor, NodeLost, inline
from minifn.cluster.messages import BuildLogged, BuildMade
from minifn.cluster.node_builds import PIECE_BYTES

#: Seconds for which a node is not asked again for a build that failed there.
REFUSAL_SECONDS = 60.0
#: Seconds that a node may take to end a build.
STOP_SECONDS = 5.0


class BuildFailed(Exception):
    """A node cannot have a build; the message says why."""


class RemoteBuilds:
    """The builds of a node, by deployment. `actor` returns its actor, None for a lost node."""

    def __init__(self, actor: Callable[[], Actor | None]) -> None:
        self._actor = actor
        #: The work that brings each build there; done once it is there.
        self._bringing: dict[str, asyncio.Future[None]] = {}
        #: Builds that failed there: why, and until when that counts (monotonic clock, seconds).
        self._failed: dict[str, tuple[str, float]] = {}
        #: Builds that are made there for the server: the log, and the end.
        self._making: dict[str, tuple[LogText, asyncio.Future[BuildMade]]] = {}

    def has(self, key: str) -> bool:
        """Tell whether a build is there."""
        work = self._bringing.get(key)
        return work is not None and work.done() and not work.cancelled() and not work.exception()

    def refusal(self, key: str) -> str:
        """Return why a build failed there lately, "" if it did not."""
        reason, until = self._failed.get(key, ("", 0.0))
        return reason if time.monotonic() < until else ""

    def forget(self, key: str) -> bool:
        """Note that a build is not wanted there any more; tell whether it was, or was coming."""
        self._failed.pop(key, None)
        work = self._bringing.pop(key, None)
        if work is not None:
            work.cancel()
        return work is not None

    def note(self, key: str) -> None:
        """Note that a build is there."""
        work = self._bringing[key] = asyncio.get_running_loop().create_future()
        work.set_result(None)

    def lose(self, reason: str) -> None:
        """Note that the node has lost everything."""
        for work in self._bringing.values():
            work.cancel()
        self._bringing.clear()
        self._failed.clear()
        for _, end in self._making.values():
            if not end.done():
                end.set_exception(NodeLost(reason))

    def hear(self, message: BuildLogged | BuildMade) -> None:
        """Take a message of the node about a build that is made there."""
        log, end = self._making.get(message.key, (None, None))
        if log is None or end is None:
            return
        if isinstance(message, BuildLogged):
            log.add(message.text)
        elif not end.done():
            end.set_result(message)

    async def prepare(self, key: str, bring: Callable[[], Awaitable[None]]) -> None:
        """Bring a build there, once for all that ask, unless it is there.

        Raises what `bring` raises.
        """
        work = self._bringing.get(key)
        if work is None or (work.done() and not self.has(key)):
            work = self._bringing[key] = asyncio.ensure_future(bring())
        try:
            await asyncio.shield(work)
        except BuildFailed as exc:
            self._failed[key] = (str(exc), time.monotonic() + REFUSAL_SECONDS)
            raise

    async def adopt(self, order: BuildOrder, packed: Path, sha256: str) -> str:
        """Copy a packed build there; return why the node cannot use it, "" for success.

        Raises BuildFailed for a damaged one, NodeLost and OSError.
        """
        key = order.deployment.id
        if await self._send(key, packed) != sha256:
            raise BuildFailed("the packed build is damaged")
        # The node needs no secrets for it.
        order = msgspec.structs.replace(order, variables={}, key="", inherited={})
        pieces = inline(msgspec.msgpack.encode(order))
        return str(await self._living().ask("adopt_build", sha256, *pieces))

    async def make(
        self,
        order: BuildOrder,
        source: Path,
        log: LogText,
        seconds: float,
        *,
        packed: bool,
        begun: Begun | None = None,
    ) -> BuildMade:
        """Have the node make a build from a source archive; `packed`: and pack it.

        Canceled, it ends there. Raises NodeLost, OSError, and what `begun` raises.
        """
        key = order.deployment.id
        sha256 = await self._send(key, source)
        end: asyncio.Future[BuildMade] = asyncio.get_running_loop().create_future()
        self._making[key] = (log, end)
        try:
            pieces = inline(msgspec.msgpack.encode(order))
            await self._living().ask("make_build", sha256, seconds, packed, *pieces)
            if begun is not None:
                await begun()
            made = await end
        except NodeLost:
            raise
        except BaseException:
            await self._stop(key)
            raise
        finally:
            del self._making[key]
        if made.trouble:
            raise NodeLost(made.trouble)
        return made

    async def fetch(self, key: str, target: Path, size_bytes: int) -> str:
        """Copy a packed build of `size_bytes` from the node to a new file; return its SHA-256.

        Raises BuildFailed when it has another size, NodeLost and OSError.
        """
        actor = self._living()
        digest, received = hashlib.sha256(), 0
        with target.open("wb") as file:
            while received < size_bytes:
                piece = await actor.ask("read_build", key, received)
                if not isinstance(piece, bytes) or not 0 < len(piece) <= PIECE_BYTES:
                    raise BuildFailed("the packed build is shorter than the node said")
                received += len(piece)
                if received > size_bytes:
                    raise BuildFailed("the packed build is longer than the node said")
                await asyncio.to_thread(_write, file, digest, piece)
        await actor.ask("release_build", key)
        return digest.hexdigest()

    def _living(self) -> Actor:
        actor = self._actor()
        if actor is None:
            raise NodeLost("it is not ready")
        return actor

    async def _send(self, key: str, path: Path) -> str:
        """Send a file for a build, and return its SHA-256. Raises NodeLost and OSError."""
        actor = self._living()
        await actor.ask("begin_build", key)
        digest = hashlib.sha256()
        with await asyncio.to_thread(path.open, "rb") as file:
            while piece := await asyncio.to_thread(_read, file, digest):
                await actor.ask("receive_build", key, piece)
        return digest.hexdigest()

    async def _stop(self, key: str) -> None:
        actor = self._actor()
        if actor is None:
            return
        stopping = asyncio.ensure_future(actor.ask("stop_build", key))
        with contextlib.suppress(NodeLost, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.shield(stopping)


def _read(file: IO[bytes], digest: "hashlib._Hash") -> bytes:
    """Return the next piece of a file, and add it to a digest; blocks."""
    piece = file.read(PIECE_BYTES)
    digest.update(piece)
    return piece


def _write(file: IO[bytes], digest: "hashlib._Hash", piece: bytes) -> None:
    """Write a piece, and add it to a digest; blocks."""
    file.write(piece)
    digest.update(piece)
