"""Appwrite's published SDKs drive a real server."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk.install import NODE_VERSIONS, PYTHON_VERSIONS, WEB_VERSIONS, place
from tests.serving import FUNCTIONS, PROJECT, Api, Server, pack

SCRIPTS = Path(__file__).parent / "scripts"
CHUNK_BYTES = 5 * 1024 * 1024
INSTALL = "python tests/sdk/install.py"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Archives of a function by environment variable: small, three chunks, exactly one chunk."""
    folder = tmp_path_factory.mktemp("archives")
    source = FUNCTIONS / "sdk"
    contents = {
        "CODE_SMALL": pack(source),
        "CODE_LARGE": pack(source, extra={"padding.bin": os.urandom(11 * 1024 * 1024)}),
        "CODE_CHUNK": grown(
            pack(source, extra={"padding.bin": os.urandom(CHUNK_BYTES - 64 * 1024)}), CHUNK_BYTES
        ),
    }
    paths = {}
    for name, content in contents.items():
        path = folder / f"{name.lower()}.tar.gz"
        path.write_bytes(content)
        paths[name] = str(path)
    return paths


def grown(archive: bytes, size_bytes: int) -> bytes:
    """Return the same .tar.gz with `size_bytes`: a file name in its header fills it."""
    repacked = gzip.compress(gzip.decompress(archive), compresslevel=1, mtime=0)
    name = b"n" * (size_bytes - len(repacked) - 1)
    file_name_flag = 8
    return repacked[:3] + bytes([file_name_flag]) + repacked[4:10] + name + b"\0" + repacked[10:]


def run_script(argv: list[str], server: Server, environ: dict[str, str], folder: Path) -> str:
    """Run an SDK script and return its output. Raises AssertionError with it on a failure."""
    settings = {"ENDPOINT": server.endpoint, "PROJECT": PROJECT, "KEY": server.key, **environ}
    done = subprocess.run(
        argv,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **settings},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n--- server ---\n{server.log_tail()}"
    return done.stdout


def test_an_archive_can_be_grown_to_one_chunk() -> None:
    archive = pack(extra={"main.py": b"x = 1\n"})
    longer = grown(archive, 20_000)
    assert len(longer) == 20_000
    assert gzip.decompress(longer) == gzip.decompress(archive)


def beside_modules(family: str, sdk: Path, folder: Path) -> Path:
    """Copy the scripts beside this SDK's modules, and return the one to run."""
    shutil.copytree(SCRIPTS, folder / "scripts")
    (folder / "node_modules").symlink_to(sdk / "node_modules")
    return folder / "scripts" / family / "scenario.mjs"


@pytest.mark.parametrize("version", PYTHON_VERSIONS)
def test_python_sdk(
    version: str, server: Server, api: Api, archives: dict[str, str], tmp_path: Path
) -> None:
    if not place("python", version).exists():
        pytest.skip(f"appwrite {version} is not installed: {INSTALL}")
    environ = {
        **archives,
        "FUNCTION": f"python-{version}",
        "RUNTIME": api.runtime("python"),
        "ENTRYPOINT": "main.py",
        "STARTER": "python/starter",
        "PYTHONPATH": str(place("python", version)),
    }
    script = SCRIPTS / "python" / "scenario.py"
    assert (
        run_script([sys.executable, str(script)], server, environ, tmp_path).splitlines()[-1]
        == "all called"
    )


@pytest.mark.parametrize("version", NODE_VERSIONS)
def test_node_sdk(
    version: str, server: Server, api: Api, archives: dict[str, str], tmp_path: Path, node: str
) -> None:
    if not place("node", version).exists():
        pytest.skip(f"node-appwrite {version} is not installed: {INSTALL}")
    environ = {
        **archives,
        "FUNCTION": f"node-{version}",
        "RUNTIME": api.runtime("node"),
        "ENTRYPOINT": "main.js",
        "STARTER": "node/starter",
    }
    script = beside_modules("node", place("node", version), tmp_path)
    assert (
        run_script([node, str(script)], server, environ, tmp_path).splitlines()[-1] == "all called"
    )


@pytest.mark.parametrize("version", WEB_VERSIONS)
def test_web_sdk(
    version: str, server: Server, api: Api, archives: dict[str, str], tmp_path: Path, node: str
) -> None:
    if not place("web", version).exists():
        pytest.skip(f"appwrite {version} for the web is not installed: {INSTALL}")
    environ = {**archives}
    for variable, role in (("FOR_ANY", "any"), ("FOR_USERS", "users")):
        environ[variable] = f"web-{version}-{role}"
        api.create(environ[variable], api.runtime("python"), entrypoint="main.py", execute=[role])
        api.deploy(environ[variable], pack(FUNCTIONS / "sdk"))
    script = beside_modules("web", place("web", version), tmp_path)
    assert (
        run_script([node, str(script)], server, environ, tmp_path).splitlines()[-1] == "all called"
    )
