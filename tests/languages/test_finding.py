"""Finding toolchains: programs of each kind, their roots, and what changes while a server runs."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn.languages import Interpreter, Place, RuntimeTable, RuntimeUnavailable, finding
from minifn.languages.finding import Search
from minifn.languages.manifest import Finder
from minifn.languages.table import default_search_path
from tests.languages.new_family import COMPILER, MANIFEST, install_compiler, write_family


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def find(finder: Finder, search_path: str = "/nowhere") -> tuple[Interpreter, ...]:
    return Search(search_path).find({"it": finder})["it"]


def echo_finder(**changes: object) -> Finder:
    values = {"names": ("echo-lang",), "version": ("--version",), "oldest": "1", **changes}
    return Finder(**values)  # type: ignore[arg-type]


def echo_table(root: Path, search_path: str) -> RuntimeTable:
    return RuntimeTable.load(root, search_path=search_path)


def test_scripts_count_when_the_manifest_says_so(tmp_path: Path) -> None:
    program = install_compiler(tmp_path / "bin")
    assert find(echo_finder(), str(tmp_path / "bin")) == ()
    (found,) = find(echo_finder(scripts=True), str(tmp_path / "bin"))
    assert (found.path, found.version) == (program, (2, 5, 1))


def test_an_archive_is_known_by_its_version_file_and_runs_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "kit/lib/compiler.jar"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"PK")
    (tmp_path / "kit/build.txt").write_text("2.4.0-release-281\n")
    finder = Finder(
        names=("compiler.jar",),
        places=(f"{tmp_path}/*/lib",),
        scripts=True,
        holds="lib/compiler.jar",
        prefix=2,
        shows=("lib", "missing"),
        version_file="build.txt",
        oldest="2",
    )
    (found,) = find(finder)
    assert (found.version, found.prefix) == ((2, 4, 0), tmp_path / "kit")
    assert found.binds == (tmp_path / "kit/lib",)
    (tmp_path / "kit/lib/compiler.jar").rename(tmp_path / "kit/lib/other")
    assert find(finder) == ()


def test_a_program_without_its_library_is_no_toolchain(tmp_path: Path) -> None:
    install_compiler(tmp_path / "proxies/bin")
    install_compiler(tmp_path / "real/bin")
    (tmp_path / "real/src").mkdir()
    finder = echo_finder(places=(f"{tmp_path}/*/bin",), scripts=True, holds="src", shows=(".",))
    (found,) = find(finder)
    assert found.binds == (tmp_path / "real",)


@pytest.mark.parametrize(
    ("levels", "prefix", "binds"),
    [
        (None, "kit", ["kit/bin"]),
        (1, "kit/bin", ["kit/bin/tool"]),
        (0, "kit/bin", ["kit/bin/tool"]),
    ],
)
def test_the_root_of_a_toolchain(
    levels: int | None, prefix: str, binds: list[str], tmp_path: Path
) -> None:
    program = script(tmp_path / "kit/bin/tool", COMPILER)
    found = Interpreter(path=program, version=(1,), levels=levels)
    assert found.prefix == tmp_path / prefix
    assert found.binds == tuple(tmp_path / path for path in binds)


def test_a_virtual_environment_shows_nothing_but_the_program(tmp_path: Path) -> None:
    program = install_compiler(tmp_path / "venv/bin")
    (tmp_path / "venv/lib").mkdir()
    (tmp_path / "venv/pyvenv.cfg").touch()
    assert Interpreter(path=program, version=(1,), shows=(".",)).binds == (program,)


def test_builds_find_a_program_under_another_name(tmp_path: Path) -> None:
    program = script(tmp_path / f"{platform.machine()}-linux-gnu-g++-12", COMPILER)
    script(tmp_path / "other-linux-gnu-g++-12", COMPILER)
    (tmp_path / "g++").symlink_to(program)
    names = (r"({machine}-linux-gnu-)?g\+\+(-\d{2})?",)
    finder = echo_finder(names=names, scripts=True, tool="g++")
    (found,) = find(finder, str(tmp_path))
    assert found.links == {"g++": program}
    own = script(tmp_path / "own/g++", COMPILER)
    assert Interpreter(path=own, version=(1,), tool="g++").links == {}


def test_environments_and_packages_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = tmp_path / "venv"
    site = venv / "lib/python3.12/site-packages"
    modules = tmp_path / "global/lib/node_modules"
    for place in (venv / "bin", site / "go/bin", modules / "bun/bin", tmp_path / "cwd"):
        place.mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    (tmp_path / "global/bin").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    search = default_search_path([str(venv), str(tmp_path / "global/bin")])
    for place in (venv / "bin", site / "go/bin", modules / "bun/bin"):
        program = install_compiler(place)
        places = ("{venv}/bin", "{site}/go/bin", "{node_modules}/bun/bin")
        (found,) = find(echo_finder(places=places, scripts=True), search)
        assert found.path == program
        program.unlink()


def test_own_environment_and_packages_beside_it_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setenv("KITS", str(tmp_path / "kits"))
    for place in ("venv/bin", "node_modules/kit", "kits/one/bin"):
        program = install_compiler(tmp_path / place)
        places = ("{venv}/bin", "{node_modules}/kit", "$KITS/*/bin", "$UNSET/bin")
        (found,) = find(echo_finder(places=places, scripts=True))
        assert found.path == program
        program.unlink()


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A directory that this user cannot enter; the tests of root become another user for it."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(20_301)
    yield folder
    os.seteuid(user)


def test_closed_directories_are_passed_over(closed: Path) -> None:
    places = ("{venv}/bin", "{site}/x", "{node_modules}/x", f"{closed}/*/bin", f"{closed}/bin")
    finder = echo_finder(places=places, scripts=True, holds="x")
    assert find(finder, f"{closed}/bin:{closed}") == ()


def test_a_working_directory_that_is_gone_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert find(echo_finder(places=("{node_modules}/x",))) == ()


def test_runtime_paths_come_before_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("MINIFN_RUNTIME_PATHS", "/opt/one,/opt/two")
    assert default_search_path() == "/opt/one:/opt/one/bin:/opt/two:/opt/two/bin:/usr/bin"
    assert default_search_path(()) == "/usr/bin"


def test_a_probe_gets_the_root_directory_and_few_variables(tmp_path: Path) -> None:
    text = '#!/bin/sh\n[ "$PWD$HOME$WANTED" = "/yes" ] && echo 3.1\n'
    script(tmp_path / "echo-lang", text)
    assert find(echo_finder(scripts=True), str(tmp_path)) == ()
    (found,) = find(echo_finder(scripts=True, env={"WANTED": "yes"}), str(tmp_path))
    assert found.version == (3, 1)


def test_a_slow_program_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(finding, "ASK_AGAIN_SECONDS", 0.0)
    text = f"#!/bin/sh\n[ -e {tmp_path}/fast ] || sleep 60\necho 2.0\n"
    script(tmp_path / "echo-lang", text)
    search = Search(str(tmp_path))
    finders = {"it": echo_finder(scripts=True)}
    assert search.find(finders) == {"it": ()}
    (tmp_path / "fast").touch()
    monkeypatch.setattr(finding, "PROBE_SECONDS", 10.0)
    assert len(search.find(finders)["it"]) == 1


def test_a_slow_program_is_not_asked_at_each_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "PROBE_SECONDS", 0.5)
    script(tmp_path / "echo-lang", f"#!/bin/sh\necho >> {tmp_path}/asked\nexec sleep 60\n")
    search = Search(str(tmp_path))
    for _ in range(3):
        assert search.find({"it": echo_finder(scripts=True)}) == {"it": ()}
    assert (tmp_path / "asked").read_text() == "\n"


def test_a_known_program_is_not_asked_again_until_it_changes(tmp_path: Path) -> None:
    text = f"#!/bin/sh\necho >> {tmp_path}/asked\necho 2.0\n"
    script(tmp_path / "echo-lang", text)
    search = Search(str(tmp_path))
    finders = {"it": echo_finder(scripts=True)}
    for _ in range(2):
        assert search.find(finders)["it"][0].version == (2, 0)
    assert (tmp_path / "asked").read_text() == "\n"
    script(tmp_path / "echo-lang", text.replace("2.0", "2.10"))
    assert search.find(finders)["it"][0].version == (2, 10)


@pytest.mark.parametrize("damage", [b"", b"[[[", b"[[1, 2]]"])
def test_the_next_start_asks_only_what_is_new(damage: bytes, tmp_path: Path) -> None:
    script(tmp_path / "echo-lang", f"#!/bin/sh\necho >> {tmp_path}/asked\necho 2.0\n")
    finders = {"it": echo_finder(scripts=True)}
    memory = tmp_path / "versions.json"
    for asked in ("\n", "\n"):
        assert Search(str(tmp_path), memory).find(finders)["it"][0].version == (2, 0)
        assert (tmp_path / "asked").read_text() == asked
    memory.write_bytes(damage)
    assert Search(str(tmp_path), memory).find(finders)["it"][0].version == (2, 0)
    assert (tmp_path / "asked").read_text() == "\n\n"


def test_programs_without_a_version_or_a_file_are_not_remembered(tmp_path: Path) -> None:
    memory = tmp_path / "cache/versions.json"
    good, bad = tmp_path / "good", tmp_path / "bad"
    script(good / "echo-lang", f"#!/bin/sh\necho >> {tmp_path}/asked\necho 2.0\n")
    script(bad / "echo-lang", f"#!/bin/sh\necho >> {tmp_path}/failed\nexit 1\n")
    finders = {"it": echo_finder(scripts=True)}
    for failures in ("\n", "\n\n"):
        for folder in (good, bad):
            Search(str(folder), memory).find(finders)
        assert (tmp_path / "failed").read_text() == failures
    assert (tmp_path / "asked").read_text() == "\n"
    assert str(good) in memory.read_text()
    shutil.rmtree(good)
    Search(str(bad), memory).find(finders)
    assert memory.read_text() == "[]"


def test_versions_are_remembered_for_each_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert finding.own_memory() == tmp_path / ".cache/minifn/versions.json"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert finding.own_memory() == tmp_path / "elsewhere/minifn/versions.json"
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    assert finding.own_memory() is None
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    assert finding.own_memory() is None


def test_without_a_place_to_remember_programs_are_asked_each_time(tmp_path: Path) -> None:
    script(tmp_path / "echo-lang", "#!/bin/sh\necho 2.0\n")
    (tmp_path / "cache").touch()
    for _ in range(2):
        search = Search(str(tmp_path), tmp_path / "cache/versions.json")
        assert search.find({"it": echo_finder(scripts=True)})["it"][0].version == (2, 0)


def test_a_family_installed_later_appears_and_one_removed_disappears(tmp_path: Path) -> None:
    write_family(tmp_path / "runtimes")
    tools = tmp_path / "tools"
    table = echo_table(tmp_path / "runtimes", str(tools))
    with pytest.raises(RuntimeUnavailable, match=r"No Echo was found.*MINIFN_RUNTIME_PATHS"):
        table.resolve("echo-2.5")
    before = table.changes
    install_compiler(tools)
    table.look("echo-2.5")
    assert table.changes == before + 1
    assert table.resolve("echo-1.0").interpreter.version == (2, 5, 1)
    table.look("echo-2.5")
    assert table.changes == before + 1
    shutil.rmtree(tools)
    table.look("echo-2.5")
    assert table.runnable() == ()


def test_all_families_are_looked_for_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_family(tmp_path / "runtimes")
    table = echo_table(tmp_path / "runtimes", str(tmp_path / "tools"))
    install_compiler(tmp_path / "tools")
    table.look()
    assert table.runnable() == ()
    monkeypatch.setattr("minifn.languages.table.LOOK_SECONDS", 0.0)
    table.look()
    assert [runtime.id for runtime in table.runnable()] == ["echo-2.5"]


def test_a_family_without_one_that_it_needs_says_so(tmp_path: Path) -> None:
    root = tmp_path / "runtimes"
    finder = {**MANIFEST["interpreter"], "names": ["base-lang"]}
    write_family(root, "base", key="base", name="Base", hint="get it", interpreter=finder)
    write_family(root, needs={"java": "base"}, start=["{java}", "{java_prefix}"])
    install_compiler(tmp_path / "tools")
    table = echo_table(root, str(tmp_path / "tools"))
    with pytest.raises(RuntimeUnavailable, match=r"No Base was found.*Echo needs.*get it"):
        table.resolve("echo-2.5")
    assert table.runnable() == ()
    assert "get it" in table.hint("echo")
    base = script(tmp_path / "kit/bin/base-lang", COMPILER)
    installed = echo_table(root, f"{tmp_path}/tools:{tmp_path}/kit/bin").resolve("echo-2.5")
    assert base.parent in installed.binds
    start = installed.start(Place(code="/fn", wrapper="/runtime"))
    assert start.argv == (str(base), str(base.parent))
    assert str(base.parent) in start.env["PATH"].split(":")
