"""The actor of a node: it runs the calls that a server gives it, in sandboxes as at home.

It is an ordinary class, which Ray runs in a process of the node. Each public method is a call from
the server. Nothing of a function runs in this process.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence

import msgspec

from minifn.builder.order import BuildOrder
from minifn.change_feed import ChangeFeed, News, Printed
from minifn.cluster.messages import (
    Answer,
    Ask,
    BuildLogged,
    BuildMade,
    Call,
    Close,
    Drop,
    Forget,
    Grant,
    Known,
    Logged,
    Missing,
    Parked,
    Prewarm,
    Removed,
    Settings,
    Status,
    ToNode,
    ToServer,
    Wait,
    Withdraw,
    decode_to_node,
    encode,
    own_identity,
)
from minifn.cluster.node_builds import BuildDamaged, NodeLog
from minifn.cluster.node_parts import NodeParts
from minifn.host import memory_limit
from minifn.host.tasks import Tasks, end
from minifn.languages import RuntimeUnavailable
from minifn.models import Target
from minifn.sandbox.launcher.addresses import own_addresses
from minifn.sandbox.launcher.confine import forbid_dumps
from minifn.workers.records import LOG_LIMIT_BYTES, WorkerSpec, failed

logger = logging.getLogger("minifn.cluster.node")

#: Seconds after which a poll ends without news.
POLL_SECONDS = 20.0
#: Seconds between two reports of the load.
STATUS_SECONDS = 1.0


class Node:
    """One node of a cluster, for one server."""

    def __init__(self, node_id: str) -> None:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("minifn").setLevel(logging.INFO)
        self._node_id = node_id
        self._parts: NodeParts | None = None
        self._forget()

    def _forget(self) -> None:
        """Forget all targets and calls, as after a start."""
        self._tasks = Tasks()
        #: Number -> target.
        self._targets: dict[int, Target] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        #: Calls that asked for a grant.
        self._asked: dict[int, asyncio.Future[Grant | None]] = {}
        self._outgoing: list[ToServer] = []
        self._news = asyncio.Event()
        #: Deployment -> the log of its build, which is made here.
        self._logs: dict[str, NodeLog] = {}
        #: Batches that came before their turn, by their sequence.
        self._early: dict[int, bytes] = {}
        self._next_batch = 0

    async def identity(self) -> bytes:
        """Return the `Identity` of this node."""
        return msgspec.msgpack.encode(own_identity())

    async def start(self, settings: bytes, first_batch: int) -> bytes:
        """Start the node's parts, or end what runs on them, and return its `Facts`.

        Batches before `first_batch` were sent to an earlier process, and are not taken.
        """
        await self.stop()
        forbid_dumps()
        self._forget()
        self._next_batch = first_batch
        parts = NodeParts(msgspec.msgpack.decode(settings, type=Settings), self._node_id)
        self._parts = await parts.__aenter__()
        self._tasks.start(self._report(parts), "report of the load")
        return msgspec.msgpack.encode(await parts.facts())

    async def stop(self) -> None:
        """End every function of the node, and remove its directory."""
        await self._tasks.end()
        await end(*self._calls.values())
        parts, self._parts = self._parts, None
        if parts is not None:
            await parts.__aexit__()

    # Builds

    async def begin_build(self, key: str) -> None:
        """Expect the pieces of a packed build, or of the source archive of one."""
        await asyncio.to_thread(self._ready().builds.begin, key)

    async def receive_build(self, key: str, piece: bytes) -> None:
        """Take one piece."""
        await asyncio.to_thread(self._ready().builds.receive, key, piece)

    async def adopt_build(self, digest: str, *order: bytes) -> str:
        """Check and publish the packed build that arrived; return why not, "" for success."""
        wanted = _order(order)
        problem = await self._ready().builds.adopt(digest, wanted)
        if not problem:
            await self._make_room(wanted.deployment.id)
        return problem

    async def make_build(self, digest: str, seconds: float, packed: bool, *order: bytes) -> None:
        """Begin to build from the source archive that arrived; `BuildMade` tells how it ended."""
        wanted = _order(order)
        work = self._make(digest, wanted, seconds, packed=packed)
        self._tasks.start(work, f"build {wanted.deployment.id}")

    async def _make(self, digest: str, order: BuildOrder, seconds: float, *, packed: bool) -> None:
        key = order.deployment.id
        log = self._logs[key] = NodeLog(self._news.set)
        try:
            made = await self._ready().builds.make(digest, order, log, seconds, packed=packed)
        except (BuildDamaged, OSError, KeyError) as exc:
            made = BuildMade(key=key, trouble=f"{type(exc).__name__}: {exc}")
        self._tell_logs()
        del self._logs[key]
        self._tell(made)
        if made.built is not None:
            await self._make_room(key)

    async def stop_build(self, key: str) -> None:
        """End a build that is being made."""
        await self._ready().builds.stop(key)

    async def read_build(self, key: str, offset: int) -> bytes:
        """Return a piece of a packed build."""
        return await asyncio.to_thread(self._ready().builds.read, key, offset)

    async def release_build(self, key: str) -> None:
        """Remove a packed build, which the server has; what was packed stays."""
        await asyncio.to_thread(self._ready().builds.unpacked, key)

    async def _make_room(self, key: str) -> None:
        """Remove builds beyond the limit, the one with `key` excepted."""
        parts = self._ready()
        for surplus in parts.builds.surplus(frozenset((*parts.pool.all_slots(), key))):
            self._tell(Removed(key=surplus))
            await parts.builds.remove(surplus)

    def _tell_logs(self) -> None:
        """Tell what builds have logged since the last time."""
        for key, log in self._logs.items():
            if text := log.take():
                self._outgoing.append(BuildLogged(key=key, text=text))

    def _ready(self) -> NodeParts:
        if self._parts is None:
            raise RuntimeError("the node was not started")
        return self._parts

    # Messages

    async def submit(self, sequence: int, *pieces: bytes) -> None:
        """Take the batch `sequence` from the server; Ray may bring batches out of order."""
        if sequence >= self._next_batch:
            self._early[sequence] = b"".join(pieces)
        while (batch := self._early.pop(self._next_batch, None)) is not None:
            self._next_batch += 1
            for message in decode_to_node(batch):
                self._take(message)

    async def poll(self) -> bytes:
        """Return the news for the server, once there are some or after POLL_SECONDS."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), POLL_SECONDS)
        self._news.clear()
        self._tell_logs()
        batch, self._outgoing = self._outgoing, []
        return encode(batch)

    def _tell(self, message: ToServer) -> None:
        self._outgoing.append(message)
        self._news.set()

    def _take(self, message: ToNode) -> None:
        match message:
            case Call():
                work = self._run(message)
                task = self._calls[message.id] = asyncio.create_task(work, name="call")
                task.add_done_callback(lambda _: self._calls.pop(message.id, None))
            case Grant() | Wait():
                asked = self._asked.pop(message.id, None)
                if asked is not None and not asked.done():
                    asked.set_result(message if isinstance(message, Grant) else None)
            case Withdraw():
                if message.id in self._calls:
                    self._calls[message.id].cancel()
            case Known():
                self._targets[message.number] = message.target
            case Prewarm():
                spec = self._spec(message.number)
                if isinstance(spec, WorkerSpec):
                    self._ready().pool.prewarm(spec)
            case Forget():
                work = self._remove_cache(message.function_id)
                self._tasks.start(work, f"forget {message.function_id}")
            case Close():
                self._close(message.addresses)
            case Drop():
                self._tasks.start(self._drop(message.key), f"drop {message.key}")

    async def _remove_cache(self, function_id: str) -> None:
        try:
            await self._ready().builds.forget(function_id)
        except OSError as exc:
            logger.warning("the build cache of %s was not removed: %s", function_id, exc)

    def _close(self, addresses: Sequence[str]) -> None:
        try:
            self._ready().spawner.close_addresses(addresses)
        except OSError as exc:
            logger.error("no function with network isolated starts any more: %s", exc)

    async def _drop(self, key: str) -> None:
        parts = self._ready()
        parts.pool.drop(parts.specs.forget(key))
        self._targets = {
            number: target
            for number, target in self._targets.items()
            if target.deployment is None or target.deployment.id != key
        }
        await parts.builds.remove(key)

    async def _report(self, parts: NodeParts) -> None:
        while True:
            self._tell(
                Status(
                    workers=parts.pool.workers,
                    busy=parts.pool.busy,
                    available_bytes=memory_limit.look().available_bytes,
                    slots=parts.pool.all_slots(),
                    addresses=tuple(own_addresses()),
                )
            )
            await asyncio.sleep(STATUS_SECONDS)

    # Calls

    def _spec(self, number: int) -> WorkerSpec | str:
        """Return the spec of a target, "" without its build here, or why it cannot run."""
        parts = self._ready()
        target = self._targets.get(number)
        if target is None or target.deployment is None:
            return ""
        if target.deployment.id not in parts.builds:
            return ""
        parts.builds.use(target.deployment.id)
        try:
            return parts.specs.of(target)
        except RuntimeUnavailable as exc:
            return str(exc)

    async def _run(self, call: Call) -> None:
        """Run a call, and tell how it ended. Canceled: tell nothing."""
        deadline = time.monotonic() + call.seconds
        spec = self._spec(call.number)
        if not isinstance(spec, WorkerSpec):
            if spec:
                self._tell(Answer(id=call.id, slots=0, response=failed("start", f"{spec}\n")))
            else:
                target = self._targets.get(call.number)
                key = target.deployment.id if target and target.deployment else ""
                self._tell(Missing(id=call.id, key=key))
            return
        pool, request, granted = self._ready().pool, call.request, call.request is not None
        while request is None or not (granted and pool.has_room(spec)):
            self._tell(Parked(id=call.id, slots=pool.slots(spec.key)))
            problem = await pool.wait(spec, deadline, queue_unbounded=call.queue_unbounded)
            if problem is not None:
                self._tell(Answer(id=call.id, slots=pool.slots(spec.key), response=problem))
                return
            # Another call may take the worker before the grant comes.
            grant = await self._ask(call, spec)
            granted = grant is not None
            request = (grant.request if grant else None) or request
        heard = request.unpacked(call.id, LogFeed(call.id, self._tell))
        response = await pool.call(spec, heard, deadline, queue_unbounded=True)
        self._tell(Answer(id=call.id, slots=pool.slots(spec.key), response=response))

    async def _ask(self, call: Call, spec: WorkerSpec) -> Grant | None:
        """Ask to run a call, and return the grant, None if it keeps waiting."""
        asked: asyncio.Future[Grant | None] = asyncio.get_running_loop().create_future()
        self._asked[call.id] = asked
        self._tell(Ask(id=call.id, slots=self._ready().pool.slots(spec.key)))
        try:
            return await asked
        except asyncio.CancelledError:
            self._asked.pop(call.id, None)
            self._ready().pool.pass_on(spec)
            raise


def _order(pieces: tuple[bytes, ...]) -> BuildOrder:
    return msgspec.msgpack.decode(b"".join(pieces), type=BuildOrder)


class LogFeed(ChangeFeed):
    """Sends the lines of one call to the server as they are logged."""

    def __init__(self, number: int, tell: Callable[[ToServer], None]) -> None:
        super().__init__()
        self.live = True
        self._number = number
        self._tell_server = tell
        #: Characters that are sent; the rest comes with the answer, within the limit of logs.
        self._left = LOG_LIMIT_BYTES

    def tell_watchers(self, news: News) -> None:
        """Send lines."""
        if isinstance(news, Printed) and self._left > 0:
            self._left -= len(news.text)
            self._tell_server(Logged(id=self._number, stream=news.stream, text=news.text))
