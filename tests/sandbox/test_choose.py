"""The choice of an engine and the report of its protections, on this machine."""

import asyncio
import importlib.util
import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox import choose as choose_module, programs
from minifn.sandbox.choose import choose, last_line
from minifn.sandbox.command import EngineUnavailable, NetworkUnavailable
from minifn.sandbox.engines.argv import Programs
from minifn.sandbox.programs import host_layout
from minifn.sandbox.protections import judge, protections
from minifn.sandbox.spawner import Spawner

HELD = {
    "Uid": ["1000 1000 1000 1000"],
    "CapEff": ["0000000000000000"],
    "NoNewPrivs": ["1"],
    "Seccomp": ["2"],
    "seen": ["4"],
    "data": ["262144"],
}


def chosen(name: str, place: DataDir) -> str:
    async def main() -> str:
        async with Spawner(place.run) as spawner:
            return (await choose(name, spawner, place)).name

    return asyncio.run(main())


def test_auto_takes_the_strongest(place: DataDir, bwrap: str) -> None:
    assert chosen("auto", place) == "bwrap"
    assert stat.S_IMODE(place.root.stat().st_mode) == 0o700


def test_auto_falls_back(place: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_module, "find_bwrap", lambda: "/bin/false")
    monkeypatch.setattr(choose_module, "find_package", lambda: Path("/nowhere"))
    assert chosen("auto", place) == "process"


@pytest.mark.usefixtures("sandlock")
def test_sandlock_is_not_used_where_the_shell_loses_forks(
    place: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    dash = shutil.which("dash")
    if dash is None:
        pytest.skip("dash is not on PATH")
    monkeypatch.setattr(choose_module, "SHELL", dash)
    try:
        chosen("sandlock", place)
    except EngineUnavailable as error:
        assert re.search(r"dash loses forks \(#235\) unless it is bash", str(error))  # noqa: PT017
    else:
        pytest.skip("this dash loses no forks, as since Debian 13")
    monkeypatch.setattr(choose_module, "find_bwrap", lambda: "")
    assert chosen("auto", place) == "process"


@pytest.mark.usefixtures("sandlock")
def test_auto_falls_back_on_sandlock(place: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_module, "find_bwrap", lambda: "/bin/false")
    assert chosen("auto", place) == "sandlock"


def test_a_named_engine_fails_closed(place: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_module, "find_bwrap", lambda: "/bin/false")
    with pytest.raises(EngineUnavailable, match="bwrap does not run here: exit 1"):
        chosen("bwrap", place)
    monkeypatch.setattr(choose_module, "find_bwrap", lambda: "")
    with pytest.raises(EngineUnavailable, match="apt install bubblewrap"):
        chosen("bwrap", place)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EngineUnavailable, match=r"pip install minifn\[sandlock\]"):
        chosen("sandlock", place)


def test_root_never_runs_functions_as_root(place: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid():
        pytest.skip("only a root server drops to a uid per function: run the tests as root too")
    monkeypatch.setattr(choose_module, "find_programs", Programs)
    monkeypatch.setattr(choose_module, "find_bwrap", lambda: "/usr/bin/bwrap")
    for name in ("bwrap", "process"):
        with pytest.raises(EngineUnavailable, match="setpriv"):
            chosen(name, place)


def test_a_network_of_its_own_needs_pasta_and_a_plain_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SEARCH_PATH", "")
    wanted = "apt install passt" if os.geteuid() else "a server that is not root"
    with pytest.raises(NetworkUnavailable, match=wanted):
        programs.find_pasta()


def test_functions_can_pass_to_their_code_and_list_nothing(place: DataDir) -> None:
    if os.geteuid():
        pytest.skip("only a root server drops to a uid per function: run the tests as root too")
    assert chosen("process", place) == "process"
    for path in (place.root, place.builds, place.run):
        assert stat.S_IMODE(path.stat().st_mode) == 0o711
    for path in (place.deployments, place.repositories, place.run / "processes"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize(("engine", "held"), [("bwrap", True), ("process", False)])
def test_protections_are_seen_from_inside(
    place: DataDir, engine: str, held: bool, request: pytest.FixtureRequest
) -> None:
    if engine == "bwrap":
        request.getfixturevalue("bwrap")

    async def main() -> dict[str, str]:
        async with Spawner(place.run) as spawner:
            return {one.name: one.state for one in await protections(spawner, place, engine)}

    states = asyncio.run(main())
    assert states["other processes"] == ("ON" if held else "OFF")
    assert states["privileges"] == states["server's files"] == "ON"
    assert states["memory"] == "DEGRADED"


def test_a_protection_that_was_not_observed_is_not_on() -> None:
    assert {one.name for one in judge("bwrap", HELD) if one.state != "ON"} == {"memory", "network"}
    for change, name in (
        ({"seen": ["90"]}, "other processes"),
        ({"reads": ["/x"]}, "server's files"),
        ({"seen": ["90"], "Uid": [f"{os.geteuid()} 0 0 0"], "truncates": ["x"]}, "server's files"),
        ({"seen": ["90"], "signals": ["1"]}, "signals"),
        ({"writes": ["/usr"]}, "disk"),
        ({"NoNewPrivs": ["0"]}, "privileges"),
        ({"CapEff": ["00000000000000c0"]}, "privileges"),
        ({"Seccomp": ["0"]}, "system calls"),
        ({"nests": ["yes"]}, "namespaces"),
    ):
        found = {one.name: one for one in judge("bwrap", {**HELD, **change})}
        assert found[name].state != "ON", name
        assert found[name].reason
        assert found[name].remedy
    assert all(
        one.state != "ON"
        for one in judge("bwrap", {})
        if one.name in ("privileges", "system calls")
    )


def test_layout_follows_the_hosts_links(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "lib").mkdir()
    layout = host_layout(tmp_path)
    assert layout.links == (("usr/bin", "/bin"),)
    assert layout.visible[:2] == ("/usr", "/lib")
    assert "/etc" not in layout.visible


def test_last_line() -> None:
    assert last_line("a\nb: failed\n\n") == "b: failed"
    assert last_line("") == ""
