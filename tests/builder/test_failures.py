"""Builds that fail, or are stopped: the log says why, and nothing is left behind."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from minifn.languages import RuntimeTable
from minifn.store import build_queue, functions
from tests.building import opened
from tests.packing import packed

HELLO = {"main.py": "def main(context):\n    return context.res.text('hello')\n"}


FAILURES = {
    "exit code": ("echo working; exit 7", "working\n", "Build command exited with code 7."),
    "link out": (
        "ln -s /etc/passwd stolen",
        "'stolen' links to '/etc/passwd', outside the deployment",
        "",
    ),
    "relative link out": ("mkdir a; ln -s ../../etc a/b", "'a/b' links to '../../etc'", ""),
    "unknown command": ("no-such-command", "Build command exited with code 127.", ""),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_explained_in_the_log(name: str, data: Path, runtimes: RuntimeTable) -> None:
    commands, *texts = FAILURES[name]

    async def body() -> None:
        async with opened(data, runtimes) as world:
            deployment = await world.build(HELLO, commands)
            assert deployment.status == "failed"
            for text in texts:
                assert text in deployment.build_logs
            assert deployment.build_duration_seconds >= 1
            assert (await world.function()).deployment_id == ""
            assert world.ready == []
            kept = {world.data.caches, world.data.toolchains}
            assert set(world.data.builds.iterdir()) <= kept

    asyncio.run(body())


def test_a_bad_archive_fails_the_build(data: Path, runtimes: RuntimeTable, engine: str) -> None:
    async def body() -> None:
        async with opened(data, runtimes, engine) as world:
            for content in (b"not an archive", packed()):
                deployment = await world.build(content)
                assert deployment.status == "failed"
                assert "The archive could not be unpacked: " in deployment.build_logs

    asyncio.run(body())


def test_an_archive_with_a_servers_keys_is_not_kept(data: Path, runtimes: RuntimeTable) -> None:
    async def body() -> None:
        async with opened(data, runtimes) as world:
            keys = {"data/minifn.db": "x", "data/admin.key": "the key"}
            deployment = await world.build({**HELLO, **keys})
            assert deployment.status == "failed"
            assert "the data directory of a server, with its keys" in deployment.build_logs
            assert "The archive is not kept." in deployment.build_logs
            assert not world.data.source(deployment.id).exists()

    asyncio.run(body())


def test_a_runtime_that_cannot_run_fails_the_build(data: Path, runtimes: RuntimeTable) -> None:
    async def body() -> None:
        async with opened(data, runtimes) as world:
            await world.database.write(
                functions.update,
                msgspec.structs.replace(await world.function(), runtime="swift-5.10"),
            )
            deployment = await world.build(HELLO)
            assert deployment.status == "failed"
            assert "Swift" in deployment.build_logs

    asyncio.run(body())


@pytest.mark.parametrize("entrypoint", ["src/other.py", "n" * 300, "../main.py"])
def test_a_missing_entrypoint_is_pointed_out(
    entrypoint: str, data: Path, runtimes: RuntimeTable
) -> None:
    async def body() -> None:
        async with opened(data, runtimes) as world:
            deployment = await world.build(HELLO, entrypoint=entrypoint)
            assert deployment.status == "ready"
            assert f"no file {entrypoint}" in deployment.build_logs

    asyncio.run(body())


@pytest.mark.parametrize("moment", ["processing", "building"])
def test_a_canceled_or_deleted_build_changes_nothing(
    moment: str, data: Path, runtimes: RuntimeTable, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with opened(data, runtimes) as world:
            files = HELLO | {f"folder/{number}": "" for number in range(3000)}
            deployment = await world.upload(files, "echo go; sleep 0.3")
            await world.until(deployment.id, lambda now: now.status == moment)
            # As if the cancellation came too late to interrupt.
            await world.database.write(build_queue.cancel, "fn", deployment.id, 1)
            ended = await world.built(deployment)
            assert ended.status == "canceled"
            assert not [record for record in caplog.records if record.levelname == "ERROR"]
            assert not world.data.build(deployment.id).exists()
            assert world.ready == []

    asyncio.run(body())


def test_a_build_that_is_deleted_while_it_runs_leaves_nothing(
    data: Path, runtimes: RuntimeTable
) -> None:
    async def body() -> None:
        async with opened(data, runtimes) as world:
            deployment = await world.upload(HELLO, "echo started; sleep 1000")
            await world.until(deployment.id, lambda now: "started\n" in now.build_logs)
            await world.deployments.delete("fn", deployment.id)
            kept = {world.data.caches, world.data.toolchains}
            assert set(world.data.builds.iterdir()) <= kept
            assert list(world.data.deployments.iterdir()) == []

    asyncio.run(body())


def test_the_deadline_ends_a_build(data: Path, runtimes: RuntimeTable) -> None:
    async def body() -> None:
        async with opened(data, runtimes, build_timeout=1) as world:
            deployment = await world.build(HELLO, "trap '' TERM; sleep 1000")
            assert deployment.status == "failed"
            assert "Build timed out after 1 seconds." in deployment.build_logs
            assert deployment.build_duration_seconds == 2
            assert not world.data.build(deployment.id).exists()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("where", "make"),
    [(".", ": >f$i"), (".", "mkdir d$i"), ("$TMPDIR", ": >f$i"), ("$XDG_CACHE_HOME", ": >f$i")],
)
def test_a_build_that_fills_the_disk_is_stopped(
    where: str, make: str, data: Path, runtimes: RuntimeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minifn.builder.commands.GUARD_SECONDS", 0.05)
    monkeypatch.setattr("minifn.builder.publish.OUTPUT_FILES_MAX", 100)

    async def body() -> None:
        async with opened(data, runtimes) as world:
            deployment = await world.build(
                HELLO, f"cd {where}; i=0; while :; do i=$((i+1)); {make}; done"
            )
            assert deployment.status == "failed"
            expected = "The build was stopped: the build has more than 100 files and directories."
            assert expected in deployment.build_logs

    asyncio.run(body())


def test_no_build_begins_on_a_full_disk(
    data: Path, runtimes: RuntimeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minifn.host.space.FREE_BYTES_FLOOR", 10**18)
    monkeypatch.setattr("minifn.host.space.FREE_SHARE_FLOOR", 1.0)

    async def body() -> None:
        async with opened(data, runtimes) as world:
            deployment = await world.build(HELLO)
            assert deployment.status == "failed"
            assert "disk is almost full" in deployment.build_logs

    asyncio.run(body())
