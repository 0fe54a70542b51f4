"""API keys that are restricted to functions: one key sees and touches nothing of another's."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from minifn.api import OPERATIONS
from minifn.api.wire.operation import Operation
from minifn.ids import is_reach, reaches
from minifn.scopes import SCOPES
from tests.api.event_reader import ask
from tests.api.realtime_client import admin_listening, listening
from tests.api.site import RUNTIME, SiteServer, create_function, deploy, refusal, upload
from tests.serving import pack

ONES, OTHERS = "class1-*", "class2-*"
NOT_FOUND = (404, "function_not_found")
REFUSED = (401, "user_unauthorized")


@contextmanager
def restricted(site: SiteServer, *functions: str) -> Iterator[httpx.Client]:
    """A client with a new key, named after its restriction, with every scope for `functions`."""
    name = " ".join(functions)
    key, secret = site.run(site.site.keys.create(name, sorted(SCOPES), functions=functions))
    with site.client(x_appwrite_key=secret) as client:
        yield client
    site.run(site.site.keys.delete(key.id))


@pytest.fixture
def one(site: SiteServer) -> Iterator[httpx.Client]:
    """A client with a key for class1-*."""
    with restricted(site, ONES) as client:
        yield client


@pytest.fixture
def other(site: SiteServer) -> Iterator[httpx.Client]:
    """A client with a key for class2-*."""
    with restricted(site, OTHERS) as client:
        yield client


@pytest.fixture(scope="module")
def theirs(site: SiteServer) -> tuple[str, str]:
    """A function of class2 with an active deployment, and the deployment's id."""
    with site.admin() as admin:
        function_id = deploy(site, admin, functionId="class2-theirs", execute=["any"])
        return function_id, admin.get(f"/functions/{function_id}").json()["deploymentId"]


def ids(answer: httpx.Response, name: str) -> set[str]:
    assert answer.status_code == 200, answer.text
    listed = answer.json()
    assert listed["total"] == len(listed[name])
    return {item["$id"] for item in listed[name]}


def test_patterns() -> None:
    for good in ("a", "class1-*", "class1*", "*", "a.b_c-d"):
        assert is_reach(good), good
    for bad in ("", "a b", "*a", "a*b", "a**", "-", "-*", "a" * 37):
        assert not is_reach(bad), bad
    assert reaches((), "x")
    assert reaches(("a b class1-*",), "class1-x")
    assert not reaches(("a b class1-*",), "class1")
    assert not reaches(("a", "b"), "a")
    assert reaches(("a*", "ab*"), "abc")
    assert not reaches(("*",), "")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_refuses_what_belongs_to_others(
    one: httpx.Client, theirs: tuple[str, str], operation: Operation
) -> None:
    """A new operation is refused until it says that it heeds the restriction."""
    path = operation.path.replace("{functionId}", theirs[0])
    path = path.replace("{deploymentId}", theirs[1])
    answer = ask(one, operation.method, re.sub(r"\{[A-Za-z]+\}", theirs[0], path), json={})
    if "{functionId}" in operation.path:
        assert refusal(answer) == NOT_FOUND
    elif operation.scopes and not operation.for_restricted:
        # No API key can have the scopes of `projects`.
        lacking = operation.scopes in (("projects.read",), ("projects.write",))
        assert refusal(answer) == ((401, "general_unauthorized_scope") if lacking else REFUSED)
    else:
        assert theirs[0] not in answer.text or answer.status_code >= 400
        assert theirs[1] not in answer.text


def test_operations_that_concern_no_function_are_listed() -> None:
    assert {one.name for one in OPERATIONS if one.for_restricted} == {
        "functions.create",
        "functions.list",
        "functions.listSpecifications",
        "minifn.createExecution",
        "minifn.followBuildLogs",
        "minifn.followLogs",
        "minifn.getExecution",
        "minifn.listExecutions",
        "minifn.getFile",
        "minifn.getSchedule",
        "minifn.listFiles",
        "minifn.listFunctions",
        "minifn.listNextRuns",
        "project.get",
        "proxy.createFunctionRule",
        "proxy.createRedirectRule",
        "proxy.createRule",
        "proxy.deleteRule",
        "proxy.getRule",
        "proxy.listRules",
        "proxy.updateRuleStatus",
        "proxy.updateRuleVerification",
        "teams.list",
        "users.list",
    }


def test_a_key_works_for_its_own_functions(
    site: SiteServer, one: httpx.Client, other: httpx.Client
) -> None:
    function_id = deploy(site, one, functionId="class1-own")
    path = f"/functions/{function_id}"
    assert one.post(f"{path}/executions", json={}).json()["status"] == "completed"
    assert one.put(path, json={"name": "renamed"}).json()["name"] == "renamed"
    made = one.post(f"{path}/variables", json={"key": "A", "value": "b"})
    assert made.status_code == 201
    assert ids(one.get(f"{path}/deployments"), "deployments")
    assert function_id in ids(one.get("/functions"), "functions")
    assert function_id not in ids(other.get("/functions"), "functions")
    assert refusal(other.get(path)) == NOT_FOUND
    assert one.delete(path).status_code == 204


def test_lists_totals_cursors_and_searches_keep_others_out(
    one: httpx.Client, other: httpx.Client, theirs: tuple[str, str]
) -> None:
    for name in ("a", "b"):
        create_function(one, functionId=f"class1-{name}-list")
    found = ids(one.get("/functions"), "functions")
    assert {"class1-a-list", "class1-b-list"} <= found
    assert all(name.startswith("class1-") for name in found)
    assert ids(one.get("/functions", params={"search": "theirs"}), "functions") == set()
    for query in (
        {"method": "equal", "attribute": "$id", "values": [theirs[0], "class1-a-list"]},
        {"method": "or", "values": [
            {"method": "equal", "attribute": "name", "values": ["sample"]},
            {"method": "notEqual", "attribute": "name", "values": ["sample"]},
        ]},
    ):  # fmt: skip
        assert theirs[0] not in ids(
            one.get("/functions", params={"queries[]": json.dumps(query)}), "functions"
        )
    cursor = json.dumps({"method": "cursorAfter", "values": [theirs[0]]})
    answer = one.get("/functions", params={"queries[]": cursor})
    assert refusal(answer) == (400, "general_cursor_not_found")
    rules = one.get("/proxy/rules").json()["rules"]
    assert {rule["deploymentResourceId"] for rule in rules} == found
    assert theirs[0] not in one.get("/proxy/rules", params={"search": theirs[0]}).text


@pytest.mark.parametrize("name", ["class2-new", "class1", "unique()", "Class1-a", "class2-theirs"])
def test_no_function_is_made_outside(
    one: httpx.Client, admin: httpx.Client, theirs: tuple[str, str], name: str
) -> None:
    before = admin.get("/functions").json()["total"]
    body = {"functionId": name, "name": "x", "runtime": RUNTIME}
    assert refusal(one.post("/functions", json=body)) == REFUSED
    assert admin.get("/functions").json()["total"] == before


def test_keys_for_single_functions(site: SiteServer, admin: httpx.Client) -> None:
    for name in ("exact", "exact-2"):
        create_function(admin, functionId=name)
    with restricted(site, "exact", "absent") as client:
        assert ids(client.get("/functions"), "functions") == {"exact"}
        assert refusal(client.get("/functions/exact-2")) == NOT_FOUND
        assert create_function(client, functionId="absent")["$id"] == "absent"


def test_deployments_of_others_are_reached_by_no_detour(
    one: httpx.Client, admin: httpx.Client, theirs: tuple[str, str]
) -> None:
    """Neither their id below an own function nor a chunk of their upload leads to them."""
    own = create_function(one, functionId="class1-detour")["$id"]
    path = f"/functions/{own}"
    for method, below in (
        ("GET", f"/deployments/{theirs[1]}"),
        ("GET", f"/deployments/{theirs[1]}/download"),
        ("POST", f"/deployments/{theirs[1]}/token"),
        ("DELETE", f"/deployments/{theirs[1]}"),
        ("PATCH", f"/deployments/{theirs[1]}/status"),
    ):
        answer = one.request(method, path + below, json={"type": "source"})
        assert refusal(answer) == (404, "deployment_not_found"), below
    for method, below in (("PATCH", "/deployment"), ("POST", "/deployments/duplicate")):
        answer = one.request(method, path + below, json={"deploymentId": theirs[1]})
        assert refusal(answer) == (404, "deployment_not_found"), below
    begun = admin.post(
        f"/functions/{theirs[0]}/deployments",
        files={"code": ("code.tar.gz", bytes(5 * 1024 * 1024))},
        data={"activate": "true"},
        headers={"content-range": "bytes 0-5242879/5242890"},
    ).json()["$id"]
    answer = one.post(
        f"{path}/deployments",
        files={"code": ("code.tar.gz", bytes(11))},
        data={"activate": "true"},
        headers={"content-range": "bytes 5242880-5242890/5242890", "x-appwrite-id": begun},
    )
    assert answer.status_code in (400, 404, 409), answer.text
    stored = admin.get(f"/functions/{theirs[0]}/deployments/{begun}").json()
    assert (stored["chunksUploaded"], stored["chunksTotal"]) == (1, 2)
    taken = pack(extra={"main.py": b""})
    answer = one.post(
        f"{path}/deployments",
        files={"code": ("code.tar.gz", taken)},
        data={"activate": "true"},
        headers={"x-appwrite-id": theirs[1]},
    )
    assert answer.json()["$id"] != theirs[1]


def test_domains_of_others_stay_theirs(
    one: httpx.Client, admin: httpx.Client, theirs: tuple[str, str]
) -> None:
    own = create_function(one, functionId="class1-domains")["$id"]

    def given(kind: str, **fields: Any) -> httpx.Response:
        return one.post(f"/proxy/rules{kind}", json=fields)

    assert refusal(given("/function", domain="a.test", functionId=theirs[0])) == (
        404,
        "rule_resource_not_found",
    )
    assert refusal(given("", domain="a.test", resourceType="function", resourceId=theirs[0]))[0]
    redirect = {"domain": "r.test", "url": "http://x.test", "statusCode": 301}
    assert refusal(
        given("/redirect", **redirect, resourceId=theirs[0], resourceType="function")
    ) == (404, "rule_resource_not_found")
    # The domain of a function that class2 may create later.
    for later in ("class2-later.functions.localhost", "x.class1-domains.functions.localhost"):
        answer = given("/function", domain=later, functionId=own)
        assert refusal(answer) == (400, "general_argument_invalid"), later
    made = given("/function", domain="class1-more.functions.localhost", functionId=own)
    assert made.status_code == 201
    assert one.delete(f"/proxy/rules/{made.json()['$id']}").status_code == 204
    rule = admin.post(
        "/proxy/rules/function", json={"domain": "theirs.test", "functionId": theirs[0]}
    ).json()["$id"]
    by_api = admin.post("/proxy/rules/api", json={"domain": "api.test"}).json()["$id"]
    for foreign in (rule, by_api, theirs[0]):
        for method, below in (("GET", ""), ("DELETE", ""), ("PATCH", "/status")):
            answer = one.request(method, f"/proxy/rules/{foreign}{below}")
            assert refusal(answer) == (404, "rule_not_found"), (foreign, method)
    for kept in (rule, by_api):
        assert admin.delete(f"/proxy/rules/{kept}").status_code == 204


def test_realtime_tells_nothing_of_others(
    site: SiteServer, one: httpx.Client, theirs: tuple[str, str]
) -> None:
    key = one.headers["x-appwrite-key"]
    channels = ("functions", "executions", "deployments", "variables", f"functions.{theirs[0]}")
    with (
        site.admin() as admin,
        listening(site.port, *channels, headers={"x-appwrite-key": key}) as client,
        admin_listening(site, *channels) as all_hearing,
    ):
        assert admin.post(f"/functions/{theirs[0]}/executions", json={}).status_code == 201
        admin.put(f"/functions/{theirs[0]}", json={"name": "changed", "execute": ["any"]})
        upload(admin, theirs[0])
        secret = {"variableId": "unique()", "key": f"S{time.time_ns()}", "value": "x"}
        assert admin.post("/project/variables", json=secret).status_code == 201
        for _ in range(4):
            all_hearing.event()
        client.hears_nothing()
        own = create_function(admin, functionId="class1-heard")["$id"]
        assert client.event()["payload"]["$id"] == own


def test_a_function_that_a_key_changed_reaches_no_further_than_the_key(
    site: SiteServer, one: httpx.Client, admin: httpx.Client, theirs: tuple[str, str]
) -> None:
    """Its own key would otherwise lend every function to the owner of the restricted key."""
    scopes = {"scopes": ["functions.read", "functions.write", "project.read", "executions.read"]}
    made = deploy(site, one, functionId="class1-made", **scopes)
    lent = deploy(site, admin, functionId="class1-lent", **scopes)
    untouched = deploy(site, admin, functionId="class1-untouched", **scopes)

    def own_key(function_id: str) -> str:
        assert admin.post(f"/functions/{function_id}/executions", json={}).status_code == 201
        return dict(site.site.pool.requests[-1].headers)["x-appwrite-key"]

    def sees(function_id: str) -> tuple[int, int]:
        with site.client(x_appwrite_key=own_key(function_id)) as client:
            return (
                client.get(f"/functions/{theirs[0]}").status_code,
                client.get("/project/variables").status_code,
            )

    assert sees(lent) == (200, 200)
    assert sees(made) == (404, 401)
    assert one.get(f"/functions/{lent}").status_code == 200
    assert one.post(f"/functions/{lent}/executions", json={}).status_code == 201
    assert sees(lent) == (200, 200), "reading and executing change nothing"
    upload(one, lent)
    assert sees(lent) == (404, 401)
    admin.put(f"/functions/{lent}", json={"name": "x", **scopes})
    assert sees(lent) == (404, 401), "the code is still there"
    assert sees(untouched) == (200, 200)
    # A narrower key takes part in the change, then the wider one again.
    with restricted(site, "class1-lent") as narrow:
        upload(narrow, lent)
    upload(one, lent)
    with site.client(x_appwrite_key=own_key(lent)) as client:
        assert ids(client.get("/functions"), "functions") == {lent}
        # A function that the function makes is restricted as it is.
        assert client.put(f"/functions/{lent}", json={"name": "y"}).status_code == 200


def test_no_repository_is_connected(one: httpx.Client) -> None:
    """The password of an installation opens the repositories of other functions too."""
    own = create_function(one, functionId="class1-git")["$id"]
    connection = {
        "installationId": "local",
        "providerRepositoryId": "class2/secret",
        "providerBranch": "main",
    }
    answer = one.put(f"/functions/{own}", json={"name": "x", **connection})
    assert refusal(answer) == REFUSED
    body = {"functionId": "class1-git2", "name": "x", "runtime": RUNTIME, **connection}
    assert refusal(one.post("/functions", json=body)) == REFUSED


def test_an_update_of_a_key_keeps_its_restriction(site: SiteServer, admin: httpx.Client) -> None:
    with restricted(site, "class1-*", "x") as client:
        named = json.dumps({"method": "equal", "attribute": "name", "values": ["class1-* x"]})
        (key,) = admin.get("/project/keys", params={"queries[]": named}).json()["keys"]
        body = {"name": "renamed", "scopes": ["functions.read", "keys.write"]}
        assert admin.put(f"/project/keys/{key['$id']}", json=body).status_code == 200
        found = ids(client.get("/functions"), "functions")
        assert all(name.startswith("class1-") for name in found)
        given = {"scopes": ["functions.read"], "duration": 60}
        assert refusal(client.post("/project/keys/ephemeral", json=given)) == REFUSED
