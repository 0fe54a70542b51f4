"""Uploads: whole and in chunks, their checks, and the names of archives."""

import asyncio
import gzip
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from minifn.config import Config
from minifn.errors import (
    ArgumentInvalid,
    DeploymentNotFound,
    FunctionEntrypointMissing,
    FunctionNotFound,
    MinifnError,
    StorageFileEmpty,
    StorageFileTypeUnsupported,
    StorageInvalidContentRange,
    StorageInvalidFileSize,
)
from minifn.limits import CHUNK_BYTES
from minifn.models import Function
from minifn.store import functions
from tests.services.uploading import SMALL, World, in_world, opened

GZIPPED = gzip.compress(b"any", mtime=0)


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
async def test_a_chunk_that_comes_again_late_does_not_touch_the_archive(world: World) -> None:
    whole = os.urandom(CHUNK_BYTES + 17)
    await world.chunk(whole, 0, "mine")
    go_on = threading.Event()

    class SlowPath(type(Path())):  # type: ignore[misc]
        """A file of zeros that is read slowly."""

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


@pytest.mark.parametrize(
    ("name", "content", "taken"),
    [
        ("code.tar.gz", b"anything", True),
        ("CODE.GZ", b"anything", True),
        ("code.tgz", GZIPPED, True),
        ("code.zip", GZIPPED, True),
        ("code.zip", b"PK\x03\x04more", True),
        ("code.tgz", b"PK\x03\x04more", True),
        ("code.zip", b"PK\x07\x08", False),
        ("code.zip", b"P", False),
        ("code.tgz", b"\x1f", False),
        ("code.tar", GZIPPED, False),
        ("code", GZIPPED, False),
    ],
)
def test_names_and_contents(name: str, content: bytes, taken: bool, tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as world:
            request = world.request(world.file(content, name))
            if taken:
                deployment = await world.uploads.take(request)
                assert world.data.source(deployment.id).read_bytes() == content
            else:
                with pytest.raises(StorageFileTypeUnsupported):
                    await world.uploads.take(request)

    asyncio.run(test())
