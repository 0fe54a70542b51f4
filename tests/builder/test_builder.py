"""Builds with a real spawner and engine: their output, their environment and their order."""

import asyncio
import math
import os
import time
from pathlib import Path

import pytest

from minifn.languages import RuntimeTable
from minifn.models import APPWRITE_VERSION, Variable
from minifn.store import variables
from tests.building import opened
from tests.patience import patient

HELLO = {"main.py": "def main(context):\n    return context.res.text('hello')\n"}


def test_nothing_to_install_is_ready_soon_and_active(
    data: Path, runtimes: RuntimeTable, engine: str
) -> None:
    async def body() -> None:
        async with opened(data, runtimes, engine) as world:
            started = time.monotonic()
            deployment = await world.build(HELLO)
            took = time.monotonic() - started
            assert deployment.status == "ready", deployment.build_logs
            assert took < patient(5)
            assert (await world.function()).deployment_id == deployment.id
            assert world.ready == [deployment.id]
            assert world.statuses == ["waiting", "processing", "building", "ready"]
            assert world.published(deployment, "main.py") == HELLO["main.py"]
            assert list((world.data.build(deployment.id) / "__pycache__").glob("main.*.pyc"))
            assert 1 <= deployment.build_duration_seconds <= math.ceil(took)
            assert deployment.build_size_bytes > len(HELLO["main.py"])
            assert "Build finished" in deployment.build_logs

    asyncio.run(body())


def test_commands_run_in_the_code_and_their_output_is_kept(
    data: Path, runtimes: RuntimeTable, engine: str
) -> None:
    async def body() -> None:
        async with opened(data, runtimes, engine) as world:
            commands = (
                "printf '\\033[32mgreen\\033[0m\\n'; echo oops >&2; printf made >made.txt;"
                " mkdir sub; touch sub/x"
            )
            deployment = await world.build(HELLO, commands)
            assert deployment.status == "ready", deployment.build_logs
            assert "\x1b[32mgreen\x1b[0m\noops\n" in deployment.build_logs
            assert world.published(deployment, "made.txt") == "made"
            assert (world.data.build(deployment.id) / "sub/x").exists()

    asyncio.run(body())


def test_the_environment_of_a_build(data: Path, runtimes: RuntimeTable, engine: str) -> None:
    async def body() -> None:
        async with opened(data, runtimes, engine, port=8123) as world:
            given = {
                "PLAIN": "from fn",
                "APPWRITE_FUNCTION_ID": "forged",
                "bad=name": "x",
                "NUL": "a\0b",
            }
            for number, (key, value) in enumerate([*given.items(), ("PATH", "/nowhere")]):
                variable = Variable(id=f"v{number}", function_id="fn", key=key, value=value)
                await world.database.write(variables.insert, variable)
            project = [
                Variable(id=f"p{key}", function_id="", key=key, value="project")
                for key in ("PLAIN", "GLOBAL")
            ]
            for variable in project:
                await world.database.write(variables.insert, variable)
            deployment = await world.build(
                HELLO, "env -0 >env.bin; pwd >pwd.txt; touch $TMPDIR/scratch"
            )
            assert deployment.status == "ready", deployment.build_logs
            env = dict(
                pair.split("=", 1)
                for pair in world.published(deployment, "env.bin").split("\0")
                if pair
            )
            assert env["PLAIN"] == "from fn"
            assert env["GLOBAL"] == "project"
            assert env["APPWRITE_FUNCTION_ID"] == "fn"
            assert env["APPWRITE_FUNCTION_NAME"] == "My fn"
            assert env["APPWRITE_FUNCTION_DEPLOYMENT"] == deployment.id
            assert env["APPWRITE_FUNCTION_API_ENDPOINT"] == "http://127.0.0.1:8123/v1"
            assert env["APPWRITE_FUNCTION_RUNTIME_NAME"] == "Python"
            assert env["APPWRITE_FUNCTION_RUNTIME_VERSION"] == "3.11"
            assert env["APPWRITE_VERSION"] == APPWRITE_VERSION
            assert env["OPEN_RUNTIMES_ENTRYPOINT"] == "main.py"
            assert world.tokens.verify_key(env["APPWRITE_FUNCTION_API_KEY"]).scopes == {
                "users.read"
            }
            assert env["HTTP_PROXY"] == "http://proxy:1"
            assert env["PIP_INDEX_URL"] == "http://index"
            assert "SERVER_SECRET" not in env
            assert "in the name or a NUL: 'bad=name', 'NUL'\n" in deployment.build_logs
            assert "/usr/bin" in env["PATH"].split(":")
            assert (
                world.published(deployment, "pwd.txt").strip()
                == env["VIRTUAL_ENV"].rpartition("/")[0]
            )
            assert not world.data.scratch(deployment.id).exists()

    asyncio.run(body())


def test_a_build_cannot_reach_the_servers_files(
    data: Path, runtimes: RuntimeTable, engine: str
) -> None:
    if engine == "process" and os.geteuid() != 0:
        pytest.skip("the process engine protects files only when the server is root")

    async def body() -> None:
        async with opened(data, runtimes, engine) as world:
            (world.data.root / "admin.key").write_text("key")
            (world.data.root / "admin.key").chmod(0o600)
            root = world.data.root
            attempts = f"cat {root}/admin.key; ls {root}; echo x >{root}/x; id -u >id"
            deployment = await world.build(HELLO, attempts)
            assert deployment.status == "ready", deployment.build_logs
            assert world.published(deployment, "id").strip() != "0"
            assert "minifn.db" not in deployment.build_logs
            assert not (world.data.root / "x").exists()

    asyncio.run(body())


def test_the_published_build_is_read_only_to_the_function(
    data: Path, runtimes: RuntimeTable, engine: str
) -> None:
    async def body() -> None:
        async with opened(data, runtimes, engine) as world:
            commands = (
                "chmod 4777 main.py; mkdir -m 0 closed; mkfifo pipe; ln -s main.py link;"
                " cp main.py run; chmod 755 run"
            )
            deployment = await world.build(HELLO, commands)
            assert deployment.status == "ready", deployment.build_logs
            root = world.data.build(deployment.id)
            readable = 0o050 if os.geteuid() == 0 else 0
            assert root.stat().st_mode & 0o7777 == 0o700 | readable
            assert (root / "closed").stat().st_mode & 0o7777 == 0o700 | readable
            assert (root / "main.py").stat().st_mode & 0o7777 & ~0o110 == 0o600 | readable & 0o040
            assert (root / "run").stat().st_mode & 0o111 == 0o100 | readable & 0o010
            assert (root / "link").readlink() == Path("main.py")
            assert not (root / "pipe").exists()
            if os.geteuid() == 0:
                owners = {
                    (path.lstat().st_uid, path.lstat().st_gid) for path in (root, *root.rglob("*"))
                }
                assert {uid for uid, _ in owners} == {0}
                assert len({gid for _, gid in owners} - {0}) == 1

    asyncio.run(body())


def test_logs_are_seen_while_the_build_runs_and_cancel_ends_it(
    data: Path, runtimes: RuntimeTable, engine: str
) -> None:
    async def body() -> None:
        async with opened(data, runtimes, engine) as world:
            # Daemons that leave the session must go as well.
            commands = "echo started; setsid sleep 1000 & while sleep 0.05; do date >>alive; done"
            deployment = await world.upload(HELLO, commands)
            await world.until(deployment.id, lambda now: "started\n" in now.build_logs)
            canceled = await world.deployments.cancel("fn", deployment.id)
            assert canceled.status == "canceled"
            assert canceled.build_logs.endswith("Build has been canceled.\n")
            assert not world.data.build(deployment.id).exists()
            after = await world.built(deployment)
            assert after.status == "canceled"
            assert (await world.function()).deployment_id == ""
            # The next one is not held up.
            assert (await world.build(HELLO)).status == "ready"

    asyncio.run(body())


def test_stopping_the_server_keeps_ready_builds(data: Path, runtimes: RuntimeTable) -> None:
    async def body() -> None:
        for _ in range(5):
            async with opened(data, runtimes) as world:
                deployment = await world.upload(HELLO)
                await world.until(deployment.id, lambda now: "Build finished" in now.build_logs)
            async with opened(data, runtimes) as world:
                assert (await world.built(deployment)).status == "ready"
                assert world.published(deployment, "main.py") == HELLO["main.py"]

    asyncio.run(body())


def test_a_flood_of_output_keeps_its_end(data: Path, runtimes: RuntimeTable) -> None:
    async def body() -> None:
        async with opened(data, runtimes) as world:
            deployment = await world.build(
                HELLO, "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end"
            )
            assert deployment.status == "ready"
            assert len(deployment.build_logs) == 1_000_000
            assert "x\nthe end\n" in deployment.build_logs

    asyncio.run(body())


def test_an_older_build_does_not_take_over(data: Path, runtimes: RuntimeTable) -> None:
    async def body() -> None:
        async with opened(data, runtimes, build_concurrency=2) as world:
            older = await world.upload(
                HELLO, "echo started; while [ ! -e $TMPDIR/go ]; do sleep 0.02; done"
            )
            await world.until(older.id, lambda now: "started\n" in now.build_logs)
            newer = await world.build(HELLO)
            (world.data.scratch(older.id) / "go").write_text("")
            assert (await world.built(older)).status == "ready"
            assert (await world.function()).deployment_id == newer.id
            assert world.ready == [newer.id]

    asyncio.run(body())


def test_an_interrupted_build_is_built_again_by_the_next_server(
    data: Path, runtimes: RuntimeTable
) -> None:
    async def body() -> None:
        async with opened(data, runtimes) as world:
            marker = f"{world.data.cache('fn')}/second"
            commands = (
                f"[ -e {marker} ] && exit 0; : >{marker}; : >left-over; echo started; sleep 1000"
            )
            deployment = await world.upload(HELLO, commands)
            await world.until(deployment.id, lambda now: "started\n" in now.build_logs)
        async with opened(data, runtimes) as world:
            again = await world.built(deployment)
            assert again.status == "ready", again.build_logs
            assert "started\n" not in again.build_logs
            assert not (world.data.build(deployment.id) / "left-over").exists()
            assert (await world.function()).deployment_id == deployment.id

    asyncio.run(body())


def test_the_cache_is_kept_between_builds_of_a_function(
    data: Path, runtimes: RuntimeTable, engine: str
) -> None:
    async def body() -> None:
        async with opened(data, runtimes, engine) as world:
            first = await world.build(HELLO, "echo kept >$XDG_CACHE_HOME/note")
            assert first.status == "ready", first.build_logs
            cache = world.data.cache("fn")
            os.utime(cache, (0, 0))
            second = await world.build(HELLO, "cat $XDG_CACHE_HOME/note")
            assert "kept\n" in second.build_logs
            # The order in which caches are removed depends on this time.
            assert cache.stat().st_mtime > 0

    asyncio.run(body())
