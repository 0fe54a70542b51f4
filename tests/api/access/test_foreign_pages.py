"""Pages of other hosts may change nothing and use no cookies, whatever they try."""

from collections.abc import Iterator

import httpx
import pytest

from minifn.api.access.origins import Origins
from minifn.errors import UnknownOrigin
from tests.api.site import ADMIN_KEY, PROJECT, RUNTIME, SiteServer, deploy, refusal

pytestmark = pytest.mark.both_ways

EVIL = {"origin": "http://evil.test"}
REFUSED = (403, "general_unknown_origin")


@pytest.fixture(scope="module")
def function_id(site: SiteServer) -> Iterator[str]:
    """A function that any caller may execute, but not from any page."""
    with site.admin() as client:
        yield deploy(site, client, execute=["any"])


@pytest.fixture
def cookie(site: SiteServer) -> dict[str, str]:
    """The cookies of a browser with a session."""
    with site.client() as guest:
        value = guest.post("/account/sessions/anonymous", json={}).headers["x-appwrite-session"]
    return {"cookie": f"a_session_{PROJECT}={value}"}


@pytest.mark.parametrize("key", ["", "wrong", "standard_wrong", "null"])
def test_an_unknown_key_does_not_replace_the_origin(
    site: SiteServer, guest: httpx.Client, function_id: str, cookie: dict[str, str], key: str
) -> None:
    for headers in (EVIL, {"referer": "http://evil.test/page"}):
        for known in ({}, cookie):
            sent = {**headers, **known, "x-appwrite-key": key}
            answer = guest.post(f"/functions/{function_id}/executions", json={}, headers=sent)
            assert refusal(answer) in (REFUSED, (403, "user_api_key_and_session_set")), sent
    with site.admin() as admin:
        assert admin.get(f"/functions/{function_id}/executions").json()["total"] == 0


def test_a_valid_key_may_be_used_by_any_page(guest: httpx.Client, site: SiteServer) -> None:
    for key in (ADMIN_KEY, site.key("functions.read")):
        answer = guest.request(
            "DELETE", "/functions/unknown", headers={**EVIL, "x-appwrite-key": key}
        )
        assert refusal(answer)[1] in ("function_not_found", "general_unauthorized_scope")


def test_cookies_count_only_for_allowed_pages(guest: httpx.Client, cookie: dict[str, str]) -> None:
    for origin in ("http://localhost:5173", "http://app.localhost:8000"):
        assert guest.get("/account", headers={**cookie, "origin": origin}).status_code == 200
    for origin in (
        "http://evil.test",
        "null",
        "http://127.0.0.1.evil.test",
        "http://hello.functions.localhost:8000",
    ):
        assert refusal(guest.get("/account", headers={**cookie, "origin": origin}))[0] == 401, (
            origin
        )
    assert guest.get("/account", headers=cookie).status_code == 200


def test_pages_cannot_use_a_git_password_that_the_browser_keeps(site: SiteServer) -> None:
    url = f"http://127.0.0.1:{site.port}/git/unknown.git"
    with httpx.Client(auth=("any", ADMIN_KEY), trust_env=False) as browser:
        for sent in (EVIL, {"origin": "null"}, {"referer": "http://evil.test/"}):
            assert (
                browser.get(f"{url}/info/refs?service=git-receive-pack", headers=sent).status_code
                == 403
            )
            assert (
                browser.post(f"{url}/git-receive-pack", headers=sent, content=b"0000").status_code
                == 403
            )
        assert browser.get(f"{url}/info/refs?service=git-receive-pack").status_code == 404


def test_only_patterns_below_the_functions_domain_allow_pages_of_functions() -> None:
    page = {b"origin": b"https://hello.fn.example.com", b"host": b"api.example.com"}
    for allowed in (("*",), ("*.fn.example.com",), ("hello.fn.example.com",)):
        Origins(allowed, "fn.example.com").check("POST", page)
    for refused in ((), ("*.example.com",), ("*.com",), ("hello*",)):
        with pytest.raises(UnknownOrigin):
            Origins(refused, "fn.example.com").check("POST", page)
    Origins(("*.example.com",), "fn.example.com").check(
        "POST", {b"origin": b"https://app.example.com"}
    )


@pytest.mark.parametrize("host", ["hello.functions.localhost", "given.localhost"])
def test_pages_of_functions_are_not_of_the_visitors_machine(host: str) -> None:
    """Otherwise the function's author could use the cookies of all visitors."""
    page = {b"origin": f"http://{host}:8000".encode(), b"cookie": b"a_session_console=x"}
    for allowed in ((), ("localhost",), ("127.0.0.1",)):
        origins = Origins(allowed, "functions.localhost", {"given.localhost"}.__contains__)
        with pytest.raises(UnknownOrigin):
            origins.check("POST", page)
        assert b"cookie" not in origins.credentials(page)
    meant = Origins((host,), "functions.localhost", {"given.localhost"}.__contains__)
    meant.check("POST", page)
    assert b"cookie" in meant.credentials(page)


def test_a_page_on_a_domain_that_a_rule_gives_may_not_call(
    site: SiteServer, guest: httpx.Client
) -> None:
    origin = {"origin": "http://given.localhost"}
    assert guest.post("/account/sessions/anonymous", headers=origin).status_code == 201
    with site.admin() as admin:
        function_id = admin.post(
            "/functions", json={"functionId": "unique()", "name": "n", "runtime": RUNTIME}
        ).json()
        sent = {"domain": "given.localhost", "functionId": function_id["$id"]}
        assert admin.post("/proxy/rules/function", json=sent).status_code == 201
    assert guest.post("/account/sessions/anonymous", headers=origin).status_code == 403
