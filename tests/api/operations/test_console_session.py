"""The console's sign-in, and pages that would like to use it."""

import hashlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from minifn.api.access.console_sessions import cookie_name
from minifn.api.access.operators import FAILURES_MAX
from minifn.services.sign_in_links import LINK_SECONDS, LINKS_MAX, SignInLinks
from minifn.tokens import ConsoleClaims, OperatorClaims, OperatorTokens, SessionTokens
from tests.api.site import ADMIN_KEY, SiteServer, create_function, refusal

SESSION = "/minifn/session"
#: The secret of the console's origin.
OWN = {"x-minifn-console": "1"}
COOKIE = cookie_name(ADMIN_KEY)
GUEST = (401, "general_unauthorized_scope")
#: Last numbers of addresses: each test has one of its own.
ADDRESSES = itertools.count(1)
FOREIGN = (403, "general_unknown_origin")


@pytest.fixture
def visitor(site: SiteServer) -> Iterator[httpx.Client]:
    """A browser with the console's page, which has not signed in. Failures are its own."""
    transport = httpx.HTTPTransport(local_address=f"127.0.1.{next(ADDRESSES)}")
    with httpx.Client(
        base_url=f"http://127.0.0.1:{site.port}/v1",
        headers={**OWN, "x-appwrite-project": "minifn"},
        transport=transport,
        timeout=20,
    ) as client:
        yield client


def sign_in(client: httpx.Client, **proof: str) -> Any:
    answer = client.post(SESSION, json=proof)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_the_admin_key_makes_an_operator(visitor: httpx.Client) -> None:
    assert refusal(visitor.get(SESSION)) == (401, "user_unauthorized")
    assert refusal(visitor.get("/functions")) == GUEST
    answer = visitor.post(SESSION, json={"key": ADMIN_KEY})
    session = answer.json()
    assert (session["project"], session["engine"], session["operator"]) == ("minifn", "none", True)
    assert ADMIN_KEY not in answer.text
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"path=/v1", "max-age=604800", "httponly", "samesite=strict"}
    assert visitor.get(SESSION).json() == session
    for path in ("/functions", "/minifn/executions", "/project/keys", "/projects"):
        assert visitor.get(path).status_code == 200, path
    function_id = create_function(visitor)["$id"]
    assert visitor.delete(f"/functions/{function_id}").status_code == 204


def test_a_link_is_good_once(site: SiteServer, visitor: httpx.Client) -> None:
    token = site.site.sign_in_links.new()
    assert sign_in(visitor, token=token)["operator"]
    assert visitor.get("/functions").status_code == 200
    again = visitor.post(SESSION, json={"token": token})
    assert refusal(again) == (401, "user_invalid_credentials")
    assert "ten minutes" in again.json()["message"]


def test_links_end_and_are_few() -> None:
    now = 0.0
    links = SignInLinks(lambda: now)
    early, late = links.new(), links.new()
    now = LINK_SECONDS - 1
    assert links.take(early)
    now = LINK_SECONDS
    assert not links.take(late)
    tokens = [links.new() for _ in range(LINKS_MAX + 1)]
    assert [links.take(token) for token in tokens] == [False] + [True] * LINKS_MAX
    assert not links.take("")
    assert not links.take("\ud800")


def test_the_admin_key_makes_links(site: SiteServer, visitor: httpx.Client) -> None:
    with site.admin() as admin:
        link = admin.post("/minifn/sign-in-links").json()
    assert link["path"] == f"/console/?token={link['token']}"
    assert sign_in(visitor, token=link["token"])["operator"]
    with site.client(x_appwrite_key=site.key("keys.write", "functions.read")) as narrow:
        assert refusal(narrow.post("/minifn/sign-in-links")) == GUEST


def test_a_session_has_the_rights_of_its_key_and_ends_with_it(
    site: SiteServer, visitor: httpx.Client
) -> None:
    key, secret = site.run(
        site.site.keys.create("class", ["functions.read"], functions=["class9-*"])
    )
    session = sign_in(visitor, key=secret)
    assert (session["operator"], session["functions"]) == (False, ["class9-*"])
    assert session["keyName"] == "class"
    assert visitor.get("/functions").json() == {"total": 0, "functions": []}
    assert refusal(visitor.post("/functions", json={})) == GUEST
    assert refusal(visitor.post("/minifn/sign-in-links")) == GUEST
    site.run(site.site.keys.delete(key.id))
    assert refusal(visitor.get("/functions")) == GUEST
    assert refusal(visitor.get(SESSION)) == (401, "user_unauthorized")


def test_signing_out_ends_the_session_everywhere(site: SiteServer, visitor: httpx.Client) -> None:
    sign_in(visitor, key=ADMIN_KEY)
    kept = visitor.cookies[COOKIE]
    answer = visitor.delete(SESSION)
    assert answer.status_code == 204
    assert "max-age=0" in answer.headers["set-cookie"]
    assert COOKIE not in visitor.cookies
    visitor.cookies.set(COOKIE, kept)
    assert refusal(visitor.get("/functions")) == GUEST
    assert visitor.delete(SESSION).status_code == 204


@pytest.mark.parametrize(
    "headers",
    [
        {"x-minifn-console": None},
        # A page on another port of this host gets the cookie, and can ask without a browser.
        {"x-minifn-console": "2"},
        {"origin": "http://evil.functions.localhost:8000"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://localhost:8000"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
    ],
    ids=str,
)
def test_pages_of_others_cannot_use_the_cookie(
    visitor: httpx.Client, headers: dict[str, str | None]
) -> None:
    sign_in(visitor, key=ADMIN_KEY)
    for name, value in headers.items():
        visitor.headers.pop(name, None)
        if value is not None:
            visitor.headers[name] = value
    for answer in (visitor.get("/functions"), visitor.get("/minifn/executions")):
        assert refusal(answer) == GUEST
    created = visitor.post("/functions", json={"functionId": "evil", "name": "x"})
    assert refusal(created) in (GUEST, FOREIGN)
    if headers != {"x-minifn-console": "2"}:
        # Nor sign anybody in or out.
        assert refusal(visitor.post(SESSION, json={"key": ADMIN_KEY})) == FOREIGN
        assert refusal(visitor.delete(SESSION)) == FOREIGN


def test_the_header_is_not_offered_to_pages_of_others(visitor: httpx.Client) -> None:
    preflight = visitor.options("/functions", headers={"origin": "https://evil.example"})
    assert "x-minifn-console" not in preflight.headers["access-control-allow-headers"].lower()


def test_forged_cookies(visitor: httpx.Client) -> None:
    soon = int(time.time()) + 60
    page = hashlib.sha256(OWN["x-minifn-console"].encode()).hexdigest()[:32]
    good = ConsoleClaims(key_id="", session_id="s", page=page, exp=soon)
    operator = OperatorClaims(operator="a", session_id="s", exp=soon)
    forged = [
        "",
        "x",
        "a.b.c",
        SessionTokens("another key", "console", ConsoleClaims).mint(good),
        SessionTokens(ADMIN_KEY, "console", ConsoleClaims).mint(
            ConsoleClaims(key_id="", session_id="s", page=page, exp=soon - 120)
        ),
        SessionTokens(ADMIN_KEY, "console", ConsoleClaims).mint(
            ConsoleClaims(key_id="unknown", session_id="s", page=page, exp=soon)
        ),
        OperatorTokens(ADMIN_KEY).mint(operator),
    ]
    for value in forged:
        visitor.cookies.set(COOKIE, value)
        assert refusal(visitor.get("/functions")) == GUEST, value
    # The reverse: this cookie is no session of Appwrite's console.
    token = SessionTokens(ADMIN_KEY, "console", ConsoleClaims).mint(good)
    visitor.cookies.set("a_session_console", token)
    assert refusal(visitor.get("/projects")) == GUEST
    visitor.cookies.set(COOKIE, token)
    assert visitor.get("/functions").status_code == 200


def test_a_key_and_a_session_at_once(visitor: httpx.Client) -> None:
    sign_in(visitor, key=ADMIN_KEY)
    both = visitor.get("/functions", headers={"x-appwrite-key": ADMIN_KEY})
    assert refusal(both) == (403, "user_api_key_and_session_set")


@pytest.mark.parametrize("proof", [{}, {"token": "a", "key": "b"}, {"token": "", "key": ""}])
def test_one_proof_is_needed(visitor: httpx.Client, proof: dict[str, str]) -> None:
    assert refusal(visitor.post(SESSION, json=proof)) == (400, "general_bad_request")


def test_guesses_are_limited(site: SiteServer, visitor: httpx.Client) -> None:
    wrong = (401, "user_invalid_credentials")
    for number in range(FAILURES_MAX):
        proof = {"token": "x"} if number % 2 else {"key": "standard_x"}
        assert refusal(visitor.post(SESSION, json=proof)) == wrong
    for proof in ({"token": "x"}, {"key": ADMIN_KEY}):
        limited = visitor.post(SESSION, json=proof)
        assert refusal(limited) == (429, "general_rate_limit_exceeded")
    # A function of the operator's machine may have failed in its name.
    assert sign_in(visitor, token=site.site.sign_in_links.new())["operator"]


def test_a_key_learns_whether_it_is_the_operators(site: SiteServer, admin: httpx.Client) -> None:
    assert admin.get(SESSION).json()["operator"] is True
    with site.client(x_appwrite_key=site.key("functions.read")) as client:
        assert client.get(SESSION).json()["operator"] is False
