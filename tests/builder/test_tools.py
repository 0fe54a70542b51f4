"""Builds have a home on disk, and the tools of Appwrite's images."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from minifn.languages import RuntimeTable
from minifn.models import Deployment
from minifn.store import functions
from tests.builder.npm_registry import serving
from tests.building import opened

MAIN = {"main.js": "module.exports = () => 1;\n", "main.py": "def main(context):\n    pass\n"}
#: Bytes that a /tmp in memory, of 64 MB, does not hold.
LARGE = 80_000_000


@pytest.fixture(scope="module")
def runtimes() -> RuntimeTable:
    """The runtimes of this machine, which has Node.js."""
    found = RuntimeTable.load()
    if not found.interpreters["node"]:
        pytest.skip("node is not on PATH: install Node.js 18 or newer with npm")
    return found


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """The address of a registry on this machine."""
    with serving() as url:
        yield url


@pytest.fixture(params=["bwrap", "process"])
def build(
    request: pytest.FixtureRequest, data: Path, runtimes: RuntimeTable
) -> Callable[..., Deployment]:
    """Builds a function of a runtime with commands, under each engine that can run here."""
    if request.param == "bwrap":
        request.getfixturevalue("bwrap")

    async def run(
        runtime: str, commands: str, files: dict[str, str], environ: dict[str, str]
    ) -> Deployment:
        world = opened(data, runtimes, request.param)
        world.environ = environ
        async with world:
            function = msgspec.structs.replace(await world.function(), runtime=runtime)
            await world.database.write(functions.update, function)
            entrypoint = "main.js" if runtime.startswith("node") else "main.py"
            return await world.build({**MAIN, **files}, commands, entrypoint=entrypoint)

    return lambda runtime, commands, files=None, **environ: asyncio.run(
        run(runtime, commands, files or {}, environ)
    )


@pytest.mark.parametrize(
    ("runtime", "program"),
    [
        (
            "node-20.0",
            f"""node -e 'fs.writeFileSync(os.homedir() + "/x", Buffer.alloc({LARGE}))'""",
        ),
        (
            "python-3.11",
            "python -c 'import pathlib as p;"
            f""" (p.Path.home() / "x").write_bytes(bytes({LARGE}))'""",
        ),
    ],
)
def test_the_home_of_a_build_lies_on_disk(
    runtime: str, program: str, build: Callable[..., Deployment]
) -> None:
    deployment = build(runtime, f'{program} && wc -c <"$HOME/x"')
    assert deployment.status == "ready", deployment.build_logs
    assert f"\n{LARGE}\n" in deployment.build_logs
    assert deployment.build_size_bytes < LARGE


def test_a_program_that_npm_installs_globally_is_found(
    build: Callable[..., Deployment], registry: str
) -> None:
    """Also when the server's environment names a place of its own for such programs."""
    deployment = build(
        "node-20.0",
        "npm install -g pnpm@8 && pnpm after npm",
        npm_config_registry=registry,
        NPM_CONFIG_PREFIX="/opt/nowhere",
    )
    assert deployment.status == "ready", deployment.build_logs
    assert "\npnpm 8.0.0 after npm\n" in deployment.build_logs
    assert deployment.build_size_bytes < 10_000


@pytest.mark.parametrize(
    ("manager", "commands", "says"),
    [
        ("", "pnpm install --frozen", "pnpm 9.1.0 install --frozen"),
        ("", "cd sub && pnpx tool", "pnpm 9.1.0 tool"),
        ("pnpm@8.0.0", "pnpm -v && pnpm -v", "pnpm 8.0.0 -v\npnpm 8.0.0 -v"),
        ("pnpm@8.0.0+sha512.abc", "pnpm -v", "pnpm 8.0.0 -v"),
        ("pnpm@8.0.0", "yarn -v", "yarn 1.22.0 -v"),
        ("yarn@4.1.0", "yarn -v", "@yarnpkg/cli-dist 4.1.0 -v"),
    ],
)
def test_package_managers_that_the_machine_lacks_are_installed(
    manager: str, commands: str, says: str, data: Path, runtimes: RuntimeTable, registry: str
) -> None:
    """In the version that package.json names, else in the newest that this Node.js runs."""
    if any(map(shutil.which, ("pnpm", "yarn"))):
        pytest.skip("this machine has pnpm or yarn itself")
    files = {"package.json": json.dumps({"packageManager": manager}), "sub/x": ""}

    async def main() -> None:
        world = opened(data, runtimes)
        world.environ = {"npm_config_registry": registry}
        async with world:
            function = msgspec.structs.replace(await world.function(), runtime="node-20.0")
            await world.database.write(functions.update, function)
            deployment = await world.build({**MAIN, **files}, commands, entrypoint="main.js")
            assert deployment.status == "ready", deployment.build_logs
            assert f"\n{says}\n" in deployment.build_logs

    asyncio.run(main())


def test_corepack_puts_its_programs_into_the_build(
    build: Callable[..., Deployment], registry: str
) -> None:
    """Not beside the machine's own."""
    if not shutil.which("corepack"):
        pytest.skip("corepack is not on PATH: it comes with Node.js before 25")
    deployment = build(
        "node-20.0",
        "command -v corepack && corepack enable && command -v pnpm yarn",
        npm_config_registry=registry,
    )
    assert deployment.status == "ready", deployment.build_logs
    for name in ("corepack", "pnpm", "yarn"):
        assert f"/node/bin/{name}\n" in deployment.build_logs
