"""Additions of Appwrite 2.0 to 2.7 to the API, and changes for their clients alone."""

import json
from typing import Any

import httpx
import msgspec
import pytest

from minifn.scopes import SCOPES, SCOPES_MAX
from minifn.store import functions
from tests.api.site import RUNTIME, Site, SiteServer, create_function, refusal

NEWEST = [f"2.{minor}.0" for minor in range(8)]
INVALID = (400, "general_argument_invalid")


def put(client: httpx.Client, function_id: str, **changes: Any) -> Any:
    answer = client.put(f"/functions/{function_id}", json={"name": "changed", **changes})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("version", ["", *NEWEST])
def test_an_update_keeps_specifications_from_2_0_on(site: SiteServer, version: str) -> None:
    with site.admin(version) as client:
        function_id = create_function(
            client, buildSpecification="s-4vcpu-4gb", runtimeSpecification="s-2vcpu-2gb"
        )["$id"]
        kept = put(client, function_id)
        assert (kept["buildSpecification"], kept["runtimeSpecification"]) == (
            "s-4vcpu-4gb",
            "s-2vcpu-2gb",
        )
        one = put(client, function_id, runtimeSpecification="s-1vcpu-1gb")
        assert (one["buildSpecification"], one["runtimeSpecification"]) == (
            "s-4vcpu-4gb",
            "s-1vcpu-1gb",
        )


@pytest.mark.parametrize("version", ["1.6.0", "1.8.0", "1.9.5"])
def test_an_update_before_2_0_restores_the_default(
    site: SiteServer, admin: httpx.Client, version: str
) -> None:
    function_id = create_function(admin, runtimeSpecification="s-2vcpu-2gb")["$id"]
    with site.admin(version) as client:
        put(client, function_id)
    reset = admin.get(f"/functions/{function_id}").json()
    assert (reset["buildSpecification"], reset["runtimeSpecification"]) == (
        "s-1vcpu-512mb",
        "s-1vcpu-512mb",
    )


def test_an_interval(admin: httpx.Client) -> None:
    function = create_function(admin, interval="30")
    assert (function["interval"], function["schedule"]) == (30, "")
    path = f"/functions/{function['$id']}"
    assert put(admin, function["$id"])["interval"] == 30
    assert put(admin, function["$id"], interval=5)["interval"] == 5
    scheduled = put(admin, function["$id"], schedule="0 * * * *")
    assert (scheduled["interval"], scheduled["schedule"]) == (0, "0 * * * *")
    assert put(admin, function["$id"], interval=7, schedule="")["interval"] == 7
    assert put(admin, function["$id"], interval=0)["interval"] == 0
    wrongs: list[Any] = ["abc", -1, 1.5, "", True, [], 10**9]
    for wrong in wrongs:
        assert refusal(admin.put(path, json={"name": "x", "interval": wrong})) == INVALID, wrong
        body = {"functionId": "unique()", "name": "x", "runtime": RUNTIME, "interval": wrong}
        assert refusal(admin.post("/functions", json=body)) == INVALID, wrong
    both = {"name": "x", "interval": 5, "schedule": "0 * * * *"}
    assert refusal(admin.put(path, json=both)) == INVALID
    assert refusal(admin.put("/functions/unknown", json=both)) == INVALID
    assert (
        refusal(
            admin.post("/functions", json={**both, "functionId": "unique()", "runtime": RUNTIME})
        )
        == INVALID
    )


def test_descriptions(site: SiteServer, admin: httpx.Client) -> None:
    text = "what it does\n" + "ä" * 16_371
    function = create_function(admin, description=text)
    assert (len(text), function["description"], function["emailEnabled"]) == (16_384, text, False)
    assert put(admin, function["$id"])["description"] == text
    with site.admin("1.9.5") as older:
        assert "description" not in put(older, function["$id"])
    assert admin.get(f"/functions/{function['$id']}").json()["description"] == text
    assert put(admin, function["$id"], description="")["description"] == ""
    for path, body in (
        ("/functions", {"functionId": "unique()", "name": "x", "runtime": RUNTIME}),
        (f"/functions/{function['$id']}/variables", {"key": "K", "value": ""}),
        ("/project/variables", {"key": "DESCRIBED", "value": ""}),
    ):
        assert refusal(admin.post(path, json={**body, "description": f"{text}."})) == INVALID, path
    for path in (f"/functions/{function['$id']}/variables", "/project/variables"):
        variable = admin.post(
            path, json={"key": "DESCRIBED", "value": "x", "description": text}
        ).json()
        own = f"{path}/{variable['$id']}"
        assert (variable["description"], admin.get(own).json()["description"]) == (text, text)
        assert admin.put(own, json={"value": "y"}).json()["description"] == text
        assert admin.put(own, json={"description": "short"}).json()["description"] == "short"


def test_email_is_refused(admin: httpx.Client) -> None:
    function_id = create_function(admin, emailEnabled=False)["$id"]
    answer = admin.put(f"/functions/{function_id}", json={"name": "x", "emailEnabled": True})
    assert refusal(answer) == INVALID
    assert "e-mail" in answer.json()["message"]


def test_every_known_scope_is_accepted(admin: httpx.Client) -> None:
    every = sorted(SCOPES)
    assert len(every) > 100
    function = create_function(admin, scopes=every)
    assert function["scopes"] == every
    repeated = ["users.read"] * SCOPES_MAX
    assert put(admin, function["$id"], scopes=repeated)["scopes"] == repeated
    path = f"/functions/{function['$id']}"
    for wrong in (
        [*repeated, "users.read"],
        ["users.reed"],
        ["projects.read"],
        ["public"],
        ["Users.read"],
        [""],
    ):
        assert refusal(admin.put(path, json={"name": "x", "scopes": wrong})) == INVALID, wrong[-1]


@pytest.mark.parametrize(
    "runtime", ["node-26", "bun-1.4", "dart-3.12", "dart-3.13", "flutter-3.44", "flutter-3.47"]
)
def test_runtimes_of_2026_are_known(admin: httpx.Client, runtime: str) -> None:
    assert create_function(admin, runtime=runtime)["runtime"] == runtime


def test_the_catalogue_counts_when_asked(admin: httpx.Client) -> None:
    for path, name in (
        ("/functions/specifications", "specifications"),
        ("/functions/runtimes", "runtimes"),
    ):
        listed = admin.get(path).json()
        assert listed["total"] == len(listed[name]) > 0
        uncounted = admin.get(path, params={"total": "false"}).json()
        assert (uncounted["total"], uncounted[name]) == (0, listed[name])
    for kind in ("runtimes", "builds"):
        assert admin.get("/functions/specifications", params={"type": kind}).json()["total"] == 9
    assert refusal(admin.get("/functions/specifications", params={"type": "sites"})) == INVALID


def test_a_variable_keeps_a_key_of_an_older_version(site: SiteServer, admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    service = site.site.functions
    variable = site.run(service.create_variable(function_id, "1OLD-KEY", "x"))
    path = f"/functions/{function_id}/variables/{variable.id}"
    changed = admin.put(path, json={"key": "1OLD-KEY", "value": "y"}).json()
    assert (changed["key"], changed["value"]) == ("1OLD-KEY", "y")
    assert refusal(admin.put(path, json={"key": "2OLD-KEY", "value": "y"})) == INVALID
    unknown = f"/functions/{function_id}/variables/unknown"
    assert refusal(admin.put(unknown, json={"key": "1OLD-KEY", "value": "y"})) == INVALID
    assert admin.put(path, json={"key": "NEW_KEY"}).json()["key"] == "NEW_KEY"


def test_queries_are_checked_before_the_function(admin: httpx.Client) -> None:
    wrong = {"queries[0]": "{"}
    for path in ("deployments", "executions", "variables"):
        assert refusal(admin.get(f"/functions/unknown/{path}", params=wrong)) == INVALID
        assert refusal(admin.get(f"/functions/unknown/{path}")) == (404, "function_not_found")


def test_the_default_timeout_is_within_the_limit(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        SiteServer(tmp_path_factory.mktemp("short") / "data", timeout_max=5) as server,
        server.admin() as client,
    ):
        function = create_function(client)
        assert function["timeout"] == 5
        assert put(client, function["$id"])["timeout"] == 5
        assert (
            refusal(client.put(f"/functions/{function['$id']}", json={"name": "x", "timeout": 6}))
            == INVALID
        )
        schema = client.get("/openapi.json").json()["paths"]["/functions"]["post"]["requestBody"][
            "content"
        ]
        timeout = schema["application/json"]["schema"]["properties"]["timeout"]
        assert (timeout["default"], timeout["maximum"]) == (5, 5)


def test_a_schedule_that_has_no_runs_is_null(tmp_path_factory: pytest.TempPathFactory) -> None:
    async def plan(site: Site, function_id: str, due: int) -> None:
        function = await site.functions.get(function_id)
        planned = msgspec.structs.replace(function, schedule_next=due, schedule_previous=due)
        await site.database.write(functions.update, planned)

    def ids(client: httpx.Client, *queries: dict[str, Any]) -> list[str]:
        params = {f"queries[{number}]": json.dumps(query) for number, query in enumerate(queries)}
        answer = client.get("/functions", params=params)
        assert answer.status_code == 200, answer.text
        return [item["$id"] for item in answer.json()["functions"]]

    with SiteServer(tmp_path_factory.mktemp("null") / "data") as server, server.admin() as client:
        for name in ("none", "soon", "late"):
            create_function(client, functionId=name, name=name)
        for name, due in (("soon", 1000), ("late", 2000)):
            server.run(plan(server.site, name, due))
        for attribute in ("scheduleNext", "schedulePrevious"):
            null = {"method": "isNull", "attribute": attribute}
            assert ids(client, null) == ["none"]
            assert ids(client, {**null, "method": "isNotNull"}) == ["soon", "late"]
            early = {
                "method": "lessThan",
                "attribute": attribute,
                "values": ["1970-01-01T00:00:01.500+00:00"],
            }
            assert ids(client, early) == ["soon"]
            order = {"method": "orderAsc", "attribute": attribute}
            assert ids(client, order) == ["none", "soon", "late"]
            assert ids(client, {**order, "method": "orderDesc"}) == ["late", "soon", "none"]
            assert ids(client, order, {"method": "cursorAfter", "values": ["soon"]}) == ["late"]
            asked = {
                "queries[0]": json.dumps(order),
                "queries[1]": '{"method":"cursorAfter","values":["none"]}',
            }
            assert refusal(client.get("/functions", params=asked)) == (
                400,
                "database_query_order_null",
            )
