"""A node without Ray: its methods are called as a server calls them by Ray."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from minifn.cluster.builds import pack
from minifn.cluster.messages import (
    Answer,
    Ask,
    Call,
    Facts,
    Grant,
    Known,
    Missing,
    Parked,
    Request,
    Settings,
    Status,
    ToNode,
    ToServer,
    Wait,
    Withdraw,
    decode_to_server,
    encode,
)
from minifn.cluster.node import Node
from minifn.models import Deployment, Function, Target
from minifn.workers.records import FunctionRequest

CODE = "async def main(context):\n    return context.res.text(context.req.body_text + '!')\n"
SETTINGS = Settings(
    server="test",
    project="minifn",
    endpoint="http://127.0.0.1/v1",
    sandbox="process",
    network="host",
    idle_seconds=60,
    function_workers=2,
    template_memory=0,
    tmp=64,
    build_limit=1_000_000,
)
FUNCTION = Function(id="f", name="f", runtime="python-3.11", sequence=1, entrypoint="main.py")
DEPLOYMENT = Deployment(id="d", function_id="f", status="ready", entrypoint="main.py")
KNOWN = Known(number=1, target=Target(function=FUNCTION, deployment=DEPLOYMENT, variables={}))


class Driver:
    """A server's side of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._heard: list[ToServer] = []
        self.batches = 0

    async def send(self, *messages: ToNode) -> None:
        await self.node.submit(self.batches, encode(messages))
        self.batches += 1

    async def next(self) -> ToServer:
        """The next message but reports of the load."""
        async with asyncio.timeout(20):
            while not self._heard:
                news = decode_to_server(await self.node.poll())
                self._heard = [one for one in news if not isinstance(one, Status)]
        return self._heard.pop(0)


def request(body: str) -> Request:
    return Request.of(FunctionRequest(body=body.encode()))


def play(source: Path, story: Callable[[Driver], Awaitable[None]]) -> None:
    """Run a story on a started node that has the build of CODE."""
    source.mkdir()
    (source / "main.py").write_text(CODE)

    async def main() -> None:
        node = Node(str(source))
        facts = msgspec.msgpack.decode(
            await node.start(msgspec.msgpack.encode(SETTINGS), 0), type=Facts
        )
        assert facts.engine == "process"
        try:
            await node.begin_build("d")
            pieces: list[bytes] = []
            digest = pack(source, pieces.append)
            for piece in pieces:
                await node.receive_build("d", piece)
            await node.finish_build("d", digest, msgspec.msgpack.encode(FUNCTION))
            await story(Driver(node))
        finally:
            await node.stop()

    asyncio.run(main())


async def answered(driver: Driver, number: int, body: str) -> None:
    answer = await driver.next()
    assert isinstance(answer, Answer), answer
    assert (answer.id, answer.response.body) == (number, body.encode()), answer.response.errors


def test_a_call_that_waits_runs_when_it_is_granted(tmp_path: Path) -> None:
    async def story(driver: Driver) -> None:
        await driver.send(KNOWN, Call(id=1, number=1, seconds=20, request=request("cold")))
        assert await driver.next() == Parked(id=1, slots=0)
        asked = await driver.next()
        assert isinstance(asked, Ask)
        assert asked.id == 1
        assert asked.slots > 0
        await driver.send(Grant(id=1))
        await answered(driver, 1, "cold!")
        # There is a worker now.
        await driver.send(Call(id=2, number=1, seconds=20, request=request("warm")))
        await answered(driver, 2, "warm!")
        await driver.send(Call(id=3, number=1, seconds=20))
        for _ in range(2):
            assert await driver.next() == Parked(id=3, slots=asked.slots)
            assert await driver.next() == Ask(id=3, slots=asked.slots)
            await driver.send(Wait(id=3))
        assert await driver.next() == Parked(id=3, slots=asked.slots)
        assert await driver.next() == Ask(id=3, slots=asked.slots)
        await driver.send(Grant(id=3, request=request("offered")))
        await answered(driver, 3, "offered!")

    play(tmp_path / "source", story)


def test_a_call_that_is_withdrawn_lets_the_next_one_run(tmp_path: Path) -> None:
    async def story(driver: Driver) -> None:
        calls = [Call(id=number, number=1, seconds=20) for number in (1, 2)]
        await driver.send(KNOWN, *calls)
        for number in (1, 2):
            assert await driver.next() == Parked(id=number, slots=0)
        asked = await driver.next()
        assert isinstance(asked, Ask)
        await driver.send(Withdraw(id=asked.id))
        other = 3 - asked.id
        assert await driver.next() == Ask(id=other, slots=asked.slots)
        await driver.send(Grant(id=other, request=request("second")))
        await answered(driver, other, "second!")

    play(tmp_path / "source", story)


def test_batches_are_taken_in_their_order(tmp_path: Path) -> None:
    async def story(driver: Driver) -> None:
        early: list[ToNode] = [Call(id=1, number=1, seconds=20), Withdraw(id=1)]
        await driver.node.submit(1, encode(early))
        await driver.node.submit(0, encode([KNOWN])[:5], encode([KNOWN])[5:])
        await driver.node.submit(2, encode([Call(id=2, number=9, seconds=20)]))
        assert await driver.next() == Missing(id=2, key="")

    play(tmp_path / "source", story)


def test_a_restarted_node_has_forgotten_its_builds(tmp_path: Path) -> None:
    async def story(driver: Driver) -> None:
        await driver.node.start(msgspec.msgpack.encode(SETTINGS), 7)
        # One that was sent to the earlier process comes late.
        await driver.send(KNOWN, Call(id=9, number=1, seconds=20))
        driver.batches = 7
        await driver.send(KNOWN, Call(id=1, number=1, seconds=20))
        assert await driver.next() == Missing(id=1, key="d")

    play(tmp_path / "source", story)
