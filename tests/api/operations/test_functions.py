"""Functions over HTTP: settings, lists, and the order of checks."""

import json
from typing import Any

import httpx
import pytest

from tests.api.site import RUNTIME, SiteServer, create_function, deploy, refusal


def query(method: str, attribute: str = "", *values: Any) -> str:
    parts: dict[str, Any] = {"method": method}
    if attribute:
        parts["attribute"] = attribute
    if values:
        parts["values"] = list(values)
    return json.dumps(parts)


def test_create_get_update_delete(admin: httpx.Client) -> None:
    created = create_function(
        admin,
        functionId="crud-1",
        name="One",
        execute=["any"],
        timeout="20",
        schedule="*/5 * * * *",
        events=["users.*.create"],
        scopes=["users.read"],
        commands="true",
        specification="s-2vcpu-2gb",
    )
    assert created["$id"] == "crud-1"
    assert created["timeout"] == 20
    assert created["buildSpecification"] == created["runtimeSpecification"] == "s-2vcpu-2gb"
    assert created["deploymentId"] == created["deployment"] == ""
    assert created["live"] is True
    assert created["vars"] == []
    assert admin.get("/functions/crud-1").json() == created

    updated = admin.put("/functions/crud-1", json={"name": "Two"}).json()
    assert (updated["name"], updated["runtime"], updated["entrypoint"]) == (
        "Two",
        RUNTIME,
        "main.py",
    )
    assert (updated["timeout"], updated["execute"], updated["schedule"], updated["events"]) == (
        15,
        [],
        "",
        [],
    )
    assert (updated["scopes"], updated["commands"], updated["specification"]) == (
        [],
        "",
        "s-2vcpu-2gb",
    )
    assert updated["live"] is False

    deleted = admin.delete("/functions/crud-1")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert not deleted.headers["content-type"].startswith("application/json")
    assert refusal(admin.get("/functions/crud-1")) == (404, "function_not_found")
    assert refusal(admin.delete("/functions/crud-1")) == (404, "function_not_found")


def test_an_id_in_use(admin: httpx.Client) -> None:
    body = {"functionId": "twice", "name": "a", "runtime": RUNTIME}
    assert admin.post("/functions", json=body).status_code == 201
    assert refusal(admin.post("/functions", json=body)) == (409, "function_already_exists")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"functionId": None}, 'Param "functionId" is not optional.'),
        ({"functionId": "$x"}, "Invalid `functionId` param: UID"),
        ({"name": ""}, "Invalid `name` param: "),
        ({"name": "x" * 129}, "Invalid `name` param: "),
        ({"runtime": "python-9"}, "Invalid `runtime` param: "),
        ({"runtime": "Python-3.11"}, "Invalid `runtime` param: "),
        ({"execute": ["*"]}, "Invalid `execute` param: "),
        ({"execute": ["any"] * 101}, "Invalid `execute` param: "),
        ({"events": ["functions.*.create"]}, "Invalid `events` param: "),
        ({"schedule": "61 * * * *"}, "Invalid `schedule` param: "),
        ({"timeout": 901}, "Invalid `timeout` param: "),
        ({"enabled": "true"}, "Invalid `enabled` param: "),
        ({"scopes": ["nothing.read"]}, "Invalid `scopes` param: "),
        ({"specification": ""}, "Invalid `specification` param: Specification must be one of:"),
        (
            {"specification": "s-9vcpu"},
            "Invalid `specification` param: Specification must be one of:",
        ),
        ({"deploymentRetention": -1}, "Invalid `deploymentRetention` param: "),
    ],
)
def test_settings_that_break_a_rule(
    admin: httpx.Client, change: dict[str, Any], message: str
) -> None:
    body = {"functionId": "unique()", "name": "a", "runtime": RUNTIME, **change}
    answer = admin.post("/functions", json=body)
    assert refusal(answer) == (400, "general_argument_invalid")
    assert answer.json()["message"].startswith(message)


def test_a_bad_param_comes_before_an_unknown_function(admin: httpx.Client) -> None:
    assert refusal(admin.put("/functions/unknown", json={})) == (400, "general_argument_invalid")
    assert refusal(admin.put("/functions/unknown", json={"name": "a"})) == (
        404,
        "function_not_found",
    )
    assert refusal(admin.get("/functions/-x")) == (400, "general_argument_invalid")
    assert refusal(admin.get("/functions/unique()")) == (400, "general_argument_invalid")


def test_unknown_params_and_null_are_ignored(admin: httpx.Client) -> None:
    created = create_function(
        admin, vars={"a": 1}, timeout=None, templateOwner="x", description="later"
    )
    assert created["timeout"] == 15


def test_repositories_need_an_installation(admin: httpx.Client) -> None:
    body = {"functionId": "unique()", "name": "a", "runtime": RUNTIME}
    unknown = admin.post("/functions", json={**body, "installationId": "github"})
    assert refusal(unknown) == (404, "installation_not_found")
    incomplete = admin.post("/functions", json={**body, "providerRepositoryId": "repo"})
    assert refusal(incomplete) == (400, "general_argument_invalid")


def test_list_with_queries(admin: httpx.Client) -> None:
    for number in range(4):
        create_function(
            admin, functionId=f"listed-{number}", name=f"Listed {number}", enabled=number != 2
        )

    def ids(*queries: str, **params: str) -> list[str]:
        given = {f"queries[{index}]": text for index, text in enumerate(queries)}
        answer = admin.get("/functions", params={**given, **params})
        assert answer.status_code == 200, answer.text
        return [item["$id"] for item in answer.json()["functions"]]

    named = query("startsWith", "name", "Listed")
    assert ids(named) == [f"listed-{number}" for number in range(4)]
    assert ids(named, query("orderDesc", "name"), query("limit", "", 2)) == ["listed-3", "listed-2"]
    assert ids(named, query("equal", "enabled", False)) == ["listed-2"]
    assert ids(named, query("cursorAfter", "", "listed-1")) == ["listed-2", "listed-3"]
    assert ids(search="Listed 3")[0:1]
    assert ids(query("orderDesc", "", "$id"), query("limit", "", 1)) == ["listed-3"]


def test_lists_count_when_asked(admin: httpx.Client) -> None:
    create_function(admin)
    assert admin.get("/functions", params={"queries[]": query("limit", "", 1)}).json()["total"] >= 1
    assert admin.get("/functions", params={"total": "false"}).json()["total"] == 0


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '"limit"',
        query("nope"),
        query("equal", "nope", "x"),
        query("equal", "name"),
        query("limit", "", 0),
        query("equal", "enabled", "true"),
        query("select", "", "name"),
        query("cursorAfter", "", "gone"),
    ],
)
def test_queries_that_are_refused(admin: httpx.Client, text: str) -> None:
    status, kind = refusal(admin.get("/functions", params={"queries[0]": text}))
    assert status == 400
    assert kind == ("general_cursor_not_found" if "gone" in text else "general_argument_invalid")


def test_queries_as_older_clients_write_them(site: SiteServer) -> None:
    with site.admin("1.4.0") as client:
        create_function(client, functionId="textual", name="Textual")
        found = client.get(
            "/functions",
            params={"queries[0]": 'equal("name", ["Textual"])', "queries[1]": "limit(1)"},
        )
        assert [item["$id"] for item in found.json()["functions"]] == ["textual"]


def test_shapes_by_response_format(site: SiteServer) -> None:
    with site.admin("1.6.0") as old, site.admin("1.9.5") as new, site.admin("1.5.0") as older:
        created = create_function(old, functionId="shaped", specification="s-1vcpu-1gb")
        assert created["specification"] == "s-1vcpu-1gb"
        assert "buildSpecification" not in created
        seen = new.get("/functions/shaped").json()
        assert seen["runtimeSpecification"] == seen["buildSpecification"] == "s-1vcpu-1gb"
        assert "specification" not in seen
        assert not {"specification", "scopes"} & set(older.get("/functions/shaped").json())
        listed = older.get("/functions", params={"search": "shaped"}).json()["functions"][0]
        assert {"specification", "scopes"} <= set(listed)


def test_bodies_with_get_and_delete_and_forms(admin: httpx.Client) -> None:
    """Python SDKs send JSON bodies with DELETE, up to 9 also with GET; forms are accepted too."""
    function_id = create_function(admin)["$id"]
    got = admin.request(
        "GET", f"/functions/{function_id}", json={}, headers={"content-type": "application/json"}
    )
    assert got.status_code == 200
    form = admin.put(
        f"/functions/{function_id}", data={"name": "form", "execute[]": ["any", "users"]}
    )
    assert form.json()["execute"] == ["any", "users"]
    assert admin.request("DELETE", f"/functions/{function_id}", json={}).status_code == 204


def test_a_function_shows_its_variables(admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    for key, secret in (("OPEN", False), ("HIDDEN", True)):
        admin.post(
            f"/functions/{function_id}/variables", json={"key": key, "value": "v", "secret": secret}
        )
    shown = {
        item["key"]: item["value"] for item in admin.get(f"/functions/{function_id}").json()["vars"]
    }
    assert shown == {"OPEN": "v", "HIDDEN": ""}


def test_deleting_a_function_removes_its_files(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin)
    deployment_id = admin.get(f"/functions/{function_id}").json()["deploymentId"]
    assert site.site.data.source(deployment_id).exists()
    assert admin.delete(f"/functions/{function_id}").status_code == 204
    assert not site.site.data.source(deployment_id).exists()
    assert not site.site.data.build(deployment_id).exists()
    assert refusal(admin.get(f"/functions/{function_id}/deployments")) == (
        404,
        "function_not_found",
    )
