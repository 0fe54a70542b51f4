"""The project and its API keys over HTTP: permissions, and changes that count at once."""

import time
from typing import Any

import httpx
import pytest

from minifn.api.access import operators
from tests.api.site import ADMIN_KEY, EVERY, PROJECT, SiteServer, refusal
from tests.serving import wait_until

DENIED = (403, "key_creation_denied")


def make(client: httpx.Client, **settings: Any) -> Any:
    body = {"keyId": "unique()", "name": "key", "scopes": ["functions.read"], **settings}
    answer = client.post("/project/keys", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_the_project(site: SiteServer, admin: httpx.Client) -> None:
    project = admin.get("/project").json()
    assert (project["$id"], project["name"], project["status"]) == (PROJECT, PROJECT, "active")
    with site.client(x_appwrite_key=site.key("project.read")) as reader:
        assert reader.get("/project").json()["$id"] == PROJECT


def test_a_key_from_creation_to_deletion(site: SiteServer, admin: httpx.Client) -> None:
    key = make(
        admin,
        keyId="lifetime",
        name="One",
        expire="2099-01-02T03:04:05.000+00:00",
        description="for tests",
    )
    assert (key["$id"], key["name"], key["scopes"]) == ("lifetime", "One", ["functions.read"])
    assert (key["expire"], key["description"]) == ("2099-01-02T03:04:05.000+00:00", "for tests")
    secret = key["secret"]
    with site.client(x_appwrite_key=secret) as client:
        assert client.get("/functions").status_code == 200
        assert refusal(client.get("/project")) == (401, "general_unauthorized_scope")
        path = "/project/keys/lifetime"
        changed = admin.put(path, json={"name": "Two", "scopes": ["project.read"]}).json()
        assert (changed["name"], changed["scopes"], changed["expire"]) == (
            "Two",
            ["project.read"],
            "",
        )
        assert (changed["description"], changed["secret"]) == ("for tests", "")
        assert client.get("/project").status_code == 200
        assert refusal(client.get("/functions")) == (401, "general_unauthorized_scope")
        assert admin.get(path).json() == changed
        assert changed in admin.get("/project/keys", params=EVERY).json()["keys"]
        admin.put(path, json={"name": "Two", "scopes": ["project.read"], "expire": "2001-01-01"})
        assert refusal(client.get("/project")) == (401, "project_key_expired")
        assert admin.delete(path).status_code == 204
        assert refusal(client.get("/project")) == (401, "general_unauthorized_scope")
    for missing in (
        admin.get(path),
        admin.delete(path),
        admin.put(path, json={"name": "x", "scopes": []}),
    ):
        assert refusal(missing) == (404, "key_not_found")


def test_lists_of_keys(admin: httpx.Client) -> None:
    for name in ("listed-a", "listed-b"):
        make(admin, keyId=name, name=name, expire="2099-01-01" if name == "listed-b" else None)
    query = {"queries[0]": '{"method":"startsWith","attribute":"name","values":["listed-"]}'}
    found = admin.get("/project/keys", params=query).json()
    assert (found["total"], [key["$id"] for key in found["keys"]]) == (2, ["listed-a", "listed-b"])
    ending = admin.get(
        "/project/keys",
        params={**query, "queries[1]": '{"method":"isNotNull","attribute":"expire"}'},
    )
    assert [key["$id"] for key in ending.json()["keys"]] == ["listed-b"]
    assert admin.get("/project/keys", params={"total": "false"}).json()["total"] == 0
    wrong = admin.get(
        "/project/keys",
        params={"queries[0]": '{"method":"equal","attribute":"secret","values":["x"]}'},
    )
    assert refusal(wrong) == (400, "general_argument_invalid")


@pytest.mark.parametrize(
    "change",
    [
        {"keyId": "-x"},
        {"name": ""},
        {"scopes": ["users.reed"]},
        {"scopes": None},
        {"expire": "soon"},
    ],
    ids=str,
)
def test_rules_of_a_key(admin: httpx.Client, change: dict[str, Any]) -> None:
    body = {"keyId": "unique()", "name": "x", "scopes": ["users.read"], **change}
    assert refusal(admin.post("/project/keys", json=body)) == (400, "general_argument_invalid")


def test_an_id_of_a_key_in_use(admin: httpx.Client) -> None:
    make(admin, keyId="once")
    again = admin.post("/project/keys", json={"keyId": "once", "name": "x", "scopes": []})
    assert refusal(again) == (409, "key_already_exists")


def test_a_key_creates_no_key_and_gives_no_scope_that_it_lacks(
    site: SiteServer, admin: httpx.Client
) -> None:
    other = make(admin)["$id"]
    now = int(time.time())
    for secret in (
        site.key("keys.read", "keys.write", "users.read"),
        site.site.tokens.mint_ephemeral_key(("keys.read", "keys.write", "users.read"), now + 60),
    ):
        with site.client(x_appwrite_key=secret) as client:
            assert client.get(f"/project/keys/{other}").status_code == 200
            body = {"keyId": "unique()", "name": "x", "scopes": ["users.read"]}
            assert refusal(client.post("/project/keys", json=body)) == DENIED
            wider = {"name": "x", "scopes": ["users.read", "functions.write"]}
            assert refusal(client.put(f"/project/keys/{other}", json=wider)) == DENIED
            brief = {"scopes": ["functions.write"], "duration": 60}
            assert refusal(client.post("/project/keys/ephemeral", json=brief)) == DENIED
            own = client.post(
                "/project/keys/ephemeral", json={"scopes": ["users.read"], "duration": 60}
            )
            assert own.status_code == 201
            with site.client(x_appwrite_key=own.json()["secret"]) as narrow:
                assert narrow.get("/users").status_code == 200
                assert refusal(narrow.get("/project/keys")) == (401, "general_unauthorized_scope")
    with site.client(x_appwrite_key=site.key("keys.read")) as reader:
        assert refusal(reader.post("/project/keys", json={})) == (401, "general_unauthorized_scope")


def test_an_ephemeral_key_expires(site: SiteServer, admin: httpx.Client) -> None:
    made = admin.post(
        "/project/keys/ephemeral", json={"scopes": ["functions.read"], "duration": 1}
    ).json()
    assert made["scopes"] == ["functions.read"]
    with site.client(x_appwrite_key=made["secret"]) as client:
        wait_until(lambda: client.get("/functions").status_code != 200, 20, "the key expires")
        assert refusal(client.get("/functions")) == (401, "api_key_expired")
    for wrong in (0, 3601, "x"):
        answer = admin.post("/project/keys/ephemeral", json={"scopes": [], "duration": wrong})
        assert refusal(answer) == (400, "general_argument_invalid")
    keys = admin.get("/project/keys", params=EVERY).json()["keys"]
    assert made["$id"] not in [key["$id"] for key in keys]


def test_the_operator_creates_keys_and_finds_the_project(site: SiteServer) -> None:
    with site.client(x_appwrite_project="console") as console:
        signed = console.post(
            "/account/sessions/email", json={"email": "a@b.c", "password": ADMIN_KEY}
        )
        session = signed.cookies[operators.COOKIE]
        cookie = f"{operators.COOKIE}={session}"
        console.cookies.clear()
        teams = console.get("/teams", headers={"cookie": cookie}).json()
        assert (teams["total"], teams["teams"][0]["name"]) == (1, "Operator")
        team_id = teams["teams"][0]["$id"]
        paged = {
            "queries[0]": f'{{"method":"equal","attribute":"teamId","values":["{team_id}"]}}',
            "queries[1]": '{"method":"orderDesc","attribute":"$id"}',
            "queries[2]": '{"method":"limit","values":[100]}',
        }
        projects = console.get("/projects", params=paged, headers={"cookie": cookie}).json()
        assert [project["$id"] for project in projects["projects"]] == [PROJECT]
        foreign = {"queries[0]": '{"method":"equal","attribute":"teamId","values":["other"]}'}
        assert (
            console.get("/projects", params=foreign, headers={"cookie": cookie}).json()["total"]
            == 0
        )
        second = {**paged, "queries[3]": '{"method":"offset","values":[1]}'}
        assert (
            console.get("/projects", params=second, headers={"cookie": cookie}).json()["projects"]
            == []
        )
        named = console.get(
            "/projects", params={"search": "nothing"}, headers={"cookie": cookie}
        ).json()
        assert (named["total"], named["projects"]) == (0, [])
        assert refusal(console.get("/teams")) == (401, "general_unauthorized_scope")
    with site.client(x_appwrite_mode="admin", cookie=cookie) as operator:
        assert make(operator)["secret"].startswith("standard_")
