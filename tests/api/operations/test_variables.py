"""Variables over HTTP."""

from collections.abc import Iterator

import httpx
import pytest

from tests.api.site import EVERY, SiteServer, create_function, deploy, refusal


@pytest.fixture
def path(admin: httpx.Client) -> str:
    """The variables of a new function."""
    return f"/functions/{create_function(admin)['$id']}/variables"


@pytest.fixture
def old(site: SiteServer) -> Iterator[httpx.Client]:
    """A client of 1.6."""
    with site.admin("1.6.0") as client:
        yield client


def test_create_get_list_update_delete(old: httpx.Client, path: str) -> None:
    created = old.post(path, json={"key": "A", "value": ""})
    assert created.status_code == 201
    variable = created.json()
    assert set(variable) == {
        "$id",
        "$createdAt",
        "$updatedAt",
        "key",
        "value",
        "resourceType",
        "resourceId",
    }
    assert (variable["key"], variable["value"], variable["resourceType"]) == ("A", "", "function")
    one = f"{path}/{variable['$id']}"
    assert old.get(one).json() == variable
    changed = old.put(one, json={"key": "B", "value": "2"}).json()
    assert (changed["key"], changed["value"]) == ("B", "2")
    assert old.put(one, json={"key": "C"}).json()["value"] == "2"
    listed = old.get(path).json()
    assert (listed["total"], listed["variables"][0]["key"]) == (1, "C")
    assert old.delete(one).status_code == 204
    for method, body in (("GET", None), ("PUT", {"key": "A"}), ("DELETE", None)):
        assert refusal(old.request(method, one, json=body)) == (404, "variable_not_found")


def test_rules(old: httpx.Client, path: str) -> None:
    for body in (
        {"value": "x"},
        {"key": "A"},
        {"key": "", "value": ""},
        {"key": "A" * 256, "value": ""},
    ):
        assert refusal(old.post(path, json=body)) == (400, "general_argument_invalid")
    assert refusal(old.post(path, json={"key": "A", "value": "x" * 8193})) == (
        400,
        "general_argument_invalid",
    )
    for key in ("1BAD", "BAD-KEY", "any charset", "a=b", "ä", "A\n"):
        assert refusal(old.post(path, json={"key": key, "value": "x"})) == (
            400,
            "general_argument_invalid",
        ), key
    first = old.post(path, json={"key": "_a9", "value": "x"}).json()
    assert refusal(old.post(path, json={"key": "_a9", "value": "y"})) == (
        409,
        "variable_already_exists",
    )
    second = old.post(path, json={"key": "B", "value": "x"}).json()
    renamed = old.put(f"{path}/{second['$id']}", json={"key": first["key"]})
    assert refusal(renamed) == (409, "variable_already_exists")
    assert refusal(old.put(f"{path}/{first['$id']}", json={"value": "x"})) == (
        400,
        "general_argument_invalid",
    )
    assert refusal(old.post("/functions/unknown/variables", json={})) == (
        400,
        "general_argument_invalid",
    )
    unknown = old.post("/functions/unknown/variables", json={"key": "A", "value": "x"})
    assert refusal(unknown) == (404, "function_not_found")


def test_secrets_by_version(site: SiteServer, admin: httpx.Client, path: str) -> None:
    hidden = admin.post(path, json={"key": "HIDDEN", "value": "x"}).json()
    assert (hidden["secret"], hidden["value"]) == (True, "")
    shown = admin.post(path, json={"key": "SHOWN", "value": "x", "secret": False}).json()
    assert (shown["secret"], shown["value"]) == (False, "x")
    unset = admin.put(f"{path}/{hidden['$id']}", json={"secret": False})
    assert refusal(unset) == (400, "variable_cannot_unset_secret")
    assert admin.put(f"{path}/{shown['$id']}", json={"secret": True}).json()["value"] == ""
    with site.admin("1.6.0") as old:
        made = old.post(path, json={"key": "OLD", "value": "x", "secret": True}).json()
        assert "secret" not in made
        assert made["value"] == "x"


def test_changes_since_1_9(site: SiteServer, path: str) -> None:
    with site.admin("1.9.5") as client:
        chosen = client.post(path, json={"variableId": "mine", "key": "A", "value": "x"}).json()
        assert chosen["$id"] == "mine"
        again = client.post(path, json={"variableId": "mine", "key": "B", "value": "x"})
        assert refusal(again) == (409, "variable_already_exists")
        assert client.put(f"{path}/mine", json={"value": "y"}).json()["key"] == "A"
        assert refusal(client.put(f"{path}/mine", json={})) == (400, "general_argument_invalid")
        for number in range(3):
            client.post(path, json={"key": f"K{number}", "value": "x"})
        page = client.get(path, params={"queries[0]": '{"method":"limit","values":[2]}'}).json()
        assert (page["total"], len(page["variables"])) == (4, 2)


def test_a_list_without_queries_has_every_variable(admin: httpx.Client, path: str) -> None:
    for number in range(30):
        assert admin.post(path, json={"key": f"K{number}", "value": "x"}).status_code == 201
    assert len(admin.get(path).json()["variables"]) == 30


def test_project_variables_reach_every_function(
    site: SiteServer, admin: httpx.Client, guest: httpx.Client
) -> None:
    function_id = deploy(site, admin)
    variable = admin.post(
        "/project/variables", json={"key": "SHARED", "value": "p", "secret": False}
    ).json()
    assert (variable["resourceType"], variable["resourceId"]) == ("project", "")
    assert site.run(site.site.targets.of(function_id)).variables["SHARED"] == "p"
    admin.post(f"/functions/{function_id}/variables", json={"key": "SHARED", "value": "f"})
    assert site.run(site.site.targets.of(function_id)).variables["SHARED"] == "f"
    one = f"/project/variables/{variable['$id']}"
    assert admin.put(one, json={"key": "SHARED", "value": "q"}).json()["value"] == "q"
    assert admin.get(one).json()["value"] == "q"
    every = admin.get("/project/variables", params=EVERY).json()["variables"]
    assert variable["$id"] in [item["$id"] for item in every]
    assert admin.delete(one).status_code == 204
    assert refusal(admin.get(one)) == (404, "variable_not_found")
    assert refusal(guest.get("/project/variables")) == (401, "general_unauthorized_scope")


def test_a_write_makes_the_function_stale(admin: httpx.Client, path: str) -> None:
    function = path.removesuffix("/variables")
    assert admin.get(function).json()["live"] is True
    admin.post(path, json={"key": "A", "value": "x"})
    assert admin.get(function).json()["live"] is False
