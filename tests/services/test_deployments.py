"""Uploads, rebuilds, activation, cancellation, deletion and downloads, without builds."""

import asyncio
import os
import tarfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from minifn.config import Config
from minifn.errors import (
    ArgumentInvalid,
    BuildAlreadyCompleted,
    BuildNotReady,
    DeploymentNotFound,
    FunctionEntrypointMissing,
    FunctionNotFound,
    MinifnError,
    StorageFileEmpty,
    StorageFileTypeUnsupported,
    StorageInvalidContentRange,
    StorageInvalidFileSize,
)
from minifn.hooks import Hooks
from minifn.host.datadir import DataDir
from minifn.limits import CHUNK_BYTES
from minifn.models import Deployment, Function
from minifn.services.deployments import CANCELED, DeploymentService
from minifn.services.uploads import Upload, UploadedFile, Uploads
from minifn.store import deployments, functions
from minifn.store.database import Database
from minifn.store.deployments import BuildResult
from tests.packing import packed_files

SMALL = packed_files({"main.py": "x"})


class World:
    """A service on a real database with one function `fn`, and the hooks that it called."""

    def __init__(self, root: Path, database: Database) -> None:
        self.data = DataDir(root)
        self.database = database
        self.calls: list[tuple[str, str]] = []
        hooks = Hooks(
            build=lambda: self.calls.append(("build", "")),
            interrupt=lambda deployment_id: self._note("interrupt", deployment_id),
            retire=lambda deployment_id: self._note("retire", deployment_id),
            prewarm=lambda function, deployment: self.calls.append(("prewarm", deployment.id)),
        )
        self.service = DeploymentService(self.data, database, hooks)
        self.uploads = Uploads(Config(data=root), self.data, database, self.service, hooks)
        self._files = 0

    async def _note(self, call: str, deployment_id: str) -> None:
        self.calls.append((call, deployment_id))

    def file(self, content: bytes, filename: str = "code.tar.gz") -> UploadedFile:
        """A file as the API leaves it after reading a request."""
        self._files += 1
        path = self.data.run / f"upload-{self._files}"
        path.write_bytes(content)
        return UploadedFile(path=path, size_bytes=len(content), filename=filename)

    async def upload(self, content: bytes | None = SMALL, **changes: Any) -> Deployment:
        """Upload to `fn`; `changes` are fields of Upload."""
        code = self.file(content) if content is not None else None
        return await self.uploads.take(msgspec.structs.replace(self.request(code), **changes))

    def request(self, code: UploadedFile | None) -> Upload:
        return Upload(function_id="fn", code=code, activate=True)

    async def chunk(
        self, whole: bytes, number: int, deployment_id: str, **changes: Any
    ) -> Deployment:
        """Upload chunk `number` of `whole` the way every SDK cuts it."""
        start = number * CHUNK_BYTES
        piece = whole[start : start + CHUNK_BYTES]
        header = f"bytes {start}-{start + len(piece) - 1}/{len(whole)}"
        return await self.upload(
            piece, **{"content_range": header, "deployment_id": deployment_id, **changes}
        )

    async def finish(self, deployment_id: str) -> None:
        """Do what a successful build would: publish something and say `ready`."""
        await self.database.write(deployments.claim, 1)
        self.data.build(deployment_id).mkdir()
        (self.data.build(deployment_id) / "main.py").write_text("built")
        result = BuildResult(status="ready", duration_seconds=1, build_size_bytes=5)
        assert await self.database.write(deployments.finish, deployment_id, result, 2)

    async def configure(self, **settings: Any) -> None:
        """Change fields of the function."""
        await self.database.write(
            functions.update, msgspec.structs.replace(await self.function(), **settings)
        )

    async def function(self) -> Function:
        function = await self.database.read(functions.get, "fn")
        assert function is not None
        return function


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[World]:
    DataDir(root).prepare()
    async with Database(root / "minifn.db") as database:
        function = Function(
            id="fn", name="fn", runtime="python-3.11", entrypoint="main.py", commands="true"
        )
        await database.write(functions.insert, function)
        yield World(root, database)


def in_world(test: Callable[[World], Awaitable[None]]) -> Callable[[Path], None]:
    """Run an async test inside a new world."""

    def run(tmp_path: Path) -> None:
        async def body() -> None:
            async with opened(tmp_path / "data") as world:
                await test(world)

        asyncio.run(body())

    run.__name__ = run.__qualname__ = test.__name__
    return run


@in_world
async def test_a_whole_archive_becomes_a_waiting_deployment(world: World) -> None:
    deployment = await world.upload(sdk_language="cli", commands="")
    assert (deployment.status, deployment.type, deployment.activate) == ("waiting", "cli", True)
    assert (deployment.entrypoint, deployment.commands) == ("main.py", "")
    assert deployment.source_size_bytes == len(SMALL)
    assert (deployment.chunks_uploaded, deployment.chunks_total) == (1, 1)
    assert world.data.source(deployment.id).read_bytes() == SMALL
    assert world.data.source(deployment.id).stat().st_mode & 0o777 == 0o600
    assert world.calls == [("build", "")]
    assert (await world.function()).latest_deployment_id == deployment.id
    assert await world.service.source("fn", deployment.id) == world.data.source(deployment.id)


@in_world
async def test_entrypoint_and_commands_fall_back_to_the_functions(world: World) -> None:
    given_both = await world.upload(entrypoint="src/app.py", commands="make")
    assert (given_both.entrypoint, given_both.commands) == ("src/app.py", "make")
    given_none = await world.upload()
    assert (given_none.entrypoint, given_none.commands, given_none.type) == (
        "main.py",
        "true",
        "manual",
    )


@in_world
async def test_checks_come_in_appwrites_order(world: World) -> None:
    limit = Config().upload_limit
    huge = f"bytes 0-{CHUNK_BYTES - 1}/{limit + 1}"
    bad: dict[str, Any] = {"function_id": "gone", "content": None, "content_range": "nonsense"}

    async def refused(error: type[MinifnError]) -> None:
        with pytest.raises(error):
            await world.upload(
                bad.get("content"),
                **{name: bad[name] for name in bad if name not in ("content", "code")},
            )

    await refused(FunctionNotFound)
    bad["function_id"] = "fn"
    await world.configure(entrypoint="")
    await refused(FunctionEntrypointMissing)
    await world.configure(entrypoint="main.py")
    await refused(StorageFileEmpty)
    with pytest.raises(StorageFileTypeUnsupported):
        await world.uploads.take(world.request(world.file(b"x", "code.zip")))
    bad["content"] = b"x"
    await refused(StorageInvalidContentRange)
    bad["content_range"] = huge
    await refused(StorageInvalidFileSize)
    assert world.calls == []
    assert list(world.data.deployments.iterdir()) == []


@in_world
async def test_chunks_arrive_in_any_order_again_and_in_parallel(world: World) -> None:
    whole = os.urandom(3 * CHUNK_BYTES + 17)
    first = await world.chunk(whole, 0, "")
    assert (first.chunks_uploaded, first.chunks_total, first.source_size_bytes) == (
        1,
        4,
        len(whole),
    )
    with pytest.raises(DeploymentNotFound):
        await world.service.source("fn", first.id)
    assert world.calls == []
    repeated = await world.chunk(whole, 0, first.id)
    assert (repeated.id, repeated.chunks_uploaded) == (first.id, 1)
    answers = await asyncio.gather(*(world.chunk(whole, number, first.id) for number in (3, 1, 2)))
    assert {answer.id for answer in answers} == {first.id}
    assert max(answer.chunks_uploaded for answer in answers) == 4
    assert world.calls == [("build", "")]
    assert world.data.source(first.id).read_bytes() == whole
    after = await world.chunk(b"\0" * len(whole), 1, first.id)
    assert after.uploaded
    assert world.calls == [("build", "")]
    assert world.data.source(first.id).read_bytes() == whole


@in_world
async def test_a_caller_may_choose_the_id_and_send_all_chunks_at_once(world: World) -> None:
    whole = os.urandom(2 * CHUNK_BYTES + 1)
    answers = await asyncio.gather(*(world.chunk(whole, number, "mine-1") for number in range(3)))
    assert {answer.id for answer in answers} == {"mine-1"}
    assert [answer.uploaded for answer in answers].count(True) == 1
    assert world.data.source("mine-1").read_bytes() == whole
    assert world.calls == [("build", "")]


@in_world
async def test_a_file_of_exactly_one_chunk_is_complete_at_once(world: World) -> None:
    whole = os.urandom(CHUNK_BYTES)
    deployment = await world.chunk(whole, 0, "")
    assert deployment.uploaded
    assert world.calls == [("build", "")]


@in_world
async def test_the_last_end_may_be_the_total(world: World) -> None:
    whole = b"x" * (CHUNK_BYTES + 10)
    first = await world.chunk(whole, 0, "")
    header = f"bytes {CHUNK_BYTES}-{len(whole)}/{len(whole)}"
    last = await world.chunk(whole, 1, first.id, content_range=header)
    assert last.uploaded
    assert world.data.source(first.id).read_bytes() == whole


@in_world
async def test_old_node_sdks_send_the_slice_beside_the_whole_file(world: World) -> None:
    whole = os.urandom(CHUNK_BYTES + 1000)
    deployment_id = ""
    for number in (0, 1):
        piece = whole[number * CHUNK_BYTES :][:CHUNK_BYTES]
        answer = await world.chunk(
            whole, number, deployment_id, code=world.file(whole), slice=world.file(piece)
        )
        deployment_id = answer.id
    assert world.data.source(deployment_id).read_bytes() == whole
    alone = await world.chunk(whole, 1, "", code=world.file(whole))
    await world.chunk(whole, 0, alone.id)
    assert world.data.source(alone.id).read_bytes() == whole


@in_world
async def test_chunks_that_do_not_fit_are_refused(world: World) -> None:
    whole = b"x" * (2 * CHUNK_BYTES)
    first = await world.chunk(whole, 0, "")
    with pytest.raises(StorageInvalidContentRange):
        await world.chunk(whole, 1, first.id, code=world.file(b"short"))
    with pytest.raises(StorageInvalidContentRange):
        await world.chunk(whole + b"more", 1, first.id)
    with pytest.raises(ArgumentInvalid):
        await world.chunk(whole, 0, "../../escaped")
    await world.database.write(
        functions.insert, Function(id="other", name="o", runtime="r", entrypoint="e")
    )
    with pytest.raises(DeploymentNotFound):
        await world.chunk(whole, 1, first.id, function_id="other")
    assert world.calls == []


@in_world
async def test_a_rebuild_is_a_new_deployment_with_the_functions_current_settings(
    world: World,
) -> None:
    original = await world.upload(activate=False, entrypoint="old.py", commands="old")
    await world.finish(original.id)
    await world.configure(entrypoint="new.py", commands="new")
    copy = await world.service.rebuild("fn", original.id)
    assert copy.id != original.id
    assert (copy.entrypoint, copy.commands, copy.activate) == ("new.py", "new", False)
    assert (copy.status, copy.build_size_bytes, copy.build_logs, copy.build_duration_seconds) == (
        "waiting",
        0,
        "",
        0,
    )
    assert copy.created_at >= original.created_at
    await world.service.delete("fn", original.id)
    assert world.data.source(copy.id).read_bytes() == SMALL
    world.data.source(copy.id).unlink()
    with pytest.raises(DeploymentNotFound):
        await world.service.rebuild("fn", copy.id)


@in_world
async def test_activation_needs_a_ready_deployment_of_the_function(world: World) -> None:
    first, second = await world.upload(), await world.upload()
    with pytest.raises(BuildNotReady):
        await world.service.activate("fn", first.id)
    with pytest.raises(FunctionNotFound):
        await world.service.activate("gone", first.id)
    with pytest.raises(DeploymentNotFound):
        await world.service.activate("fn", "gone")
    await world.finish(first.id)
    await world.finish(second.id)
    function = await world.service.activate("fn", first.id)
    assert function.deployment_id == first.id
    assert ("prewarm", first.id) in world.calls


@in_world
async def test_a_canceled_build_stays_canceled(world: World) -> None:
    deployment = await world.upload()
    await world.database.write(deployments.claim, 1)
    canceled = await world.service.cancel("fn", deployment.id)
    assert canceled.status == "canceled"
    assert CANCELED in canceled.build_logs
    assert ("interrupt", deployment.id) in world.calls
    late = BuildResult(status="ready", duration_seconds=1)
    assert await world.database.write(deployments.finish, deployment.id, late, 5) is None
    assert (await world.service.cancel("fn", deployment.id)).status == "canceled"
    ready = await world.upload()
    await world.finish(ready.id)
    with pytest.raises(BuildAlreadyCompleted):
        await world.service.cancel("fn", ready.id)


@in_world
async def test_deleting_removes_every_file(world: World) -> None:
    deployment = await world.upload()
    await world.finish(deployment.id)
    await world.service.output("fn", deployment.id)
    assert (await world.function()).deployment_id == deployment.id
    await world.service.delete("fn", deployment.id)
    assert (await world.function()).deployment_id == ""
    assert world.calls[-2:] == [("interrupt", deployment.id), ("retire", deployment.id)]
    assert list(world.data.deployments.iterdir()) == []
    assert list(world.data.builds.iterdir()) == [world.data.caches]
    with pytest.raises(DeploymentNotFound):
        await world.service.delete("fn", deployment.id)


@in_world
async def test_the_output_is_packed_once(world: World) -> None:
    deployment = await world.upload()
    with pytest.raises(DeploymentNotFound):
        await world.service.output("fn", deployment.id)
    await world.finish(deployment.id)
    first, second = await asyncio.gather(
        *(world.service.output("fn", deployment.id) for _ in range(2))
    )
    assert first == second
    with tarfile.open(first) as archive:
        assert archive.getnames() == ["main.py"]


@in_world
async def test_forgetting_and_tidying_leave_only_what_is_known(world: World) -> None:
    kept, dropped, canceled = await world.upload(), await world.upload(), await world.upload()
    await world.database.write(deployments.cancel, "fn", canceled.id, 1)
    world.data.build(canceled.id).mkdir()
    for deployment in (kept, dropped):
        await world.finish(deployment.id)
        world.data.upload(f"stranger-{deployment.id}").write_bytes(b"left by a crash")
    world.data.cache("fn").mkdir()
    await world.database.write(deployments.delete, "fn", dropped.id, 1)
    locked = world.data.build(dropped.id) / "locked"
    locked.mkdir(mode=0o000)
    await world.service.tidy()
    assert set(world.data.deployments.iterdir()) == {
        world.data.source(kept.id),
        world.data.source(canceled.id),
    }
    assert set(world.data.builds.iterdir()) == {world.data.build(kept.id), world.data.caches}
    await world.service.forget("fn", [kept.id, canceled.id])
    assert list(world.data.deployments.iterdir()) == []
    assert list(world.data.caches.iterdir()) == []


@in_world
async def test_a_chunk_that_comes_again_late_does_not_touch_the_archive(world: World) -> None:
    whole = os.urandom(CHUNK_BYTES + 17)
    await world.chunk(whole, 0, "mine")
    go_on = threading.Event()

    class SlowPath(type(Path())):  # type: ignore[misc]
        """A file of zeros whose content is long in coming."""

        def open(self, *args: Any, **kwargs: Any) -> Any:
            go_on.wait(10)
            return super().open(*args, **kwargs)

    file = world.file(bytes(CHUNK_BYTES))
    again = world.request(msgspec.structs.replace(file, path=SlowPath(file.path)))
    header = f"bytes 0-{CHUNK_BYTES - 1}/{len(whole)}"
    late = asyncio.create_task(
        world.uploads.take(
            msgspec.structs.replace(again, content_range=header, deployment_id="mine")
        )
    )
    await asyncio.sleep(0)
    last = asyncio.create_task(world.chunk(whole, 1, "mine"))
    await asyncio.wait([last], timeout=0.3)
    source = world.data.source("mine")
    complete = source.read_bytes() if last.done() else b""
    go_on.set()
    await asyncio.gather(late, last)
    assert complete in (b"", source.read_bytes())
    assert not world.data.upload("mine").exists()
