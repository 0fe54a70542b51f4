"""API keys and JWTs below `/projects/{projectId}`, and rules of sites."""

from collections.abc import Iterator

import httpx
import pytest

from tests.api.site import ADMIN_KEY, PROJECT, SiteServer, refusal

KEYS = f"/projects/{PROJECT}/keys"


@pytest.fixture
def console(site: SiteServer) -> Iterator[httpx.Client]:
    """The operator's client in the project `console`, as Appwrite's CLI and console are."""
    with site.client(x_appwrite_project="console") as client:
        given = {"email": "ada@x.org", "password": ADMIN_KEY}
        assert client.post("/account/sessions/email", json=given).status_code == 201
        yield client


def test_a_key_from_creation_to_deletion(site: SiteServer, console: httpx.Client) -> None:
    body = {"name": "cli", "scopes": ["functions.read"], "expire": None}
    made = console.post(KEYS, json=body)
    assert made.status_code == 201, made.text
    key = made.json()
    assert (key["name"], key["scopes"], key["expire"]) == ("cli", ["functions.read"], "")
    assert len(key["$id"]) == 20
    path = f"{KEYS}/{key['$id']}"
    with site.client(x_appwrite_key=key["secret"]) as client:
        assert client.get("/functions").status_code == 200
        changed = console.put(path, json={"name": "renamed", "scopes": ["users.read"]})
        assert (changed.status_code, changed.json()["scopes"]) == (200, ["users.read"])
        assert refusal(client.get("/functions")) == (401, "general_unauthorized_scope")
        named = '{"method":"equal","attribute":"name","values":["renamed"]}'
        listed = console.get(KEYS, params={"queries[]": named}).json()
        assert [one["$id"] for one in listed["keys"]] == [key["$id"]]
        assert console.get(path).json()["secret"] == ""
        assert console.delete(path).status_code == 204
        assert refusal(console.get(path)) == (404, "key_not_found")
        # An unknown key is a guest.
        assert refusal(client.get("/users")) == (401, "general_unauthorized_scope")
    own = console.post(KEYS, json={**body, "keyId": "chosen"}).json()
    assert own["$id"] == "chosen"
    assert refusal(console.post(KEYS, json={**body, "keyId": "chosen"}))[0] == 409
    assert console.delete(f"{KEYS}/chosen").status_code == 204


def test_a_jwt_of_the_project_is_a_key_with_its_scopes(
    site: SiteServer, console: httpx.Client
) -> None:
    path = f"/projects/{PROJECT}/jwts"
    made = console.post(path, json={"scopes": ["users.read"]})
    assert made.status_code == 201
    assert set(made.json()) == {"jwt"}
    with site.client(x_appwrite_key=made.json()["jwt"]) as client:
        assert client.get("/users").status_code == 200
        assert refusal(client.get("/functions")) == (401, "general_unauthorized_scope")
    for duration in (-1, 3601, "soon"):
        answer = console.post(path, json={"scopes": [], "duration": duration})
        assert refusal(answer) == (400, "general_argument_invalid"), duration


@pytest.mark.parametrize(
    ("method", "below"),
    [("GET", "keys"), ("POST", "keys"), ("POST", "jwts"), ("PUT", "keys/x"), ("DELETE", "keys/x")],
)
def test_other_projects_and_other_callers_are_refused(
    site: SiteServer, console: httpx.Client, method: str, below: str
) -> None:
    body = {"name": "x", "scopes": []}
    answer = console.request(method, f"/projects/other/{below}", json=body)
    assert refusal(answer) == (404, "project_not_found")
    for key in (site.key("keys.read", "keys.write", "project.read", "project.write"), "unknown"):
        with site.client(x_appwrite_key=key) as client:
            answer = client.request(method, f"/projects/{PROJECT}/{below}", json=body)
            assert refusal(answer) == (401, "general_unauthorized_scope")


def test_a_rule_of_a_site_is_refused_as_for_a_site_that_does_not_exist(
    admin: httpx.Client,
) -> None:
    answer = admin.post("/proxy/rules/site", json={"domain": "s.test", "siteId": "home"})
    assert refusal(answer) == (404, "rule_resource_not_found")
    assert "no sites" in answer.json()["message"]
    answer = admin.post("/proxy/rules/site", json={"domain": "no domain", "siteId": "home"})
    assert refusal(answer) == (400, "general_argument_invalid")
