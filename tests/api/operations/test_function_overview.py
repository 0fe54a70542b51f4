"""The overview of functions: their state in words, and the numbers of their calls."""

from typing import Any

import httpx
import pytest
from hypothesis import given, strategies as st

from minifn.api.operations.function_overview import percentile, problem_of, state_of
from minifn.models import Function
from tests.api.site import RUNTIME, SiteServer, create_function, deploy, refusal
from tests.serving import Api, pack

PATH = "/minifn/functions"


def of(client: httpx.Client, function_id: str, **params: Any) -> Any:
    answer = client.get(PATH, params=params)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["total"] == len(body["functions"])
    [found] = [one for one in body["functions"] if one["functionId"] == function_id]
    return found


def test_a_function_that_was_called(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin, name="Over", schedule="0 5 * * *")
    for path in ("/", "/", "/fail"):
        admin.post(f"/functions/{function_id}/executions", json={"path": path})
    found = of(admin, function_id)
    last = admin.get(f"/functions/{function_id}/executions").json()["executions"][-1]
    assert found == {
        "functionId": function_id,
        "name": "Over",
        "runtime": RUNTIME,
        "enabled": True,
        "live": True,
        "state": "ready",
        "stateText": "Ready.",
        "deploymentId": last["deploymentId"],
        "deployedAt": found["deployedAt"],
        "schedule": "0 5 * * *",
        # No scheduler plans it on this site.
        "nextRunAt": "",
        "calls": 3,
        "failures": 1,
        "p50": 0.0,
        "p95": 0.0,
        "series": found["series"],
        "lastError": "it broke",
        "lastErrorAt": last["$updatedAt"],
        "url": f"http://{function_id}.functions.localhost:{site.port}/",
    }
    with site.client(x_appwrite_key=site.key("functions.read")) as narrow:
        assert of(narrow, function_id) == {**found, "lastError": ""}
    assert found["deployedAt"]
    assert len(found["series"]) == 24
    assert [sum(point) for point in zip(*found["series"], strict=True)] == [3, 1]
    by_minute = of(admin, function_id, hours=1)
    assert len(by_minute["series"]) == 60
    assert by_minute["calls"] == 3


def test_states(site: SiteServer, admin: httpx.Client) -> None:
    empty = create_function(admin)["$id"]
    assert of(admin, empty)["state"] == "empty"
    disabled = create_function(admin, enabled=False)["$id"]
    assert of(admin, disabled)["state"] == "disabled"
    for function, state in (
        (Function(id="a", name="", runtime="", latest_deployment_status="waiting"), "building"),
        (Function(id="a", name="", runtime="", latest_deployment_status="failed"), "failed"),
        (Function(id="a", name="", runtime="", latest_deployment_status="canceled"), "empty"),
        (Function(id="a", name="", runtime="", deployment_id="d"), "ready"),
    ):
        found, text = state_of(function, "")
        assert found == state
        assert text.endswith(".") or state == "failed"


def test_a_build_that_failed_says_why(api: Api) -> None:
    api.create("wrong", api.runtime("python"), entrypoint="main.py")
    broken = b"import os\n\ndef main(context:\n"
    deployment = api.upload("wrong", pack(extra={"main.py": broken}))
    assert api.built("wrong", deployment["$id"])["status"] == "failed"
    found = of(api.http, "wrong")
    assert found["state"] == "failed"
    expected = "Build failed: SyntaxError in main.py line 3: '(' was never closed."
    assert found["stateText"] == expected


def test_hostile_texts_are_plain() -> None:
    log = (
        "[00:00:00] [minifn] one\n\x1b[31m[00:00:01] [minifn] \x1b]0;x\x07Build\u202e failed\nmore"
    )
    assert problem_of(log) == "Build failed."
    assert problem_of("") == ""


def test_problems_of_builds() -> None:
    started = "[00:00:00] [minifn] Build command execution started.\n"
    code = "[00:00:01] [minifn] Build command exited with code 1.\n"
    assert problem_of(started + code) == "Build command exited with code 1."
    pip = "ERROR: No matching distribution\n"
    said = "Build command exited with code 1: ERROR: No matching distribution."
    assert problem_of(started + pip + code) == said
    node = "/fn/src/main.js:7\n  const\n\nSyntaxError: Unexpected token\n"
    parse = "[00:00:01] [minifn] The function's source does not parse.\n"
    assert problem_of(started + node + parse) == (
        "SyntaxError in src/main.js line 7: Unexpected token."
    )


@given(st.lists(st.floats(0, 100), min_size=1), st.integers(1, 100))
def test_percentiles(numbers: list[float], percent: int) -> None:
    ordered = sorted(numbers)
    found = percentile(ordered, percent)
    assert sum(one <= found for one in ordered) * 100 >= percent * len(ordered)
    assert sum(one < found for one in ordered) * 100 < percent * len(ordered)
    assert percentile((), percent) == 0


@pytest.mark.parametrize("hours", ["0", "745", "x"])
def test_hours_have_limits(admin: httpx.Client, hours: str) -> None:
    assert refusal(admin.get(PATH, params={"hours": hours})) == (400, "general_argument_invalid")


def test_a_key_sees_its_own_functions(site: SiteServer, admin: httpx.Client) -> None:
    create_function(admin, functionId="overview-mine")
    _, secret = site.run(
        site.site.keys.create("mine", ["functions.read"], functions=["overview-*"])
    )
    with site.client(x_appwrite_key=secret) as client:
        assert client.get(PATH).json()["total"] == 1
