"""The operator's session, its use by the CLI, and the pages that may call."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from minifn.api.access.origins import Origins, is_loopback
from minifn.api.access.rates import Rate
from minifn.errors import UnknownOrigin
from minifn.tokens import OperatorClaims, OperatorTokens
from tests.api.site import ADMIN_KEY, PROJECT, SiteServer, create_function, refusal

SCOPE = (401, "general_unauthorized_scope")


@pytest.fixture
def console(site: SiteServer) -> Iterator[httpx.Client]:
    """A client in the project `console`, not signed in."""
    with site.client(x_appwrite_project="console") as client:
        yield client


def sign_in(client: httpx.Client, **body: str) -> str:
    """Sign in and return the cookie as the CLI stores it, with its attributes."""
    answer = client.post(
        "/account/sessions/email", json={"email": "ada@x.org", "password": ADMIN_KEY, **body}
    )
    assert answer.status_code == 201, answer.text
    client.cookies.clear()
    return str(answer.headers["set-cookie"])


def test_signing_in(console: httpx.Client) -> None:
    answer = console.post(
        "/account/sessions/email", json={"email": "ada@x.org", "password": ADMIN_KEY}
    )
    session = answer.json()
    assert (session["userId"], session["provider"], session["secret"]) == ("operator", "email", "")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("a_session_console=")
    assert {"httponly", "samesite=lax", "path=/"} <= set(cookie.split("; "))
    assert "x-fallback-cookies" not in answer.headers
    console.cookies.clear()
    account = console.get("/account", headers={"cookie": cookie}).json()
    assert (account["$id"], account["email"], account["mfa"]) == ("operator", "ada@x.org", False)


def test_signing_in_without_an_address(console: httpx.Client) -> None:
    answer = console.post("/account/sessions/email", json={"password": ADMIN_KEY})
    console.cookies.clear()
    account = console.get("/account", headers={"cookie": answer.headers["set-cookie"]}).json()
    assert account["email"] == "operator@localhost"


def test_the_operator_administers_the_project(site: SiteServer, console: httpx.Client) -> None:
    cookie = sign_in(console)
    with site.client(cookie=cookie, x_appwrite_mode="admin") as operator:
        function = create_function(operator)
        assert operator.get(f"/functions/{function['$id']}").status_code == 200
        assert refusal(operator.get("/functions", headers={"x-appwrite-key": ADMIN_KEY})) == (
            403,
            "user_api_key_and_session_set",
        )
    with site.client(cookie=cookie) as visitor:
        assert refusal(visitor.get("/functions")) == SCOPE
    with site.client(cookie=cookie, x_appwrite_project="console") as operator:
        assert refusal(operator.get("/functions")) == (401, "general_access_forbidden")


def test_requests_of_the_cli(site: SiteServer, console: httpx.Client, guest: httpx.Client) -> None:
    headers = {"cookie": sign_in(console)}
    assert (
        console.get("/console/variables", headers=headers).json()["_APP_DOMAIN_FUNCTIONS"]
        == "functions.localhost"
    )
    project = console.get(f"/projects/{PROJECT}", headers=headers).json()
    assert (project["$id"], project["name"]) == (PROJECT, PROJECT)
    assert refusal(console.get("/projects/unknown", headers=headers)) == (404, "project_not_found")
    for path in ("/console/variables", f"/projects/{PROJECT}"):
        assert refusal(console.get(path)) == SCOPE
        with site.client(x_appwrite_key=site.key("functions.read", "project.read")) as key:
            assert refusal(key.get(path)) == SCOPE


def test_signing_out(console: httpx.Client) -> None:
    headers = {"cookie": sign_in(console)}
    other = {"cookie": sign_in(console)}
    answer = console.delete("/account/sessions/current", headers=headers)
    assert answer.status_code == 204
    assert "max-age=0" in answer.headers["set-cookie"]
    assert refusal(console.get("/account", headers=headers)) == SCOPE
    assert console.get("/account", headers=other).status_code == 200


def test_invalid_sessions(console: httpx.Client) -> None:
    soon = int(time.time())
    good = OperatorClaims(operator="a", session_id="s", exp=soon + 60)
    for value in (
        "x",
        OperatorTokens("another key").mint(good),
        OperatorTokens(ADMIN_KEY).mint(OperatorClaims(operator="a", session_id="s", exp=soon - 5)),
    ):
        assert (
            refusal(console.get("/account", headers={"cookie": f"a_session_console={value}"}))
            == SCOPE
        )


def test_foreign_pages_cannot_use_the_operators_session(
    site: SiteServer, console: httpx.Client
) -> None:
    cookie = sign_in(console)
    with site.client(cookie=cookie, x_appwrite_mode="admin") as browser:
        own = f"http://127.0.0.1:{site.port}"
        assert browser.get("/functions", headers={"origin": own}).status_code == 200
        for origin in (
            "http://127.0.0.1:1",
            f"http://f.functions.localhost:{site.port}",
            "null",
            own + "0",
        ):
            assert refusal(browser.get("/functions", headers={"origin": origin})) == SCOPE, origin


def test_wrong_passwords(tmp_path: Path) -> None:
    with (
        SiteServer(tmp_path / "data") as site,
        site.client(x_appwrite_project="console") as console,
    ):
        body = {"email": "ada@x.org", "password": "wrong"}
        for _ in range(10):
            assert refusal(console.post("/account/sessions/email", json=body)) == (
                401,
                "user_invalid_credentials",
            )
        for password in ("wrong", ADMIN_KEY):
            answer = console.post("/account/sessions/email", json={**body, "password": password})
            assert refusal(answer) == (429, "general_rate_limit_exceeded")


def test_users_of_the_project_have_no_passwords(guest: httpx.Client) -> None:
    body = {"email": "ada@x.org", "password": ADMIN_KEY}
    assert refusal(guest.post("/account/sessions/email", json=body)) == (
        401,
        "user_invalid_credentials",
    )


def test_users(site: SiteServer, admin: httpx.Client, guest: httpx.Client) -> None:
    assert admin.get("/users").json() == {"total": 0, "users": []}
    query = '{"method":"equal","attribute":"email","values":["a@b.c"]}'
    assert admin.get("/users", params={"queries[0]": query}).status_code == 200
    assert (
        refusal(admin.get("/users", params={"queries[0]": query.replace("email", "x")}))[0] == 400
    )
    assert refusal(guest.get("/users")) == SCOPE
    with site.client(x_appwrite_key=site.site.tokens.mint_key(("users.read",), 60)) as function:
        assert function.get("/users").json()["total"] == 0


@pytest.mark.parametrize(
    "origin", ["https://evil.test", "null", "https://", "http://127.0.0.1.evil.test"]
)
def test_foreign_pages_change_nothing(
    guest: httpx.Client, admin: httpx.Client, origin: str
) -> None:
    headers = {"origin": origin}
    answer = guest.post("/functions/unknown/executions", json={}, headers=headers)
    assert refusal(answer) == (403, "general_unknown_origin")
    assert answer.headers["access-control-allow-origin"] == origin
    assert refusal(guest.get("/account", headers=headers)) == SCOPE
    assert refusal(admin.post("/functions/unknown/executions", json={}, headers=headers))[0] == 404


@pytest.mark.parametrize(
    "origin", ["http://localhost:5173", "http://app.localhost", "https://127.0.0.1", "http://[::1]"]
)
def test_pages_of_this_machine_may_call(guest: httpx.Client, origin: str) -> None:
    assert (
        refusal(guest.post("/functions/unknown/executions", json={}, headers={"origin": origin}))[0]
        == 404
    )


def test_named_pages_may_call() -> None:
    headers = {b"origin": b"https://app.example.com", b"host": b"api.example.com"}
    for allowed in (
        ("app.example.com",),
        ("*.example.com",),
        ("*",),
        ("x.test", "APP.example.com"),
    ):
        Origins(allowed).check("POST", headers)
    for refused in ((), ("example.com",), ("app.example.com.test",)):
        with pytest.raises(UnknownOrigin):
            Origins(refused).check("POST", headers)
    Origins(()).check("POST", {b"origin": b"http://192.0.2.1:3000", b"host": b"192.0.2.1:8000"})
    with pytest.raises(UnknownOrigin):
        # In DNS rebinding the page and the request have the same host, too.
        Origins(()).check("POST", {b"origin": b"http://evil.test:8000", b"host": b"evil.test:8000"})
    with pytest.raises(UnknownOrigin):
        Origins(()).check("DELETE", {b"referer": b"https://evil.test/page"})


def test_the_visitors_machine() -> None:
    assert all(map(is_loopback, ("localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("", "notlocalhost", "10.0.0.1", "localhost.test")))


def test_rates() -> None:
    moments = iter([61, 61, 62, 62, 119, 119, 119, 119, 120, 120])
    rate = Rate(2, 60, lambda: next(moments))
    assert [rate.count("a").exceeded for _ in range(3)] == [False, False, True]
    assert rate.count("b").used == 1
    after = rate.count("a")
    assert (after.exceeded, after.reset) == (False, 180)
    assert dict(after.headers()) == {
        b"x-ratelimit-limit": b"2",
        b"x-ratelimit-remaining": b"1",
        b"x-ratelimit-reset": b"180",
    }
