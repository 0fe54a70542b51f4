"""Real builds with real pip and npm, offline: the dependency comes along in the archive."""

import asyncio
import io
import json
import os
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from minifn.languages import BuildPlan, Installed, Place, RuntimeTable
from minifn.sandbox.choose import choose
from minifn.sandbox.command import Bind, Command, Limits
from minifn.sandbox.spawner import Spawner, run
from tests.patience import patient

UID = 20_777
Build = Callable[[Installed, str, Path], str]


@pytest.fixture(scope="module")
def here() -> RuntimeTable:
    return RuntimeTable.load()


@pytest.fixture
def python(here: RuntimeTable) -> Installed:
    return here.resolve("python-3.11")


@pytest.fixture
def node(here: RuntimeTable) -> Installed:
    if not here.interpreters["node"]:
        pytest.skip("node is not on PATH: install Node.js 18 or newer with npm")
    return here.resolve("node-20.0")


@pytest.fixture(params=["plain", "bwrap"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    """Runs a build in a directory, as a plain process or as the server does; returns its output."""
    if request.param == "plain":
        return build_plainly
    request.getfixturevalue("bwrap")
    return lambda installed, commands, code: asyncio.run(
        build_in_bwrap(installed, commands, code, tmp_path)
    )


def environment(plan: BuildPlan) -> dict[str, str]:
    """Return the plan's environment with what the server's package index settings add."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "npm_config_"))
    }
    return {**passed, **plan.env}


def build_plainly(installed: Installed, commands: str, code: Path) -> str:
    scratch = code.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    place = Place(
        code=str(code),
        wrapper=str(installed.wrapper),
        cache=str(code.parent / "cache"),
        scratch=str(scratch),
    )
    plan = installed.build(place, commands=commands, code=code)
    env = environment(plan)
    done = subprocess.run(
        plan.argv, cwd=code, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    return output


async def build_in_bwrap(installed: Installed, commands: str, code: Path, tmp_path: Path) -> str:
    cache, scratch = tmp_path / "cache", tmp_path / "scratch"
    for folder in (cache, scratch):
        folder.mkdir(exist_ok=True)
    place = Place(code="/fn", wrapper="/runtime", cache="/cache", scratch="/scratch")
    plan = installed.build(place, commands=commands, code=code)
    if os.geteuid() == 0:
        give_away(cache, code, scratch)
    command = Command(
        argv=plan.argv,
        env=environment(plan),
        cwd="/fn",
        binds=(
            Bind(source=code, target="/fn", writable=True),
            Bind(source=cache, target="/cache", writable=True),
            Bind(source=scratch, target="/scratch", writable=True),
            Bind(source=installed.wrapper, target="/runtime"),
            *(Bind(source=path, target=str(path)) for path in plan.binds),
        ),
        limits=Limits(memory_bytes=1024 * 2**20, processes=256, tmp_bytes=256 * 2**20),
        uid=UID,
        label="build",
    )
    async with Spawner(tmp_path / "run") as spawner:
        engine = await choose("bwrap", spawner)
        done = await run(spawner, engine.wrap(command), timeout_seconds=120)
    assert done.ok, done.text
    return done.text


def give_away(*folders: Path) -> None:
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.lchown(path, UID, UID)


def code_folder(tmp_path: Path) -> Path:
    code = tmp_path / "code"
    code.mkdir()
    return code


def write_wheel(code: Path) -> None:
    """Add a wheel with a module and a console script, and a requirements.txt that names it."""
    info = "greeting-1.0.dist-info"
    with zipfile.ZipFile(code / "greeting-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("greeting.py", "def main():\n    print('hello from', __file__)\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\ngreet = greeting:main\n")
        wheel.writestr(f"{info}/RECORD", "")
    (code / "requirements.txt").write_text("./greeting-1.0-py3-none-any.whl\n")


def write_package(code: Path) -> None:
    """Put a packed npm package into the code, and a package.json that depends on it."""
    with tarfile.open(code / "greeting-1.0.0.tgz", "w:gz") as archive:
        for name, text in (
            (
                "package/package.json",
                json.dumps({"name": "greeting", "version": "1.0.0", "bin": "cli.js"}),
            ),
            ("package/index.js", "module.exports = 'hello';\n"),
            (
                "package/cli.js",
                "#!/usr/bin/env node\nconsole.log(require('./index.js'), __dirname);\n",
            ),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    manifest = {
        "name": "fn",
        "version": "1.0.0",
        "dependencies": {"greeting": "file:greeting-1.0.0.tgz"},
    }
    (code / "package.json").write_text(json.dumps(manifest))


def packages(code: Path) -> Path:
    (found,) = (code / "runtime-env/lib").glob("python3.*/site-packages")
    return found


def test_requirements_are_installed(python: Installed, build: Build, tmp_path: Path) -> None:
    code = code_folder(tmp_path)
    write_wheel(code)
    assert "Successfully installed greeting-1.0" in build(python, "", code)
    assert (packages(code) / "greeting.py").is_file()


#: A build backend without dependencies of its own, that a build of packages has to install first.
BACKEND = """import os, zipfile

def _wheel(folder, files):
    name = "toolbox-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
        metadata = "Metadata-Version: 2.1\\nName: toolbox\\nVersion: 1.0\\n"
        wheel.writestr("toolbox-1.0.dist-info/METADATA", metadata)
        tags = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("toolbox-1.0.dist-info/WHEEL", tags)
        wheel.writestr("toolbox-1.0.dist-info/RECORD", "")
    return name

def build_wheel(folder, config_settings=None, metadata_directory=None):
    return _wheel(folder, {"toolbox.py": open("toolbox.py").read()})

def build_editable(folder, config_settings=None, metadata_directory=None):
    return _wheel(folder, {"toolbox.pth": os.getcwd() + "\\n"})
"""
PROJECT = """[build-system]
requires = ["tinybackend"]
build-backend = "tinybackend"
[project]
name = "toolbox"
version = "1.0"
"""


def write_project(code: Path, folder: str, requirement: str) -> None:
    """Add a package that must be built, its backend as a wheel, and a requirements.txt."""
    (code / folder).mkdir(exist_ok=True)
    (code / folder / "pyproject.toml").write_text(PROJECT)
    (code / folder / "toolbox.py").write_text("NAME = 'built'\n")
    info = "tinybackend-1.0.dist-info"
    with zipfile.ZipFile(code / "tinybackend-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinybackend.py", BACKEND)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinybackend\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    (code / "requirements.txt").write_text(f"--no-index\n--find-links .\n{requirement}\n")


@pytest.mark.parametrize(
    ("folder", "requirement"), [("lib", "./lib"), ("lib", "-e ./lib"), (".", ".")]
)
def test_packages_are_built(
    python: Installed, build: Build, folder: str, requirement: str, tmp_path: Path
) -> None:
    if requirement.startswith("-e") and python.interpreter.version < (3, 9):
        pytest.skip("the pip that comes with Python 3.8 knows no editable builds")
    code = code_folder(tmp_path)
    write_project(code, folder, requirement)
    show = "import toolbox; print(toolbox.NAME, toolbox.__file__)"
    commands = f"pip install -r requirements.txt && python -c '{show}'"
    assert "built /" in build(python, commands, code)


def test_pip_python_and_installed_scripts_work_in_commands(
    python: Installed, build: Build, tmp_path: Path
) -> None:
    code = code_folder(tmp_path)
    write_wheel(code)
    commands = (
        "python -m pip install -q -r requirements.txt"
        " && pip --version && pip3 list && greet && python -c ''"
    )
    output = build(python, commands, code)
    assert "greeting" in output
    assert "runtime-env/lib" in output.partition("hello from")[2]


def test_a_built_script_runs_after_the_code_has_moved(python: Installed, tmp_path: Path) -> None:
    code = code_folder(tmp_path)
    write_wheel(code)
    build_plainly(python, "", code)
    moved = code.rename(tmp_path / "moved")
    output = subprocess.run(
        [moved / "runtime-env/bin/greet"], capture_output=True, check=True
    ).stdout.decode()
    assert str(moved) in output


def test_only_the_promised_link_leads_out_of_the_code(python: Installed, tmp_path: Path) -> None:
    code = code_folder(tmp_path)
    place = Place(code=str(code), wrapper=str(python.wrapper), cache=str(tmp_path / "cache"))
    plan = python.build(place, commands="true", code=code)
    build_plainly(python, "true", code)
    links = {
        str(path.relative_to(code)): str(path.readlink())
        for path in code.rglob("*")
        if path.is_symlink()
    }
    assert {name: target for name, target in links.items() if "/" in target} == plan.links


def test_an_environment_that_came_along_is_made_again(python: Installed, tmp_path: Path) -> None:
    code = code_folder(tmp_path)
    stale = code / "runtime-env/lib/python3.1/site-packages"
    stale.mkdir(parents=True)
    build_plainly(python, "true", code)
    assert not stale.exists()


def test_the_environment_is_ready_at_once(python: Installed, tmp_path: Path) -> None:
    code = code_folder(tmp_path)
    began = time.monotonic()
    build_plainly(python, "true", code)
    assert time.monotonic() - began < patient(1.0)


def test_a_failing_command_fails_the_build(python: Installed, tmp_path: Path) -> None:
    code = code_folder(tmp_path)
    place = Place(code=str(code), wrapper=str(python.wrapper), cache=str(tmp_path / "cache"))
    plan = python.build(place, commands="echo begun; exit 7", code=code)
    assert (
        subprocess.run(
            plan.argv, cwd=code, env=plan.env, check=False, capture_output=True
        ).returncode
        == 7
    )


def test_packages_are_installed(node: Installed, build: Build, tmp_path: Path) -> None:
    code = code_folder(tmp_path)
    write_package(code)
    assert "added 1 package" in build(node, "", code)
    assert (code / "node_modules/greeting/index.js").is_file()
    assert any((tmp_path / "cache/npm").iterdir())


def test_npm_and_installed_programs_work_in_commands(
    node: Installed, build: Build, tmp_path: Path
) -> None:
    code = code_folder(tmp_path)
    write_package(code)
    output = build(node, "npm install && greeting && node --version && npx greeting", code)
    assert output.count("hello") == 2
    assert f"v{node.interpreter.version_text}" in output
