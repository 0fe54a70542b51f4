"""A family is a folder and nothing else: one that is nowhere in the package builds and runs."""

import asyncio
from pathlib import Path

from tests.languages.family_server import RUNTIME, build, call, execute, serving


def test_a_new_family_is_listed_built_and_called(place: Path, engine: str) -> None:
    async def body() -> None:
        async with serving(place, engine) as client:
            listed = await call(client, "GET", "/functions/runtimes")
            assert [runtime["$id"] for runtime in listed["runtimes"]] == [RUNTIME]
            files = {"main.echo": "my program\n", "secret.txt": "a source"}
            deployment = await build(client, files)
            log = deployment["buildLogs"]
            assert deployment["status"] == "ready", log
            assert "Making the files that functions of Echo 2.5.1 share" in log
            execution = await execute(client, "hello")
            assert execution["responseStatusCode"] == 200, execution
            said, program, library, env, memory, entry = execution["responseBody"].split("|")
            assert said == "hello"
            lines = program.splitlines()
            assert lines[:3] == ["my program", "common code", "library made by echo-lang"]
            assert lines[3].startswith("echo 2.5 in /")
            assert library == "library made by echo-lang"
            assert env.startswith("echo 2.5 in /")
            assert (memory, entry) == ("512", "main.echo")
            folder = place / "data/builds" / deployment["$id"]
            kept = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
            assert kept == ["out", "out/program.txt"]
            again = await build(client, files, commands="echoc --version")
            assert "echo-lang 2.5.1" in again["buildLogs"]
            assert "share" not in again["buildLogs"]

    asyncio.run(body())


def test_a_compiler_that_fails_fails_the_build(place: Path, engine: str) -> None:
    async def body() -> None:
        async with serving(place, engine) as client:
            deployment = await build(client, {"main.echo": "fine\nbad\n"})
            assert deployment["status"] == "failed"
            assert "2:bad" in deployment["buildLogs"]
            assert "main.echo: a bad word" in deployment["buildLogs"]
            assert "The function's source does not compile." in deployment["buildLogs"]

    asyncio.run(body())
