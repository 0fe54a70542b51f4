"""`minifn replay`: the same request again, and what is different."""

import json

import pytest

from tests.cli.conftest import Here
from tests.packing import packed_files
from tests.serving import Api, Server

CODE = """
def main(context):
    context.log(context.req.method, context.req.body_text)
    return context.res.text("{answer}", {status}, {{"x-version": "{answer}"}})
"""


def code(answer: str, status: int = 200) -> bytes:
    return packed_files({"main.py": CODE.format(answer=answer, status=status)})


@pytest.fixture(scope="module")
def execution(server: Server) -> str:
    """The id of an execution."""
    with server.api as api:
        api.create("replay", api.runtime("python"), entrypoint="main.py")
        api.deploy("replay", code("one"))
        request = {"method": "PUT", "path": "/a?b=1", "headers": {"content-type": "text/plain"}}
        return str(api.execute("replay", body="x", **request)["$id"])


def test_the_same_request_is_sent(here: Here, execution: str, api: Api) -> None:
    assert here.run("replay", execution, "x").stdout == "one"
    again, first = api.call("GET", "/functions/replay/executions", 200)["executions"][-2:]
    assert [again["requestMethod"], again["requestPath"], again["logs"]] == [
        first["requestMethod"], first["requestPath"], first["logs"]
    ]  # fmt: skip
    same = here.run("replay", execution, "x", "--diff")
    assert (same.stdout, same.stderr.endswith(" does not differ\n")) == ("", True)
    assert here.run("replay", "gone", status=1).stderr.count("\n") == 1


def test_a_difference_is_shown_and_ends_with_1(here: Here, execution: str, api: Api) -> None:
    lines = here.run("replay", execution, "y", "--diff", status=1).stdout.splitlines()
    assert [line for line in lines[2:] if line[0] in "+-"] == ["-PUT x", "+PUT y"]
    api.deploy("replay", code("two", 201))
    described = json.loads(here.run("replay", execution, "x", "--diff", "--json", status=1).stdout)
    changed = [line for line in described["diff"][2:] if line[0] in "+-"]
    assert changed == ["-completed 200", "+completed 201"]
    assert described["responseBody"] == "two"


def test_a_deployment_that_is_not_active_answers(here: Here, execution: str, api: Api) -> None:
    active = api.call("GET", "/functions/replay", 200)["deploymentId"]
    new = api.deploy("replay", code("three"), activate="false")["$id"]
    assert here.run("replay", execution, "x", "--deployment", new).stdout == "three"
    last = api.call("GET", "/functions/replay/executions", 200)["executions"][-1]
    assert (last["deploymentId"], last["requestPath"]) == (new, "/a?b=1")
    assert api.call("GET", "/functions/replay", 200)["deploymentId"] == active
    api.create("replay-other", api.runtime("python"), entrypoint="main.py")
    other = api.deploy("replay-other", code("other"))["$id"]
    refused = here.run("replay", execution, "x", "--deployment", other, status=1)
    assert "Deployment with the requested ID could not be found." in refused.stderr
