"""Families that a machine lacks: the list of runtimes, `minifn doctor` and a build say so.

Their programs cannot be taken away from a machine, so tables of runtimes are made without them.
"""

import asyncio
from collections.abc import Collection
from pathlib import Path

import httpx
import pytest

from minifn import Config, Minifn, doctor
from minifn.languages import RuntimeTable, RuntimeUnavailable
from minifn.languages.interpreters import Interpreter
from minifn.languages.manifest import load_families
from minifn.languages.table import default_root
from minifn.models import Deployment
from minifn.services.functions import FunctionSettings
from tests.packing import packed_files
from tests.runtimes.contract.site import deployed

FAMILIES = load_families(default_root())
#: Families that have a wrapper and need a program of the machine.
ABLE = [key for key, family in FAMILIES.items() if family.interpreter]
#: Families that are known by name alone.
NAMES = [key for key, family in FAMILIES.items() if not family.start and not family.like]


def without(keys: Collection[str]) -> RuntimeTable:
    """Return the table of a machine that has every family but these."""
    program = Interpreter(path=Path("/opt/x/bin/program"), version=(99, 0))
    found = {key: () if key in keys else (program,) for key in ABLE}
    return RuntimeTable(FAMILIES, found, default_root())


def newest(key: str) -> str:
    return FAMILIES[key].runtimes()[-1].id


@pytest.mark.parametrize("key", ABLE)
def test_a_hidden_family_is_not_listed_and_names_its_remedy(key: str) -> None:
    table = without([key])
    needing = {other for other, family in FAMILIES.items() if key in family.needs.values()}
    like = {other for other, family in FAMILIES.items() if family.like == key}
    listed = {runtime.key for runtime in table.runnable()}
    assert listed.isdisjoint({key, *needing, *like})
    assert {*ABLE} - {key, *needing} <= listed
    states = {check.name: check for check in doctor.check_runtimes(table)}
    for hidden in (key, *needing):
        assert (states[hidden].state, states[hidden].fatal) == ("OFF", False)
        assert FAMILIES[key].hint in states[hidden].remedy
        with pytest.raises(RuntimeUnavailable) as raised:
            table.resolve(newest(hidden))
        assert f"To get it: {FAMILIES[key].hint}." in str(raised.value)
    assert {check.state for name, check in states.items() if name in listed} == {"ON"}


@pytest.mark.parametrize("key", NAMES)
def test_a_known_name_says_what_is_missing(key: str) -> None:
    with pytest.raises(RuntimeUnavailable) as raised:
        without([]).resolve(newest(key))
    message = str(raised.value)
    assert FAMILIES[key].name in message
    assert FAMILIES[key].hint in message
    assert "\n" not in message


def test_builds_on_a_machine_without_any_family(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare = without(ABLE)
    monkeypatch.setattr(RuntimeTable, "load", lambda *_, **__: bare)
    states = {check.name: check for check in doctor.check_runtimes(bare)}
    assert all(states[key].fatal for key in ABLE)

    async def run() -> None:
        async with Minifn(Config(data=tmp_path / "data", sandbox="none")) as server:
            assert await listed(server) == []
            for key in (*ABLE, *NAMES, *(one for one in FAMILIES if FAMILIES[one].like)):
                last = (await built(server, key)).build_logs.splitlines()[-1]
                assert FAMILIES[key].name in last
                # The family that it needs is named first.
                first = next(iter(FAMILIES[key].needs.values()), FAMILIES[key].like or key)
                assert FAMILIES[first].hint in last

    asyncio.run(run())


async def listed(server: Minifn) -> list[str]:
    """Return the ids that the API lists."""
    headers = {"x-appwrite-project": server.config.project, "x-appwrite-key": server.admin_key}
    transport = httpx.ASGITransport(server.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/v1/functions/runtimes", headers=headers)
    assert answer.status_code == 200, answer.text
    return [one["$id"] for one in answer.json()["runtimes"]]


async def built(server: Minifn, key: str) -> Deployment:
    """Return a deployment of a family's newest runtime, whose build has failed."""
    settings = FunctionSettings(name=key, runtime=newest(key), entrypoint="main.x")
    await server.functions.create(key, settings)
    deployment = await deployed(server, key, packed_files({"main.x": "text"}))
    assert deployment.status == "failed", deployment.build_logs
    return deployment
