"""Callers and their rights: keys, function keys, users, sessions and guests, in this order."""

import base64
import json
import time
from typing import Any

import httpx
import jwt as pyjwt
import pytest

from minifn.api.access.callers import ADMIN
from minifn.instants import now_ms
from minifn.tokens import UserClaims
from tests.api.site import ADMIN_KEY, PROJECT, SiteServer, create_function, deploy, refusal
from tests.serving import wait_until

pytestmark = pytest.mark.both_ways

SCOPE = (401, "general_unauthorized_scope")


@pytest.fixture(scope="module")
def function_id(site: SiteServer) -> str:
    """A deployed function for signed-in users."""
    with site.admin() as client:
        return deploy(site, client, execute=["users"])


def token(site: SiteServer, user_id: str = "ada", seconds: int = 60) -> str:
    return site.site.tokens.mint_user(UserClaims(user_id=user_id, exp=int(time.time()) + seconds))


def test_scope_comes_before_params_and_existence(site: SiteServer, guest: httpx.Client) -> None:
    for method, path in (
        ("GET", "/functions"),
        ("POST", "/functions"),
        ("PUT", "/functions/unknown"),
        ("GET", "/functions/-bad"),
        ("POST", "/functions/unknown/deployments"),
        ("GET", "/functions/unknown/executions"),
        ("DELETE", "/functions/unknown/variables/x"),
        ("GET", "/functions/specifications"),
        ("GET", "/proxy/rules"),
    ):
        answer = guest.request(method, path, json={"name": 5})
        assert refusal(answer) == SCOPE, path
        assert "missing scope (" in answer.json()["message"]
        assert "role: guests" in answer.json()["message"]


def test_users_have_no_functions_scopes(site: SiteServer) -> None:
    with site.client(x_appwrite_jwt=token(site)) as user:
        answer = user.get("/functions")
        assert refusal(answer) == SCOPE
        assert "role: users" in answer.json()["message"]


def test_keys_have_the_scopes_they_name(
    site: SiteServer, admin: httpx.Client, function_id: str
) -> None:
    with site.client(x_appwrite_key=site.key("functions.read", "executions.read")) as reader:
        assert reader.get(f"/functions/{function_id}").status_code == 200
        assert reader.get(f"/functions/{function_id}/executions").status_code == 200
        assert refusal(reader.post(f"/functions/{function_id}/executions", json={})) == SCOPE
        answer = reader.delete(f"/functions/{function_id}")
        assert refusal(answer) == SCOPE
        assert (
            answer.json()["message"] == "User (role: applications) missing scope (functions.write)"
        )
    for scope in ("execution.write", "executions.write"):
        with site.client(x_appwrite_key=site.key(scope)) as runner:
            assert runner.post(f"/functions/{function_id}/executions", json={}).status_code == 201


def test_keys_that_are_unknown_or_expired(site: SiteServer) -> None:
    for unknown in ("wrong", "standard_wrong", ADMIN_KEY + "x", "\xff"):
        with site.client() as client:
            answer = client.get(
                "/functions", headers={b"x-appwrite-key": unknown.encode("latin-1")}
            )
            assert refusal(answer) == SCOPE
            assert "role: guests" in answer.json()["message"]
    _, expired = site.run(site.site.keys.create("old", ["functions.read"], expire_at=now_ms() - 1))
    with site.client(x_appwrite_key=expired) as client:
        assert refusal(client.get("/functions")) == (401, "project_key_expired")


def test_function_keys(site: SiteServer) -> None:
    key = site.site.tokens.mint_key(("functions.read",), 60)
    for spelled in (key, key.replace("ephemeral_", "dynamic_")):
        with site.client(x_appwrite_key=spelled) as client:
            assert client.get("/functions").status_code == 200
            assert refusal(client.post("/functions", json={})) == SCOPE
    for wrong in (key[:-2], "dynamic_x", site.site.tokens.mint_key((), -1000)):
        with site.client(x_appwrite_key=wrong) as client:
            assert refusal(client.get("/functions")) == (401, "api_key_expired")


def test_invalid_jwts(site: SiteServer) -> None:
    forged = pyjwt.encode(
        {"userId": "ada", "exp": time.time() + 60}, "another-secret-that-is-long-enough", "HS256"
    )
    unsigned = pyjwt.encode({"userId": "ada", "exp": time.time() + 60}, "", "none")
    key = site.site.tokens.mint_key((), 60).partition("_")[2]
    for wrong in (
        "x",
        "a.b.c",
        token(site, seconds=-5),
        forged,
        unsigned,
        key,
        token(site, "-bad"),
    ):
        with site.client(x_appwrite_jwt=wrong) as client:
            assert refusal(client.get("/functions")) == (401, "user_jwt_invalid"), wrong


def test_a_cached_jwt_still_expires(site: SiteServer, function_id: str) -> None:
    with site.client(x_appwrite_jwt=token(site, "brief", seconds=2)) as client:
        path = f"/functions/{function_id}/executions"
        assert client.get(path).status_code == 200
        wait_until(lambda: client.get(path).status_code != 200, 10, "the token expires")
        assert refusal(client.get(path)) == (401, "user_jwt_invalid")


def test_a_key_and_a_user_at_once(site: SiteServer) -> None:
    with site.client(x_appwrite_jwt=token(site), x_appwrite_key=ADMIN_KEY) as client:
        assert refusal(client.get("/functions")) == (403, "user_api_key_and_session_set")


def test_the_project_of_a_request(site: SiteServer) -> None:
    for project, key, expected in (
        ("", ADMIN_KEY, (401, "general_access_forbidden")),
        ("console", ADMIN_KEY, (401, "general_access_forbidden")),
        ("console", "", SCOPE),
        ("unknown", ADMIN_KEY, (404, "project_not_found")),
    ):
        with site.client(x_appwrite_project=project, x_appwrite_key=key) as client:
            assert refusal(client.get("/functions")) == expected
    with site.client(x_appwrite_project="console") as client:
        answer = client.post("/functions/unknown/executions", json={})
        assert refusal(answer) == (401, "general_access_forbidden")


def session_of(guest: httpx.Client) -> httpx.Response:
    answer = guest.post("/account/sessions/anonymous", json={})
    assert answer.status_code == 201
    return answer


def test_an_anonymous_session(guest: httpx.Client) -> None:
    answer = session_of(guest)
    session = answer.json()
    assert (session["provider"], session["current"], session["secret"]) == ("anonymous", True, "")
    cookies = answer.headers.get_list("set-cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == [
        f"a_session_{PROJECT}",
        f"a_session_{PROJECT}_legacy",
    ]
    assert all("httponly" in cookie and "samesite=lax" in cookie for cookie in cookies)
    fallback = json.loads(answer.headers["x-fallback-cookies"])
    assert list(fallback) == [f"a_session_{PROJECT}"]
    envelope = json.loads(base64.b64decode(fallback[f"a_session_{PROJECT}"]))
    assert envelope["id"] == session["userId"]


def test_where_a_session_may_be_sent(site: SiteServer, guest: httpx.Client) -> None:
    answer = session_of(guest)
    value = json.loads(answer.headers["x-fallback-cookies"])[f"a_session_{PROJECT}"]
    user_id = answer.json()["userId"]
    name = f"a_session_{PROJECT}"
    for headers in (
        {"cookie": f"{name}={value}"},
        {"cookie": f"other=1; {name}={value}; path=/; samesite=lax; httponly"},
        {"cookie": f"{name}={value.replace('=', '%3D')}"},
        {"cookie": f"{name}=stale; {name}_legacy={value}"},
        {"x-appwrite-session": value},
        {"x-fallback-cookies": json.dumps({name: value})},
        {"x-fallback-cookies": "{broken", "x-appwrite-session": value},
    ):
        with site.client() as client:
            account = client.get("/account", headers=headers)
            assert account.status_code == 200, (headers, account.text)
            assert account.json()["$id"] == user_id


def test_a_stale_session_makes_a_guest(site: SiteServer) -> None:
    ended = base64.b64encode(
        json.dumps({"id": "ada", "secret": token(site, seconds=-5)}).encode()
    ).decode()
    for headers in (
        {"x-appwrite-session": ended},
        {"x-appwrite-session": "%%%"},
        {"cookie": f"a_session_{PROJECT}=bm90aGluZw=="},
        {"x-fallback-cookies": "[]"},
        {"x-fallback-cookies": "[" * 20_000},
        {"x-appwrite-session": base64.b64encode(b'{"a":' + b"[" * 20_000).decode()},
        {"x-fallback-cookies": f'{{"a_session_{PROJECT}": 5}}'},
    ):
        with site.client() as client:
            assert refusal(client.get("/account", headers=headers)) == SCOPE


def test_a_session_makes_jwts_and_ends(site: SiteServer, guest: httpx.Client) -> None:
    answer = session_of(guest)
    with site.client(x_appwrite_session=answer.headers["x-appwrite-session"]) as user:
        made = user.post("/account/jwts", json={})
        assert made.status_code == 201
        assert refusal(user.delete("/account/sessions/unknown")) == (404, "user_session_not_found")
        ended = user.delete("/account/sessions/current")
        assert ended.status_code == 204
        assert all("max-age=0" in cookie for cookie in ended.headers.get_list("set-cookie"))
    with site.client(x_appwrite_jwt=made.json()["jwt"]) as user:
        assert user.get("/account").json()["$id"] == answer.json()["userId"]
    guest.cookies.clear()
    assert refusal(guest.post("/account/jwts", json={})) == SCOPE


def test_no_answer_holds_a_secret(site: SiteServer, admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    secret: dict[str, Any] = {"key": "TOKEN", "value": "s3cr3t-value", "secret": True}
    answers = [admin.post(f"/functions/{function_id}/variables", json=secret)]
    variable = f"/functions/{function_id}/variables/{answers[0].json()['$id']}"
    answers += [
        admin.get(variable),
        admin.put(variable, json={"key": "TOKEN", "value": "s3cr3t-value"}),
        admin.get(f"/functions/{function_id}/variables"),
        admin.get(f"/functions/{function_id}"),
        admin.put(f"/functions/{function_id}", json={"name": "a"}),
        admin.get("/functions"),
    ]
    for answer in answers:
        assert answer.is_success
        assert "s3cr3t-value" not in answer.text
        assert ADMIN_KEY not in answer.text


def test_the_administrator_has_every_scope() -> None:
    assert ADMIN.scopes is None
    assert ADMIN.privileged


def test_a_key_sees_the_secret_of_a_session_it_makes(admin: httpx.Client, site: SiteServer) -> None:
    session = admin.post("/account/sessions/anonymous", json={}).json()
    with site.client(**{"x-appwrite-session": session["secret"]}) as user:
        assert user.get("/account").json()["$id"] == session["userId"]
