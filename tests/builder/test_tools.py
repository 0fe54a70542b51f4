"""Builds have a home on disk, and the tools of Appwrite's images."""

import asyncio
import base64
import hashlib
import http.server
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from minifn.languages import RuntimeTable
from minifn.models import Deployment
from minifn.store import functions
from tests.building import opened

MAIN = {"main.js": "module.exports = () => 1;\n", "main.py": "def main(context):\n    pass\n"}
#: Bytes that a /tmp in memory, of 64 MB, does not hold.
LARGE = 80_000_000
#: Packages of the registry: name -> version -> the Node.js it asks for.
PACKAGES = {
    "pnpm": {"8.0.0": ">=1", "9.1.0": ">=1", "99.0.0": ">=99"},
    "yarn": {"1.22.0": ">=1"},
    "@yarnpkg/cli-dist": {"4.1.0": ">=1"},
    "corepack": {"0.30.0": ">=1"},
}
#: Package -> the programs in it.
PROGRAMS = {
    "pnpm": ("pnpm", "pnpx"),
    "yarn": ("yarn", "yarnpkg"),
    "@yarnpkg/cli-dist": ("yarn",),
    "corepack": ("corepack",),
}


@pytest.fixture(scope="module")
def runtimes() -> RuntimeTable:
    """The runtimes of this machine, which has Node.js."""
    found = RuntimeTable.load()
    if not found.interpreters["node"]:
        pytest.skip("node is not on PATH: install Node.js 18 or newer with npm")
    return found


def tarball(name: str, version: str) -> bytes:
    """Return a package whose programs say their name and version."""
    manifest = {"name": name, "version": version, "bin": dict.fromkeys(PROGRAMS[name], "cli.js")}
    script = f"#!/usr/bin/env node\nconsole.log('{name} {version}', ...process.argv.slice(2));\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in (("package.json", json.dumps(manifest)), ("cli.js", script)):
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


class Registry(http.server.BaseHTTPRequestHandler):
    """The part of npm's registry that an installation asks."""

    #: `name version` -> tarball.
    tarballs: ClassVar = {
        f"{name} {version}": tarball(name, version)
        for name, versions in PACKAGES.items()
        for version in versions
    }

    def do_GET(self) -> None:
        path = self.path.replace("%2f", "/").strip("/")
        name, _, file = path.partition("/-/")
        if name not in PACKAGES:
            self.send_error(404)
            return
        body = (
            self.tarballs[f"{name} {file.removesuffix('.tgz')}"]
            if file
            else json.dumps(self.packument(name)).encode()
        )
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def packument(self, name: str) -> dict[str, object]:
        versions = {
            version: {
                "name": name,
                "version": version,
                "bin": dict.fromkeys(PROGRAMS[name], "cli.js"),
                "engines": {"node": node},
                "dist": {
                    "tarball": f"http://{self.headers['host']}/{name}/-/{version}.tgz",
                    "integrity": integrity(self.tarballs[f"{name} {version}"]),
                },
            }
            for version, node in PACKAGES[name].items()
        }
        return {"name": name, "dist-tags": {"latest": list(versions)[-1]}, "versions": versions}

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def integrity(content: bytes) -> str:
    """Return a digest as npm writes it."""
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """The address of a registry on this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


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
