"""The table of runtimes: all runtimes, those of a machine, and the commands that start them."""

import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from minifn.languages import Interpreter, Place, RuntimeTable, RuntimeUnavailable
from minifn.languages.finding import Search
from minifn.languages.interpreters import parse_version
from minifn.languages.manifest import Finder, load_families
from minifn.languages.table import default_root
from tests.languages.new_family import install_compiler, write_family

PLACE = Place(code="/fn", wrapper="/runtime", common="/common", cache="/cache")
#: The ids of Appwrite 1.6 (src/Runtimes/Runtimes.php of appwrite/runtimes 0.16) and what 1.9 adds.
IDS_1_6 = """
node-14.5 node-16.0 node-18.0 node-19.0 node-20.0 node-21.0 node-22 php-8.0 php-8.1 php-8.2 php-8.3
ruby-3.0 ruby-3.1 ruby-3.2 ruby-3.3 python-3.8 python-3.9 python-3.10 python-3.11 python-3.12
python-ml-3.11 deno-1.21 deno-1.24 deno-1.35 deno-1.40 deno-1.46 deno-2.0 dart-2.15 dart-2.16
dart-2.17 dart-2.18 dart-3.0 dart-3.1 dart-3.3 dart-3.5 dotnet-6.0 dotnet-7.0 dotnet-8.0 java-8.0
java-11.0 java-17.0 java-18.0 java-21.0 java-22 swift-5.5 swift-5.8 swift-5.9 swift-5.10 kotlin-1.6
kotlin-1.8 kotlin-1.9 kotlin-2.0 cpp-17 cpp-20 bun-1.0 bun-1.1 go-1.23 static-1 flutter-3.24
"""
#: Those of the SDKs of Appwrite 2, too.
IDS_LATER = """
node-26 bun-1.4 dart-3.12 dart-3.13 flutter-3.44 flutter-3.47 dotnet-3.1
"""
IDS_1_9 = """
node-23 node-24 node-25 php-8.4 ruby-3.4 ruby-4.0 python-3.13 python-3.14 python-ml-3.12
python-ml-3.13 deno-2.5 deno-2.6 dart-2.19 dart-3.8 dart-3.9 dart-3.10 dart-3.11 dotnet-10 java-25
swift-6.2 kotlin-2.3 bun-1.2 bun-1.3 go-1.24 go-1.25 go-1.26 rust-1.83 flutter-3.27 flutter-3.29
flutter-3.32 flutter-3.35 flutter-3.38 flutter-3.41
"""


def interpreter(version: str, path: str = "") -> Interpreter:
    return Interpreter(
        path=Path(path or f"/opt/{version}/bin/program"), version=parse_version(version)
    )


def find_interpreters(finder: Finder, search_path: str) -> tuple[Interpreter, ...]:
    return Search(search_path).find({"it": finder})["it"]


def table(**versions: str) -> RuntimeTable:
    """Return a table of a machine that has just these interpreters: `python="3.9.1 3.11.2"`."""
    found = {
        key: tuple(interpreter(one) for one in versions.get(key, "").split())
        for key in ("node", "python")
    }
    return RuntimeTable(load_families(default_root()), found, default_root())


@pytest.fixture(scope="module")
def here() -> RuntimeTable:
    return RuntimeTable.load()


def test_the_list_is_appwrites() -> None:
    assert {runtime.id for runtime in table().all()} == {
        *IDS_1_6.split(),
        *IDS_1_9.split(),
        *IDS_LATER.split(),
    }


def test_a_runtime_has_appwrites_fields() -> None:
    runtime = table().get("node-18.0")
    assert runtime is not None
    assert (runtime.key, runtime.name, runtime.version) == ("node", "Node.js", "18.0")
    assert (runtime.image, runtime.logo) == ("openruntimes/node:v5-18.0", "node.png")
    assert set(runtime.supports) <= {"x86", "arm64", "armv7", "armv8"}


@pytest.mark.parametrize(
    ("runtime_id", "found", "chosen"),
    [
        ("python-3.11", "3.9.1 3.11.2 3.12.1", "3.11.2"),
        ("python-3.10", "3.9.1 3.11.2 3.12.1", "3.11.2"),
        ("python-3.14", "3.9.1 3.11.2", "3.11.2"),
        ("python-ml-3.12", "3.12.4", "3.12.4"),
        ("node-18.0", "18.20.4 20.1.0", "18.20.4"),
        ("node-16.0", "20.1.0 18.20.4", "18.20.4"),
        ("node-22", "18.20.4 20.1.0", "20.1.0"),
    ],
)
def test_the_version_asked_for_or_the_nearest(runtime_id: str, found: str, chosen: str) -> None:
    installed = table(**{runtime_id.split("-")[0]: found}).resolve(runtime_id)
    assert installed.interpreter.version_text == chosen
    exact = chosen.startswith(installed.runtime.version.removesuffix(".0"))
    assert (installed.note == "") == exact
    assert exact or chosen in installed.note


@pytest.mark.parametrize(
    ("runtime_id", "says"),
    [
        ("python-3.11", "pyenv"),
        ("dart-3.1", "no wrapper for Dart.*install the Dart SDK"),
        ("cobol-1", "cobol-1"),
    ],
)
def test_an_unavailable_runtime_names_the_remedy(runtime_id: str, says: str) -> None:
    with pytest.raises(RuntimeUnavailable, match=says):
        table(node="20.1.0").resolve(runtime_id)


def test_runnable_are_exact_versions_or_the_newest_name() -> None:
    assert [runtime.id for runtime in table(node="18.1.0 22.0.0").runnable()] == [
        "node-18.0",
        "node-22",
    ]
    assert [runtime.id for runtime in table(node="26.0.0").runnable()] == ["node-26"]
    assert table().runnable() == ()


def test_this_servers_python_is_found(here: RuntimeTable) -> None:
    versions = {one.version for one in here.interpreters["python"]}
    assert sys.version_info[:3] in versions
    assert f"python-{sys.version_info[0]}.{sys.version_info[1]}" in {
        runtime.id for runtime in here.runnable()
    }


def test_only_programs_count_and_links_lead_to_them(tmp_path: Path) -> None:
    real = Path(sys.executable).resolve()
    shims, links = tmp_path / "shims", tmp_path / "links"
    for folder in (shims, links):
        folder.mkdir()
    (shims / "python3.11").write_text("#!/bin/sh\necho 3.11.9\n")
    (shims / "python3.11").chmod(0o755)
    (links / "python3").symlink_to(real)
    (links / "python3-config").symlink_to(real)
    finder = Finder(names=("python3", r"python3\.\d+"), version=("--version",), oldest="3.8")
    (found,) = find_interpreters(finder, search_path=f"{shims}:{links}:{tmp_path / 'none'}")
    assert (found.path, found.version) == (real, sys.version_info[:3])


def test_too_old_or_broken_programs_are_left_out(tmp_path: Path) -> None:
    finder = Finder(names=("true",), version=(), oldest="1")
    shutil.copy("/bin/true", tmp_path / "true")
    assert find_interpreters(finder, search_path=str(tmp_path)) == ()
    real = Path(sys.executable).resolve()
    newer = Finder(names=(real.name,), version=("--version",), oldest="4")
    assert find_interpreters(newer, search_path=str(real.parent)) == ()


def test_a_home_directory_is_never_shown_to_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in ("bin", "lib", "share", ".local/bin", ".local/lib", ".local/share"):
        (tmp_path / folder).mkdir(parents=True)
    at_home = interpreter("20.1.0", f"{tmp_path}/bin/node")
    assert at_home.binds == (tmp_path / "bin/node",)
    below = interpreter("20.1.0", f"{tmp_path}/.local/bin/node")
    assert below.binds == (tmp_path / ".local/bin", tmp_path / ".local/lib")
    assert interpreter("20.1.0", "/usr/local/bin/node").binds == ()


def test_public_tables_hold_interpreters_that_every_user_can_run(tmp_path: Path) -> None:
    program = Path(shutil.copy("/bin/true", tmp_path))
    tmp_path.chmod(0o700)
    private = msgspec.structs.replace(interpreter("3.11.2"), path=program)
    system = msgspec.structs.replace(interpreter("3.10.1"), path=Path("/bin/true").resolve())
    gone = msgspec.structs.replace(interpreter("3.11.3"), path=Path("/no/such/bin/python3"))
    root = default_root()
    found = {"python": (system, private, gone), "node": ()}
    public = RuntimeTable(load_families(root), found, root).public(tmp_path / "wrappers")
    assert public.interpreters["python"] == (system,)
    wrapper = public.resolve("python-3.11").wrapper
    assert wrapper == tmp_path / "wrappers/python"
    assert {path.stat().st_mode & 0o777 for path in wrapper.iterdir()} <= {0o755, 0o644}


def test_copies_of_wrappers_stay_executable(tmp_path: Path) -> None:
    root = tmp_path / "runtimes"
    write_family(root)
    (root / "echo/server.sh").chmod(0o700)
    RuntimeTable(load_families(root), {}, root).public(tmp_path / "copies")
    for name, mode in (("server.sh", 0o755), ("manifest.json", 0o644), ("starter", 0o755)):
        assert (tmp_path / "copies/echo" / name).stat().st_mode & 0o777 == mode


def test_words_are_filled_once_and_others_stay() -> None:
    python = table(python="3.11.2").resolve("python-3.11")
    words = ("{prefix}", "{version}", "{heap_mb}/{memory_mb}", "{entrypoint}", "{unknown}", "{tmp}")
    family = msgspec.structs.replace(
        python.family, start=words, compile=words, env={"A": "{code}"}, worker_env={"B": "{tmp}"}
    )
    place = msgspec.structs.replace(PLACE, tmp="/tmp", scratch="/scratch")
    installed = msgspec.structs.replace(python, family=family)
    start = installed.start(
        msgspec.structs.replace(place, scratch=""), entrypoint="{code}/x", memory_mb=1024
    )
    assert start.argv == ("/opt/3.11.2", "3.11", "832/1024", "{code}/x", "{unknown}", "/tmp")
    assert start.defaults == {"LANG": "C.UTF-8", "A": "/fn", "B": "/tmp"}
    plan = installed.build(place, commands="", code=Path("/nowhere"), entrypoint="a", memory_mb=512)
    assert plan.compile == ("/opt/3.11.2", "3.11", "320/512", "a", "{unknown}", "/scratch")
    assert (plan.argv, plan.env["A"]) == ((), "/fn")


def test_starting_a_worker() -> None:
    python = table(python="3.11.2").resolve("python-3.11").start(PLACE)
    assert python.argv == ("/opt/3.11.2/bin/program", "-S", "/runtime/server.py")
    assert python.env["MINIFN_CODE"] == "/fn"
    assert python.env["PATH"] == "/fn/runtime-env/bin:/opt/3.11.2/bin:/usr/local/bin:/usr/bin:/bin"
    node = table(node="20.1.0").resolve("node-20.0").start(PLACE)
    assert node.argv[1:] == ("/runtime/server.cjs", "/common")


def test_memory_that_a_version_reserves_is_allowed_on_top() -> None:
    old, new = (table(node=version).resolve("node-20.0") for version in ("22.23.3", "24.0.0"))
    assert old.memory_allowance_mb == 0
    assert new.memory_allowance_mb > 512


def test_a_function_that_needs_nothing_runs_no_build_command(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"type": "module", "dependencies": {}}')
    installed = table(node="20.1.0")
    plan = installed.resolve("node-20.0").build(PLACE, commands=" \n", code=tmp_path)
    assert (plan.argv, plan.notes) == ((), ())


@pytest.mark.parametrize(
    ("runtime_id", "file", "content", "command"),
    [
        ("python-3.11", "requirements.txt", "six\n", "pip install -r requirements.txt"),
        ("python-3.11", "pyproject.toml", "[project]\nname = 'f'\n", "python /runtime/project.py"),
        (
            "python-3.11",
            "pyproject.toml",
            "[tool.poetry]\nname = 'f'\n",
            "python /runtime/project.py",
        ),
        ("python-3.11", "pyproject.toml", "[tool", "python /runtime/project.py"),
        ("node-20.0", "package.json", '{"dependencies": {"ms": "2"}}', "npm install --omit=dev"),
        ("node-20.0", "package.json", "{ broken", "npm install --omit=dev"),
    ],
)
def test_dependencies_are_installed_without_commands(
    tmp_path: Path, runtime_id: str, file: str, content: str, command: str
) -> None:
    (tmp_path / file).write_text(content)
    installed = table(node="20.1.0", python="3.11.2").resolve(runtime_id)
    plan = installed.build(PLACE, commands="", code=tmp_path)
    assert plan.argv[-2:] == ("-c", command)
    assert plan.notes == (f"The function has no build commands and a {file}: running `{command}`.",)


@pytest.mark.parametrize(
    "content", ["[tool.ruff]\nline-length = 100\n", "", "project = 5\ntool = []\n"]
)
def test_a_pyproject_that_describes_no_project_needs_no_command(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(content)
    plan = table(python="3.11.2").resolve("python-3.11").build(PLACE, commands="", code=tmp_path)
    assert (plan.argv == ()) is not content.startswith("project")


def test_node_gets_its_memory_limit_and_the_function_may_override_it() -> None:
    node = table(node="20.1.0").resolve("node-20.0")
    assert node.options(512, {}) == {"NODE_OPTIONS": "--max-old-space-size=320"}
    own = {"NODE_OPTIONS": "--max-old-space-size=99 --trace-uncaught", "OTHER": "1"}
    assert node.options(4096, own) == {
        "NODE_OPTIONS": f"--max-old-space-size=3584 {own['NODE_OPTIONS']}"
    }
    assert table(python="3.11.2").resolve("python-3.11").options(512, own) == {}


def test_dependencies_that_came_along_are_not_installed_again(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"dependencies": {"ms": "2"}}')
    (tmp_path / "node_modules").mkdir()
    assert (
        table(node="20.1.0").resolve("node-20.0").build(PLACE, commands="", code=tmp_path).argv
        == ()
    )


def test_a_functions_own_command_wins_and_python_prepares_for_it(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six\n")
    plan = (
        table(python="3.10.1")
        .resolve("python-3.9")
        .build(PLACE, commands="make 'a b'", code=tmp_path)
    )
    assert plan.argv[:5] == (
        "/opt/3.10.1/bin/program",
        "-I",
        "-S",
        "/runtime/prepare.py",
        "/fn/runtime-env",
    )
    assert plan.argv[-2:] == ("-c", "make 'a b'")
    assert len(plan.notes) == 1
    assert "3.10.1" in plan.notes[0]
    assert plan.links == {"runtime-env/bin/python": "/opt/3.10.1/bin/program"}
    assert plan.env["PIP_CACHE_DIR"] == "/cache/pip"


def test_wrappers_lie_beside_their_manifests() -> None:
    for family in load_families(default_root()).values():
        for word in (*family.start, *family.prepare, *family.check):
            if word.startswith("{wrapper}/"):
                assert (default_root() / family.key / word.removeprefix("{wrapper}/")).is_file()
        assert (default_root() / (family.like or family.key)).is_dir()


def test_paths_of_the_machine_are_shown_unless_they_always_are(tmp_path: Path) -> None:
    jar = tmp_path / "one.jar"
    jar.touch()
    patterns = [f"{tmp_path}/*.jar", "/usr/bin/env", "/etc/none-*"]
    root = tmp_path / "runtimes"
    write_family(root, system_paths=patterns)
    program = install_compiler(tmp_path / "tools")
    names = set()
    for text in ("", "changed"):
        jar.write_text(text)
        installed = RuntimeTable.load(root, search_path=str(program.parent)).resolve("echo-2.5")
        assert installed.binds == (program.parent, jar)
        names.add(installed.cache_name)
    assert len(names) == 2
