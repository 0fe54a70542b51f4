"""Calls of a node that dies: the server's side alone, with nodes that take messages and are silent.

A real node cannot be stopped between two of its messages; these send the messages of their test.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from minifn.cluster.connection import Actor, Found
from minifn.cluster.member import Member
from minifn.cluster.messages import (
    Answer,
    Ask,
    Call,
    Facts,
    Grant,
    Known,
    Parked,
    Status,
    ToNode,
    ToPool,
    Wait,
    decode_to_node,
)
from minifn.cluster.pool import ClusterPool
from minifn.config import Config
from minifn.endpoint import ApiEndpoint
from minifn.host.datadir import DataDir
from minifn.languages import RuntimeTable
from minifn.models import Deployment, Function, Target
from minifn.sandbox.command import Command
from minifn.workers.pool import OVERLOADED
from minifn.workers.records import FunctionRequest, FunctionResponse, WorkerSpec, failed
from tests.cluster.test_node import SETTINGS

DONE = FunctionResponse(status_code=200, body=b"done", delivered=True)


class Silent:
    """The way to a node that takes everything and answers nothing."""

    def __init__(self) -> None:
        self.taken: list[ToNode] = []
        self.came = asyncio.Event()

    def submit(self, sequence: int, batch: bytes, *, secret: bool) -> None:
        self.taken += decode_to_node(batch)
        self.came.set()

    async def ask(self, method: str, *arguments: object) -> None:
        """Stop."""

    def kill(self) -> None:
        """End."""


class Scene:
    """A server's pool, and as many nodes as `join` has made."""

    def __init__(self, folder: Path) -> None:
        config = Config(data=folder)
        data = DataDir(folder)
        data.prepare()
        runtimes = RuntimeTable.load()
        runtime = next(one.id for one in runtimes.all() if one.id.startswith("python-"))
        function = Function(id="f", name="f", runtime=runtime)
        deployment = Deployment(id="d", function_id="f", status="ready")
        target = Target(function=function, deployment=deployment, variables={})
        self.spec = WorkerSpec(key="d", command=Command(argv=("true",), env={}), target=target)
        self.pool = ClusterPool(config, data, ApiEndpoint(config))
        version = runtimes.resolve(runtime).interpreter.version_text
        self._facts = Facts(
            engine="process", strength="weak", runtimes={runtime: version}, identities={}
        )
        self._numbers = itertools.count(1)

    def join(self) -> tuple[Member, Silent]:
        """Add a ready node of two processors."""
        own = f"node{next(self._numbers)}"
        resources = {"CPU": 2.0, "memory": 1e12}
        found = Found(id=own, address="127.0.0.1", host=own, resources=resources)
        member, way = Member(found, SETTINGS, self.pool), Silent()
        # Ray's actor is all that is replaced.
        member._actor = cast("Actor", way)
        member.facts, member._state = self._facts, "ready"
        member.builds.note(self.spec.key)
        self.pool.membership.members[own] = member
        self.pool.ready(member)
        return member, way

    def call(self) -> "asyncio.Task[FunctionResponse]":
        """Begin a call of the function."""
        deadline = asyncio.get_running_loop().time() + 30
        return asyncio.create_task(self.pool.call(self.spec, FunctionRequest(), deadline))

    def hear(self, member: Member, *messages: ToPool) -> None:
        for message in messages:
            self.pool.hear(member, message)

    def lose(self, member: Member) -> None:
        """Have the node leave the cluster, as `Membership` does."""
        del self.pool.membership.members[member.found.id]
        member.gone()


def play(folder: Path, story: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            scene = Scene(folder)
            await story(scene)
            await scene.pool.close()

    asyncio.run(main())


async def taken(way: Silent, kind: type[Any], count: int) -> list[Any]:
    """Wait until a node has `count` messages of a kind, and return them."""
    while len(found := [one for one in way.taken if isinstance(one, kind)]) < count:
        way.came.clear()
        await way.came.wait()
    return found


def test_calls_that_no_worker_can_have_taken_go_to_another_node(tmp_path: Path) -> None:
    """Five calls are under way to a node that dies before it says anything."""

    async def story(scene: Scene) -> None:
        dying, way = scene.join()
        calls = [scene.call() for _ in range(5)]
        assert len(await taken(way, Call, 5)) == 5
        other, other_way = scene.join()
        scene.lose(dying)
        sent = await taken(other_way, Call, 5)
        for one in sent:
            scene.hear(other, Parked(id=one.id, slots=0), Ask(id=one.id, slots=5))
        for one in await taken(other_way, Grant, 5):
            assert one.request is not None
            scene.hear(other, Answer(id=one.id, slots=5, response=DONE))
        assert [await one for one in calls] == [DONE] * 5

    play(tmp_path / "data", story)


def test_a_node_gets_no_more_requests_than_its_workers_take(tmp_path: Path) -> None:
    """Its loss costs two calls of six, because it has two workers."""

    async def story(scene: Scene) -> None:
        dying, way = scene.join()
        first = scene.call()
        (cold,) = await taken(way, Call, 1)
        scene.hear(dying, Parked(id=cold.id, slots=0), Ask(id=cold.id, slots=2))
        await taken(way, Grant, 1)
        others = [scene.call() for _ in range(5)]
        sent = (await taken(way, Call, 6))[1:]
        assert [one.request is None for one in sent] == [False, True, True, True, True]
        _, other_way = scene.join()
        scene.lose(dying)
        offered = await taken(other_way, Call, 4)
        assert [one.id for one in offered] == [one.id for one in sent[1:]]
        for call in (first, others[0]):
            response = await call
            assert (response.failure, response.delivered) == ("died", True)
            assert "node1" in response.errors
        assert not any(one.done() for one in others[1:])

    play(tmp_path / "data", story)


def test_a_worker_is_granted_once(tmp_path: Path) -> None:
    """A call asks for the worker that a request under way takes: it waits on."""

    async def story(scene: Scene) -> None:
        member, way = scene.join()
        scene.hear(member, Status(workers=1, busy=0, available_bytes=1, slots={"d": 1}))
        calls = [scene.call() for _ in range(2)]
        running, waiting = await taken(way, Call, 2)
        assert (running.request is None, waiting.request is None) == (False, True)
        scene.hear(member, Ask(id=waiting.id, slots=1))
        assert await taken(way, Wait, 1) == [Wait(id=waiting.id)]
        scene.hear(member, Answer(id=running.id, slots=1, response=DONE))
        scene.hear(member, Ask(id=waiting.id, slots=1))
        assert [one.id for one in await taken(way, Grant, 1)] == [waiting.id]
        scene.hear(member, Answer(id=waiting.id, slots=1, response=DONE))
        assert [await one for one in calls] == [DONE] * 2
        assert member.shown().running == member.shown().waiting == 0

    play(tmp_path / "data", story)


def test_a_full_node_lets_a_call_go_to_another_one(tmp_path: Path) -> None:
    """Once every node is full, the caller is told as at home."""

    async def story(scene: Scene) -> None:
        first, first_way = scene.join()
        second, second_way = scene.join()
        call = scene.call()
        (sent,) = await taken(first_way, Call, 1)
        refused = failed("overloaded", OVERLOADED)
        scene.hear(first, Answer(id=sent.id, slots=0, response=refused))
        assert [one.id for one in await taken(second_way, Call, 1)] == [sent.id]
        assert not call.done()
        scene.hear(second, Answer(id=sent.id, slots=0, response=refused))
        assert await call == refused

    play(tmp_path / "data", story)


def test_calls_that_wait_on_a_silent_node_go_to_another_one(tmp_path: Path) -> None:
    """It gets calls again as soon as it reports."""

    async def story(scene: Scene) -> None:
        stopped, way = scene.join()
        waiting = scene.call()
        (sent,) = await taken(way, Call, 1)
        scene.hear(stopped, Parked(id=sent.id, slots=0))
        stopped.look()
        assert stopped.shown().state == "silent"
        other, other_way = scene.join()
        second = scene.call()
        for one in await taken(other_way, Call, 2):
            scene.hear(other, Ask(id=one.id, slots=2), Answer(id=one.id, slots=2, response=DONE))
        assert await waiting == await second == DONE
        scene.lose(other)
        third = scene.call()
        assert not await taken(way, Grant, 0)
        stopped._report()
        assert stopped.shown().state == "ready"
        assert len(await taken(way, Call, 2)) == 2
        scene.lose(stopped)
        third.cancel()

    play(tmp_path / "data", story)


def test_variables_travel_only_to_the_node_that_runs_the_function(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        first, way = scene.join()
        _, other_way = scene.join()
        call = scene.call()
        (sent,) = await taken(way, Call, 1)
        assert [type(one) for one in way.taken] == [Known, Call]
        scene.hear(first, Ask(id=sent.id, slots=1), Answer(id=sent.id, slots=1, response=DONE))
        assert await call == DONE
        assert other_way.taken == []

    play(tmp_path / "data", story)
