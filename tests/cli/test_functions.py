"""`minifn ls` and `minifn show`."""

import json
import re

import pytest

from tests.cli.conftest import Here
from tests.packing import packed_files
from tests.serving import Api, Server

CODE = """
def main(context):
    if context.req.path == "/fail":
        raise ValueError("no luck")
    return context.res.empty()
"""


@pytest.fixture(scope="module")
def function(server: Server) -> str:
    """A function with a schedule and three calls, one of which failed; and one without code."""
    with server.api as api:
        runtime = api.runtime("python")
        api.create("listed", runtime, entrypoint="main.py", schedule="0 0 1 1 *", events=[])
        api.call(
            "POST", "/functions/listed/variables", 201, json={"key": "TOKEN", "value": "hush-hush"}
        )
        api.deploy("listed", packed_files({"main.py": CODE}))
        for path in ("/", "/", "/fail"):
            api.execute("listed", path=path)
        api.create("listed-empty", runtime)
    return "listed"


def test_functions_have_their_state_and_their_calls(here: Here, function: str) -> None:
    lines = here.run("ls").stdout.splitlines()
    assert lines[0].split("  ")[0] == "function"
    rows = {line.split()[0]: line for line in lines[1:]}
    assert re.search(
        r"^listed +ready +python-[\d.]+ +\d+ s ago +3 +1 +\d.* in \d+ d", rows["listed"]
    )
    assert rows["listed-empty"].split()[1] == "empty"
    described = {
        one["functionId"]: one
        for one in map(json.loads, here.run("ls", "--json").stdout.splitlines())
    }
    assert (described["listed"]["calls"], described["listed"]["failures"]) == (3, 1)


def test_one_function_is_shown_with_all_about_it(here: Here, function: str, server: Server) -> None:
    shown = here.run("show", function).stdout
    facts = dict(line.split("  ", 1) for line in shown.splitlines())
    assert facts["state"].strip() == "Ready."
    assert facts["address"].strip() == f"http://listed.functions.localhost:{server.port}/"
    assert facts["variables"].strip() == "TOKEN (secret)"
    assert facts["calls"].strip().startswith("3 in 24 h, 1 failed; p50 ")
    assert "ValueError: no luck" in facts["last error"]
    assert "hush-hush" not in shown
    described = json.loads(here.run("show", function, "--json").stdout)
    assert (described["$id"], described["overview"]["calls"]) == ("listed", 3)
    assert here.run("show", "nobody", status=1).stderr.count("\n") == 1


def test_deploy_and_ls_name_the_same_address(here: Here, api: Api) -> None:
    here.file("listed-address/main.py", CODE)
    here.run("init", "listed-address")
    line = here.run("deploy", "listed-address").stdout
    assert line.endswith(f"  http://listed-address.functions.localhost:{here.server.port}/\n")
