"""Packed builds of a server: when they are made, used in place of a rebuild, and refused."""

import asyncio
import contextlib
import hashlib
import tarfile
from pathlib import Path

import pytest

from minifn.builder.packed import has_digest
from minifn.host.datadir import DataDir
from minifn.host.files import remove_tree
from minifn.languages import RuntimeTable
from minifn.models import Deployment
from minifn.services.backup import backup, restore
from minifn.store import settings
from minifn.store.connection import connect
from tests.building import World, opened
from tests.packing import member, packed

FILES = {"main.py": "def main(context):\n    pass\n"}
#: A build that is made again has another content.
UNIQUE = "cat /proc/sys/kernel/random/uuid >made"
FITS = "Its packed build fits this machine"


async def is_packed(world: World, deployment: Deployment) -> Deployment:
    return await world.until(deployment.id, lambda now: now.build_sha256 != "")


def change(data: DataDir, statement: str, *values: object) -> None:
    with contextlib.closing(connect(data.database)) as conn:
        conn.execute(statement, values)


def restored(data: Path) -> DataDir:
    """Back `data` up and restore it beside."""
    backup(DataDir(data), data.with_name("copy.tar"))
    copy = DataDir(data.with_name("restored"))
    restore(data.with_name("copy.tar"), copy)
    return copy


async def built_and_packed(data: Path, runtimes: RuntimeTable, engine: str) -> tuple[str, str]:
    """Make one build; return the deployment and what is unique in it."""
    async with opened(data, runtimes, engine) as world:
        made = await world.build(FILES, UNIQUE)
        now = await is_packed(world, made)
        assert has_digest(world.data.output(made.id), now.build_sha256)
        return made.id, world.published(made, "made")


async def taken(data: DataDir, runtimes: RuntimeTable, engine: str, own: str) -> tuple[str, str]:
    """Start on a data directory; return what the build has that is unique, and its log."""
    async with opened(data.root, runtimes, engine) as world:
        ended = await world.until(own, lambda now: now.status == "ready")
        await world.built(ended)
        await is_packed(world, ended)
        assert ended.build_size_bytes > 0
        return world.published(ended, "made"), ended.build_logs


def test_a_restored_build_is_not_made_again(
    data: Path, runtimes: RuntimeTable, engine: str
) -> None:
    async def main() -> None:
        own, unique = await built_and_packed(data, runtimes, engine)
        again, log = await taken(restored(data), runtimes, engine, own)
        assert again == unique
        assert FITS in log
        assert "Build command execution" not in log

    asyncio.run(main())


def test_a_build_of_another_machine_is_made_again(data: Path, runtimes: RuntimeTable) -> None:
    async def main() -> None:
        own, unique = await built_and_packed(data, runtimes, "process")
        copy = restored(data)
        change(copy, "UPDATE deployments SET build_identity = 'mips64 musl 1.2 python-3.11.7'")
        again, log = await taken(copy, runtimes, "process", own)
        assert again != unique
        assert FITS not in log

    asyncio.run(main())


def test_a_damaged_packed_build_is_made_again(data: Path, runtimes: RuntimeTable) -> None:
    async def main() -> None:
        own, unique = await built_and_packed(data, runtimes, "process")
        copy = restored(data)
        with copy.output(own).open("r+b") as file:
            file.seek(30)
            file.write(b"x")
        again, log = await taken(copy, runtimes, "process", own)
        assert again != unique
        assert FITS not in log

    asyncio.run(main())


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (member("escape", tarfile.SYMTYPE, link="/etc"), "outside the deployment"),
        (member("../escape"), "'..' in a path"),
    ],
)
def test_a_hostile_packed_build_is_refused(
    entry: tarfile.TarInfo, reason: str, data: Path, runtimes: RuntimeTable
) -> None:
    async def main() -> None:
        own, unique = await built_and_packed(data, runtimes, "process")
        copy = restored(data)
        hostile = packed((member("made", size=4), b"evil"), (entry, b""))
        copy.output(own).write_bytes(hostile)
        digest = hashlib.sha256(hostile).hexdigest()
        change(copy, "UPDATE deployments SET build_sha256 = ?", digest)
        again, log = await taken(copy, runtimes, "process", own)
        assert reason in log
        assert again not in (unique, "evil")
        assert list(copy.root.rglob("escape")) == []

    asyncio.run(main())


def test_links_to_the_interpreter_lead_to_that_of_this_machine(
    data: Path, runtimes: RuntimeTable, tmp_path: Path
) -> None:
    """They are not followed, nor is a link above them."""
    outside = tmp_path / "outside" / "bin" / "python"
    outside.parent.mkdir(parents=True)
    outside.symlink_to("/somewhere/else")
    python = member("runtime-env/bin/python", tarfile.SYMTYPE, link="/opt/other/bin/python3")
    folder = member("runtime-env", tarfile.SYMTYPE, link=str(outside.parents[1]))

    async def main() -> None:
        own, unique = await built_and_packed(data, runtimes, "process")
        copy = restored(data)
        for entry, taken_over in ((python, True), (folder, False)):
            content = packed((member("made"), unique.encode()), (entry, b""))
            copy.output(own).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            change(copy, "UPDATE deployments SET build_sha256 = ?", digest)
            again, log = await taken(copy, runtimes, "process", own)
            assert (again == unique) is taken_over, log
            if taken_over:
                link = copy.build(own) / "runtime-env" / "bin" / "python"
                assert link.readlink() == runtimes.resolve("python-3.11").interpreter.path
            change(copy, "UPDATE deployments SET status = 'waiting'")
        assert outside.readlink() == Path("/somewhere/else")

    asyncio.run(main())


def test_builds_can_be_left_out_of_a_backup(data: Path, runtimes: RuntimeTable) -> None:
    async def main() -> None:
        own, _ = await built_and_packed(data, runtimes, "process")
        whole = backup(DataDir(data), data.with_name("whole.tar"))
        less = backup(DataDir(data), data.with_name("less.tar"), builds=False)
        assert (whole.builds, less.builds) == (1, 0)
        with tarfile.open(data.with_name("less.tar")) as archive:
            assert f"deployments/{own}~output.tar.gz" not in archive.getnames()

    asyncio.run(main())


def test_a_deleted_deployment_leaves_no_packed_build(data: Path, runtimes: RuntimeTable) -> None:
    async def main() -> None:
        async with opened(data, runtimes) as world:
            made = await world.build(FILES)
            await asyncio.gather(
                world.deployments.packed.of(made.id),
                world.deployments.delete("fn", made.id),
                return_exceptions=True,
            )
            assert world.data.outputs() == []

    asyncio.run(main())


def test_the_packed_builds_that_were_used_longest_ago_are_given_up(
    data: Path, runtimes: RuntimeTable
) -> None:
    async def main() -> None:
        async with opened(data, runtimes) as world:
            one, two = [await world.build(FILES, UNIQUE) for _ in range(2)]
            packed_builds = world.deployments.packed
            for made in (one, two):
                await packed_builds.of(made.id)
            assert packed_builds.trim(1_000_000) == 0
            # Looking at it is a use.
            assert packed_builds.kept(await world.get(one.id)) == world.data.output(one.id)
            size = world.data.output(one.id).stat().st_size
            assert packed_builds.trim(size) == 1
            assert world.data.outputs() == [world.data.output(one.id)]
            # It is packed again when it is needed.
            path, sha256 = await packed_builds.of(two.id)
            assert has_digest(path, sha256)

    asyncio.run(main())


def test_a_stop_before_the_packing_costs_nothing(data: Path, runtimes: RuntimeTable) -> None:
    async def main() -> None:
        async with opened(data, runtimes) as world:
            made = await world.build(FILES)
        assert made.build_sha256 == ""
        async with opened(data, runtimes) as world:
            now = await is_packed(world, made)
            assert has_digest(world.data.output(made.id), now.build_sha256)

    asyncio.run(main())


def test_builds_of_a_cluster_that_was_left_are_made_again(
    data: Path, runtimes: RuntimeTable
) -> None:
    """Those of machines of another kind alone, and only once."""

    async def main() -> None:
        async with opened(data, runtimes) as world:
            foreign, own, sourceless = [await world.build(FILES, UNIQUE) for _ in range(3)]
            for made in (foreign, own, sourceless):
                await is_packed(world, made)
            before = {made.id: world.published(made, "made") for made in (foreign, own)}
        place = DataDir(data)
        for made in (foreign, sourceless):
            statement = "UPDATE deployments SET build_identity = 'sparc python-3.11' WHERE id = ?"
            change(place, statement, made.id)
        place.source(sourceless.id).unlink()
        async with opened(data, runtimes) as world:
            assert (await world.get(foreign.id)).status == "ready"
        change(place, "INSERT INTO settings VALUES ('cluster', 'joined')")
        async with opened(data, runtimes) as world:
            again = await world.until(foreign.id, lambda now: now.status == "ready")
            assert "sparc" not in again.build_identity
            assert FITS not in again.build_logs
            assert world.published(foreign, "made") != before[foreign.id]
            assert world.published(own, "made") == before[own.id]
            for kept in (own, sourceless):
                assert (await world.get(kept.id)).status == "ready"
            assert await world.database.read(settings.get, "cluster") == ""

    asyncio.run(main())


def test_a_build_that_is_lost_is_unpacked(data: Path, runtimes: RuntimeTable) -> None:
    async def main() -> None:
        own, unique = await built_and_packed(data, runtimes, "process")
        remove_tree(DataDir(data).build(own))
        async with opened(data, runtimes) as world:
            await world.deployments.tidy()
            world.builder.wake()
            ended = await world.until(own, lambda now: FITS in now.build_logs)
            await world.built(ended)
            assert world.published(ended, "made") == unique

    asyncio.run(main())
