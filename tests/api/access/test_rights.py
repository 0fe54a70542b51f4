"""Every route with every kind of caller: without its scope a caller sees only that refusal."""

import re
import time

import httpx
import pytest

from minifn.api import OPERATIONS
from minifn.api.wire.operation import Operation
from minifn.scopes import SCOPES
from minifn.tokens import UserClaims
from tests.api.event_reader import ask
from tests.api.site import ADMIN_KEY, SiteServer, refusal

#: Operations open to every caller, each with its reason.
OPEN = {
    "functions.listRuntimes",
    "functions.listTemplates",
    "functions.getTemplate",
    "vcs.createEvent",  # signed by the host
    "account.createAnonymousSession",
    "account.createEmailPasswordSession",  # takes a password
    "account.get",  # the handler requires a user
    "account.createJWT",  # the handler requires a user
    "account.deleteSession",  # the handler requires a user
    "minifn.createSession",  # takes a key or the token of a link
    "minifn.getSession",  # the handler requires a key or a session
    "minifn.deleteSession",  # ends the caller's own
    "health.get",  # shows keys more
    "health.getVersion",
    "ping",
    "openapi.get",
}
#: Scopes of users, and of guests.
USERS = {"execution.read", "executions.read", "execution.write", "executions.write"}
GUESTS = {"execution.write", "executions.write"}
CLOSED = [operation for operation in OPERATIONS if operation.scopes]
LACKS = (401, "general_unauthorized_scope")


@pytest.fixture(scope="module")
def user(site: SiteServer) -> str:
    """A client JWT."""
    return site.site.tokens.mint_user(UserClaims(user_id="ada", exp=int(time.time()) + 600))


@pytest.fixture(scope="module")
def narrow(site: SiteServer) -> dict[str, str]:
    """An API key for each scope that an operation needs, with that scope alone."""
    return {
        scope: site.key(scope)
        for scope in sorted({scope for operation in CLOSED for scope in operation.scopes})
    }


def called(
    client: httpx.Client, operation: Operation, name: str = "nothing", **headers: str
) -> httpx.Response:
    """Call an operation with an id that does not exist and a body that is not JSON."""
    path = re.sub(r"\{[A-Za-z]+\}", name, operation.path)
    given = {
        "content-type": "application/json",
        **{key.replace("_", "-"): value for key, value in headers.items()},
    }
    return ask(client, operation.method, path, content=b"{broken", headers=given)


def lacks_scope(answer: httpx.Response) -> bool:
    return answer.status_code == 401 and refusal(answer) == LACKS


def test_open_operations_are_listed() -> None:
    assert {operation.name for operation in OPERATIONS if not operation.scopes} == OPEN


@pytest.mark.parametrize("operation", CLOSED, ids=lambda operation: operation.name)
def test_a_route_needs_its_scope_and_no_other(
    site: SiteServer, guest: httpx.Client, user: str, narrow: dict[str, str], operation: Operation
) -> None:
    wanted = set(operation.scopes)
    closed = operation.keys_only or GUESTS.isdisjoint(wanted)
    assert lacks_scope(called(guest, operation)) == closed
    assert lacks_scope(called(guest, operation, x_appwrite_key="standard_unknown")) == closed
    assert lacks_scope(called(guest, operation, x_appwrite_jwt=user)) == (
        USERS.isdisjoint(wanted) or operation.keys_only
    )
    assert not lacks_scope(called(guest, operation, x_appwrite_key=ADMIN_KEY))
    for scope, key in narrow.items():
        assert lacks_scope(called(guest, operation, x_appwrite_key=key)) == (scope not in wanted), (
            scope
        )
    everything_else = site.site.tokens.mint_key(tuple(sorted(SCOPES - wanted)), 60)
    assert lacks_scope(called(guest, operation, x_appwrite_key=everything_else))
    own = site.site.tokens.mint_key((operation.scopes[-1],), 60)
    assert not lacks_scope(called(guest, operation, x_appwrite_key=own))


@pytest.mark.parametrize("operation", CLOSED, ids=lambda operation: operation.name)
def test_without_the_scope_nothing_else_is_checked(
    guest: httpx.Client, site: SiteServer, operation: Operation
) -> None:
    key = site.site.tokens.mint_key((), 60)
    for name in ("nothing", "-bad", "a" * 100, "%2e%2e", "%00"):
        answer = called(guest, operation, name, x_appwrite_key=key)
        assert refusal(answer) == LACKS, name
