"""`minifn deployments`, `activate` and `rollback`."""

import json

import pytest

from tests.cli.conftest import Here
from tests.packing import packed_files
from tests.serving import Api, Server


def code(version: int) -> bytes:
    return packed_files(
        {"main.py": f"def main(context):\n    return context.res.text('{version}')\n"}
    )


@pytest.fixture(scope="module")
def versions(server: Server) -> list[str]:
    """The ids of three deployments of a function: ready, failed, ready and active."""
    with server.api as api:
        api.create("versions", api.runtime("python"), entrypoint="main.py")
        first = api.deploy("versions", code(1))["$id"]
        broken = api.upload("versions", packed_files({"main.py": "def"}), message="in a hurry")
        api.built("versions", broken["$id"])
        return [first, broken["$id"], api.deploy("versions", code(3))["$id"]]


def test_the_newest_is_first(here: Here, versions: list[str]) -> None:
    lines = here.run("deployments", "versions").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["deployment", "state"],
        [versions[2], "active"],
        [versions[1], "failed"],
        [versions[0], "ready"],
    ]
    assert "in a hurry" in lines[2]
    rows = [
        json.loads(line)
        for line in here.run("deployments", "versions", "--json").stdout.splitlines()
    ]
    assert [row["active"] for row in rows] == [True, False, False]


def test_a_rollback_skips_what_failed_and_activate_returns(
    here: Here, versions: list[str], api: Api
) -> None:
    done = here.run("rollback", "versions")
    assert done.stdout == f"versions  {versions[0]} answers now\n"
    assert api.execute("versions")["responseBody"] == "1"
    assert "has no ready deployment before" in here.run("rollback", "versions", status=1).stderr
    described = json.loads(here.run("activate", "versions", versions[2], "--json").stdout)
    assert described["deploymentId"] == versions[2]
    assert api.execute("versions")["responseBody"] == "3"
    assert here.run("activate", "versions", "gone", status=1).stderr.count("\n") == 1


def test_a_function_without_deployments(here: Here, api: Api) -> None:
    api.create("versionless", api.runtime("python"))
    assert here.run("deployments", "versionless").stdout.split()[0] == "deployment"
    assert "`minifn activate`" in here.run("rollback", "versionless", status=1).stderr
