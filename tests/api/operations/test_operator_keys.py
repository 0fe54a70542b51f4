"""The operator's keys: with functions and last use, and each secret shown once."""

import httpx

from tests.api.site import SiteServer, refusal

KEYS = "/minifn/keys"
CLOSED = (401, "general_unauthorized_scope")


def test_a_key_is_made_used_and_deleted(site: SiteServer, admin: httpx.Client) -> None:
    wanted = {"name": "class", "scopes": ["functions.read"], "functions": ["team-*", "a"]}
    made = admin.post(KEYS, json=wanted).json()
    assert (made["name"], made["functions"]) == ("class", ["team-*", "a"])

    def listed() -> dict[str, object]:
        answer = admin.get(KEYS)
        assert made["secret"] not in answer.text
        [found] = [one for one in answer.json()["keys"] if one["$id"] == made["$id"]]
        return dict(found)

    assert "secret" not in listed()
    assert listed()["accessedAt"] == ""
    with site.client(x_appwrite_key=made["secret"]) as client:
        assert client.get("/functions").status_code == 200
        assert listed()["accessedAt"]
        assert refusal(client.get(KEYS)) == CLOSED
        assert admin.delete(f"{KEYS}/{made['$id']}").status_code == 204
        assert refusal(client.get("/functions")) == CLOSED
    assert refusal(admin.delete(f"{KEYS}/{made['$id']}")) == (404, "key_not_found")


def test_wrong_functions_are_refused(admin: httpx.Client) -> None:
    for functions in (["*a"], [""], ["a b"], "a"):
        wanted = {"name": "x", "scopes": ["functions.read"], "functions": functions}
        assert refusal(admin.post(KEYS, json=wanted)) == (400, "general_argument_invalid")


def test_no_key_reads_keys(site: SiteServer) -> None:
    with site.client(x_appwrite_key=site.key("keys.read", "keys.write")) as client:
        assert refusal(client.get(KEYS)) == CLOSED
        assert refusal(client.post(KEYS, json={})) == CLOSED
