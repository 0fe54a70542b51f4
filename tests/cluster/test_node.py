"""A node without Ray: its methods are called as a server calls them by Ray."""

import asyncio
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from minifn.archive import pack
from minifn.builder.order import BuildOrder
from minifn.cluster.messages import (
    Answer,
    Ask,
    BuildLogged,
    BuildMade,
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
from minifn.cluster.node_builds import BuildDamaged
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
ORDER = msgspec.msgpack.encode(
    BuildOrder(function=FUNCTION, deployment=DEPLOYMENT, variables={}, key="", inherited={})
)
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


async def send(node: Node, content: bytes) -> str:
    """Send a file for the build of DEPLOYMENT, and return its digest."""
    await node.begin_build("d")
    for start in range(0, len(content), 50):
        await node.receive_build("d", content[start : start + 50])
    return hashlib.sha256(content).hexdigest()


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
            packed = source.with_name("packed.tar.gz")
            pack(source, packed)
            assert await node.adopt_build(await send(node, packed.read_bytes()), ORDER) == ""
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


def test_a_damaged_build_is_not_used(tmp_path: Path) -> None:
    async def story(driver: Driver) -> None:
        digest = await send(driver.node, (tmp_path / "packed.tar.gz").read_bytes())
        await driver.node.receive_build("d", b"!")
        with pytest.raises(BuildDamaged):
            await driver.node.adopt_build(digest, ORDER)

    play(tmp_path / "source", story)


def order(commands: str) -> bytes:
    """An order with commands, in two pieces."""
    deployment = msgspec.structs.replace(DEPLOYMENT, commands=commands)
    wanted = BuildOrder(
        function=FUNCTION,
        deployment=deployment,
        variables={"SECRET": "s3cret-of-a-variable"},
        key="k3y-of-the-build",
        inherited={},
    )
    return msgspec.msgpack.encode(wanted)


async def made(driver: Driver) -> tuple[str, BuildMade]:
    """The log of a build, and its end."""
    log = ""
    while not isinstance(message := await driver.next(), BuildMade):
        assert isinstance(message, BuildLogged), message
        log += message.text
    return log, message


def test_a_build_is_made_and_read(tmp_path: Path) -> None:
    async def story(driver: Driver) -> None:
        node = driver.node
        digest = await send(node, (tmp_path / "packed.tar.gz").read_bytes())
        wanted = order("echo built by hand; echo $SECRET | wc -c; date >made")
        await node.make_build(digest, 20.0, True, wanted[:9], wanted[9:])
        log, end = await made(driver)
        assert "built by hand\n21\n" in log
        assert end.built is not None
        content = b""
        while len(content) < end.packed_bytes:
            content += await node.read_build("d", len(content))
        assert hashlib.sha256(content).hexdigest() == end.built.sha256
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            assert {"main.py", "made"} <= set(archive.getnames())
        await node.release_build("d")
        with pytest.raises(FileNotFoundError):
            await node.read_build("d", 0)
        # It runs at once, and no file has a secret.
        await driver.send(KNOWN, Call(id=1, number=1, seconds=20, request=request("own")))
        assert await driver.next() == Parked(id=1, slots=0)
        assert isinstance(await driver.next(), Ask)
        await driver.send(Grant(id=1))
        await answered(driver, 1, "own!")
        place = Path(tempfile.gettempdir()) / "minifn-node-"
        files = [path for path in place.parent.glob(f"{place.name}*/**/*") if path.is_file()]
        assert files
        for path in files:
            content = path.read_bytes()
            assert b"s3cret" not in content, path
            assert b"k3y-of" not in content, path

    play(tmp_path / "source", story)


def test_a_build_that_fails_late_or_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    async def story(driver: Driver) -> None:
        node = driver.node
        for commands, seconds, problem in (
            ("exit 3", 20.0, "exited with code 3"),
            ("sleep 60", 0.5, "timed out after"),
            ("echo sleeps; sleep 60", 20.0, "canceled"),
        ):
            digest = await send(node, (tmp_path / "packed.tar.gz").read_bytes())
            await node.make_build(digest, seconds, True, order(commands))
            if problem == "canceled":
                while not (
                    isinstance(news := await driver.next(), BuildLogged) and "sleeps" in news.text
                ):
                    pass
                await node.stop_build("d")
            _, end = await made(driver)
            assert problem in end.problem
            assert end.built is None
        await driver.send(KNOWN, Call(id=1, number=1, seconds=20))
        assert await driver.next() == Missing(id=1, key="d")

    play(tmp_path / "source", story)
