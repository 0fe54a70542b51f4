"""Files that functions of a toolchain share: made once, by no function's user, and read-only."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from minifn.builder import toolchains
from minifn.doctor import drop_shared, examine
from minifn.host.datadir import DataDir
from minifn.process_env import TOOLCHAIN_UID, UID_BASE
from tests.languages.family_server import build, call, execute, serving, settings, upload
from tests.languages.new_family import COMPILER, install_compiler, write_family
from tests.sandbox.commands import until

SOURCE = {"main.echo": "my program\n"}
MADE = "Making the files that functions of Echo 2.5.1 share"
#: Shell commands of a hostile build on each directory where the shared files may be.
ATTACKS = """
for place in /shared {toolchains}/*; do
  [ -d $place ] || continue
  echo changed > $place/library.txt
  echo changed > $place/new.txt
  ln -s /etc/passwd $place/link
  rm -f $place/library.txt
  rmdir $place/sub
  mv $place/library.txt $place/moved.txt
  mv $place $place.moved
  ln $place/library.txt stolen && echo changed > stolen && rm stolen
done
echo changed > {toolchains}/x.json
true
"""


def only(place: Path) -> Path:
    """The directory of the one cache of a server in `place`."""
    data = DataDir(place / "data")
    (record,) = toolchains.records(data)
    return data.toolchain(record["name"])


def says(deployment: Any) -> str:
    """The log of a build that is ready."""
    assert deployment["status"] == "ready", deployment["buildLogs"]
    return str(deployment["buildLogs"])


def test_a_hostile_build_changes_nothing(place: Path, engine: str) -> None:
    async def body() -> None:
        async with serving(place, engine) as client:
            says(await build(client, SOURCE))
            attacks = ATTACKS.format(toolchains=place / "data/builds/.toolchains")
            says(await build(client, SOURCE, commands=attacks))
            shared = only(place)
            assert (shared / "library.txt").read_text() == "library made by echo-lang\n"
            assert sorted(path.name for path in shared.iterdir()) == ["library.txt"]
            assert toolchains.is_whole(shared)
            assert MADE not in says(await build(client, SOURCE))
            assert "library made by" in (await execute(client, ""))["responseBody"]

    asyncio.run(body())


@pytest.mark.skipif(os.geteuid() != 0, reason="only a root server has other users")
def test_they_are_made_by_a_user_that_no_function_has(place: Path, engine: str) -> None:
    assert TOOLCHAIN_UID < UID_BASE
    command = ["/bin/sh", "-c", 'id -u > "$0/library.txt"; chmod 4777 "$0/library.txt"', "{shared}"]
    write_family(place / "runtimes", shared=command)

    async def body() -> None:
        async with serving(place, engine) as client:
            says(await build(client, SOURCE))
            shared = only(place)
            assert (shared / "library.txt").read_text() == f"{TOOLCHAIN_UID}\n"
            for path, mode in ((shared, 0o755), (shared / "library.txt", 0o755)):
                assert (path.stat().st_uid, path.stat().st_mode & 0o7777) == (0, mode)

    asyncio.run(body())


@pytest.mark.parametrize("how", ["cut", "removed", "added", "record"])
def test_broken_ones_are_made_again(how: str, place: Path) -> None:
    async def body() -> None:
        async with serving(place, "process") as client:
            says(await build(client, SOURCE))
            shared = only(place)
            if how == "cut":
                (shared / "library.txt").write_text("")
            elif how == "removed":
                (shared / "library.txt").unlink()
            elif how == "added":
                (shared / "more.txt").touch()
            else:
                toolchains.record_file(shared).write_text("{")
            assert not toolchains.is_whole(shared)
            assert MADE in says(await build(client, SOURCE))
            assert toolchains.is_whole(only(place))
            assert "library made by" in (await execute(client, ""))["responseBody"]

    asyncio.run(body())


def test_a_worker_makes_what_is_missing_and_a_start_removes_what_is_old(
    place: Path, engine: str
) -> None:
    async def body() -> None:
        async with serving(place, engine) as client:
            says(await build(client, SOURCE))
        first = only(place)
        assert drop_shared(settings(place, engine)) == 1
        assert not first.exists()
        async with serving(place, engine) as client:
            assert "library made by" in (await execute(client, ""))["responseBody"]
        assert only(place) == first
        (place / "tools/bin/echo-lang").write_text(COMPILER.replace("made by", "of the new"))
        async with serving(place, engine) as client:
            assert not first.exists()
            assert "library of the new" in (await execute(client, ""))["responseBody"]
        assert only(place) != first

    asyncio.run(body())


def test_a_worker_that_reads_none_neither_sees_nor_makes_them(place: Path, engine: str) -> None:
    start = ["/bin/sh", "{wrapper}/server.sh", "{code}/out/program.txt", "/shared"]
    write_family(place / "runtimes", start=start)

    async def body() -> None:
        async with serving(place, engine) as client:
            says(await build(client, SOURCE))
            # In the built program, not beside the worker.
            assert (await execute(client, ""))["responseBody"].count("library made by") == 1
        assert drop_shared(settings(place, engine)) == 1
        async with serving(place, engine) as client:
            assert (await execute(client, ""))["responseStatusCode"] == 200
        assert toolchains.records(DataDir(place / "data")) == []

    asyncio.run(body())


def test_another_path_makes_them_again(place: Path, bwrap: str) -> None:
    async def body() -> None:
        for engine, made in (("process", True), ("bwrap", True), ("bwrap", False)):
            async with serving(place, engine) as client:
                assert (MADE in says(await build(client, SOURCE))) is made

    asyncio.run(body())


def test_builds_at_once_make_them_once(place: Path) -> None:
    async def body() -> None:
        async with serving(place, "process") as client:
            logs = await asyncio.gather(*(build(client, SOURCE) for _ in range(4)))
            assert sum(MADE in says(one) for one in logs) == 1

    asyncio.run(body())


def test_a_command_that_fails_fails_the_build_with_its_output(place: Path) -> None:
    command = ["/bin/sh", "-c", "echo no library here; exit 3"]
    write_family(place / "runtimes", shared=command)

    async def body() -> None:
        async with serving(place, "process") as client:
            for _ in range(2):
                deployment = await build(client, SOURCE)
                assert deployment["status"] == "failed"
                assert (
                    "The files that all Echo functions share could not be made (exit code 3):"
                    " no library here" in deployment["buildLogs"]
                )
            assert list(DataDir(place / "data").toolchains.glob("*~*")) == []

    asyncio.run(body())


def test_a_canceled_build_leaves_nothing_half_made(place: Path) -> None:
    script = '[ -e "$0/fast" ] || sleep 60; echo made > "$1/library.txt"'
    write_family(place / "runtimes", shared=["/bin/sh", "-c", script, "{prefix}", "{shared}"])

    async def body() -> None:
        async with serving(place, "process") as client:
            data = DataDir(place / "data")
            first = await upload(client, SOURCE)
            await until(lambda: list(data.toolchains.glob("*~*")) != [], 30)
            path = f"/functions/it/deployments/{first['$id']}"
            await call(client, "PATCH", f"{path}/status")
            await until(lambda: list(data.toolchains.glob("*~*")) == [], 30)
            assert toolchains.records(data) == []
            (place / "tools/bin/fast").touch()
            says(await build(client, SOURCE))
            assert (only(place) / "library.txt").read_text() == "made\n"

    asyncio.run(body())


def test_doctor_shows_them(place: Path) -> None:
    async def body() -> None:
        async with serving(place, "process") as client:
            says(await build(client, SOURCE))

    config = settings(place, "process")
    asyncio.run(body())
    checks = {check.name: check for check in examine(config).checks}
    assert (checks["shared files"].state, checks["shared files"].remedy) == ("ON", "")
    assert checks["shared files"].detail == "Echo 2.5.1  0.0 MB"
    (only(place) / "library.txt").unlink()
    checks = {check.name: check for check in examine(config).checks}
    assert checks["shared files"].state == "DEGRADED"
    assert "--drop-shared" in checks["shared files"].remedy
    drop_shared(config)
    assert "shared files" not in {check.name for check in examine(config).checks}


def test_a_family_that_comes_later_is_in_the_next_list(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minifn.languages.table.LOOK_SECONDS", 0.0)
    (place / "tools/bin/echo-lang").unlink()

    async def body() -> None:
        async with serving(place, "process") as client:
            failed = await build(client, SOURCE)
            assert "To get it: put echo-lang into a directory" in failed["buildLogs"]
            assert (await call(client, "GET", "/functions/runtimes"))["runtimes"] == []
            install_compiler(place / "tools")
            says(await build(client, SOURCE))
            listed = await call(client, "GET", "/functions/runtimes")
            assert [runtime["$id"] for runtime in listed["runtimes"]] == ["echo-2.5"]

    asyncio.run(body())
