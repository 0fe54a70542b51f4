"""The JWT that a function gets expires on time, whatever the function does with it."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from minifn.instants import format_instant, now_ms
from minifn.services.schedules import Scheduler
from minifn.tokens import UserClaims
from tests.api.site import SiteServer, deploy, refusal
from tests.serving import wait_until

MINUTE = 60_000
GUEST = (401, "general_unauthorized_scope")


@pytest.fixture(scope="module")
def function_id(site: SiteServer) -> Iterator[str]:
    """A function whose timeout is much longer than a JWT's lifetime."""
    with site.admin() as client:
        yield deploy(site, client, execute=["users"], timeout=900)


def claims(site: SiteServer, token: str) -> UserClaims:
    return site.site.tokens.verify_user(token)


def given(site: SiteServer, execution_id: str) -> dict[str, str]:
    """The headers of the function's request."""

    def called() -> dict[str, str] | None:
        seen = (dict(request.headers) for request in site.site.pool.requests)
        return next(
            (headers for headers in seen if headers["x-appwrite-execution-id"] == execution_id),
            None,
        )

    return wait_until(called, 20, "the function is called")


def later(site: SiteServer, function_id: str, token: str, **body: Any) -> str:
    with site.client(x_appwrite_jwt=token) as user:
        answer = user.post(f"/functions/{function_id}/executions", json={"async": True, **body})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["$id"])


def session_of(site: SiteServer) -> httpx.Response:
    with site.client() as guest:
        answer = guest.post("/account/sessions/anonymous", json={})
    assert answer.status_code == 201
    return answer


def handed(site: SiteServer, function_id: str) -> str:
    """The JWT that the function gets when a user with a session calls it."""
    with site.client(x_appwrite_session=session_of(site).headers["x-appwrite-session"]) as user:
        answer = user.post(f"/functions/{function_id}/executions", json={})
    headers: dict[str, str] = json.loads(answer.json()["responseBody"])["headers"]
    return headers["x-appwrite-user-jwt"]


def test_a_jwt_creates_no_other(site: SiteServer, function_id: str) -> None:
    own = site.site.tokens.mint_user(
        UserClaims(user_id="ada", exp=int(time.time()) + 60, session_id="forged")
    )
    for token in (own, handed(site, function_id)):
        with site.client(x_appwrite_jwt=token) as user:
            assert user.get("/account").status_code == 200
            assert refusal(user.post("/account/jwts", json={"duration": 3600})) == (
                404,
                "user_session_not_found",
            )


def test_a_jwt_is_no_session_nor_a_session_a_jwt(site: SiteServer, function_id: str) -> None:
    for token in (
        handed(site, function_id),
        site.site.tokens.mint_user(UserClaims(user_id="ada", exp=2**40)),
    ):
        wrapped = base64.b64encode(json.dumps({"id": "ada", "secret": token}).encode()).decode()
        with site.client(x_appwrite_session=wrapped) as user:
            assert refusal(user.get("/account")) == GUEST
    session = session_of(site).headers["x-appwrite-session"]
    with site.client(x_appwrite_jwt=json.loads(base64.b64decode(session))["secret"]) as user:
        assert refusal(user.get("/account")) == (401, "user_jwt_invalid")


def test_executions_queued_with_a_jwt_get_one_that_ends_with_it(
    site: SiteServer, function_id: str
) -> None:
    first = handed(site, function_id)
    ends = int(time.time()) + 30
    short = site.site.tokens.mint_user(UserClaims(user_id="ada", exp=ends, handed=True))
    for token in (first, short):
        token_ends = claims(site, token).exp
        for _ in range(3):
            token = given(site, later(site, function_id, token))["x-appwrite-user-jwt"]
            assert claims(site, token).exp <= token_ends
    assert claims(site, token).exp == ends


def test_executions_after_the_end_of_a_functions_jwt_get_none(
    site: SiteServer, function_id: str
) -> None:
    at = (now_ms() // MINUTE + 3) * MINUTE
    ends = int(time.time()) + 2
    own, short = (
        site.site.tokens.mint_user(UserClaims(user_id="ada", exp=ends, handed=made))
        for made in (False, True)
    )
    planned = [
        later(site, function_id, token, scheduledAt=format_instant(at)) for token in (own, short)
    ]
    wait_until(lambda: time.time() > ends, 20, "both have ended")

    async def run_what_is_due() -> None:
        await Scheduler(site.site.database, site.site.functions, site.site.executions).step(at)

    site.run(run_what_is_due())
    # A client's own token does not limit the execution's token, as in Appwrite.
    assert claims(site, given(site, planned[0])["x-appwrite-user-jwt"]).user_id == "ada"
    headers = given(site, planned[1])
    assert (headers["x-appwrite-user-id"], headers["x-appwrite-user-jwt"]) == ("ada", "")
