"""Realtime: how clients authenticate, and which changes they may read."""

import time

import httpx
import pytest
from websockets.sync.client import connect

from minifn.tokens import UserClaims
from tests.api.realtime_client import Client, listening
from tests.api.site import ADMIN_KEY, PROJECT, SiteServer, deploy, upload


def jwt(site: SiteServer, user_id: str, seconds: float = 60) -> str:
    return site.site.tokens.mint_user(UserClaims(user_id=user_id, exp=int(time.time() + seconds)))


def session(guest: httpx.Client) -> tuple[str, str]:
    """Return a new anonymous user and the value of their session."""
    answer = guest.post("/account/sessions/anonymous", json={})
    return answer.json()["userId"], answer.headers["x-appwrite-session"]


def test_users_hear_only_of_their_own_executions(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin, execute=["any"])
    path = f"/functions/{function_id}/executions"
    with (
        site.client(x_appwrite_jwt=jwt(site, "ada")) as ada,
        site.client(x_appwrite_jwt=jwt(site, "bob")) as bob,
        site.client() as guest,
        listening(
            site.port, "executions", "functions", f"functions.{function_id}", jwt=jwt(site, "ada")
        ) as client,
        listening(site.port, "executions", f"functions.{function_id}") as guest_client,
    ):
        assert client.connected["data"]["user"]["$id"] == "ada"
        for caller in (bob, guest, admin):
            assert caller.post(path, json={}).status_code == 201
        upload(admin, function_id)
        client.hears_nothing()
        execution = ada.post(path, json={"body": "hers"}).json()
        event = client.event()
        assert event["payload"]["$id"] == execution["$id"]
        assert (event["payload"]["logs"], event["payload"]["errors"]) == ("", "")
        client.hears_nothing()
        guest_client.hears_nothing()


@pytest.mark.parametrize(
    ("scope", "heard"),
    [
        ("executions.read", {"executions"}),
        ("functions.read", {"functions", "deployments"}),
        ("users.read", set()),
    ],
)
def test_keys_hear_what_their_scopes_let_them_read(
    site: SiteServer, admin: httpx.Client, scope: str, heard: set[str]
) -> None:
    with listening(
        site.port,
        "functions",
        "executions",
        "deployments",
        headers={"x-appwrite-key": site.key(scope)},
    ) as client:
        function_id = deploy(site, admin)
        admin.post(f"/functions/{function_id}/executions", json={})
        client.send("ping")
        kinds = set()
        while (message := client.next())["type"] == "event":
            kinds.add(message["data"]["channels"][0])
        assert kinds == heard


def test_a_session_by_message(site: SiteServer, admin: httpx.Client, guest: httpx.Client) -> None:
    function_id = deploy(site, admin, execute=["users"])
    user_id, value = session(guest)
    with listening(site.port, "executions") as client:
        assert client.connected["data"]["user"] is None
        client.send("authentication", {"session": value})
        answer = client.next()
        assert answer["type"] == "response"
        assert (answer["data"]["to"], answer["data"]["success"]) == ("authentication", True)
        assert answer["data"]["user"]["$id"] == user_id
        with site.client(x_appwrite_session=value) as user:
            user.post(f"/functions/{function_id}/executions", json={})
        assert client.event()["payload"]["$permissions"] == [f'read("user:{user_id}")']


def test_a_session_by_cookie_and_a_key_by_message(site: SiteServer, guest: httpx.Client) -> None:
    user_id, value = session(guest)
    with listening(site.port, headers={"cookie": f"a=b; a_session_{PROJECT}={value}"}) as client:
        assert client.connected["data"]["user"]["$id"] == user_id
    with listening(site.port, "functions") as client:
        client.send("authentication", {"key": ADMIN_KEY})
        assert client.next()["data"] == {"to": "authentication", "success": True, "user": None}


def test_refused_handshakes(site: SiteServer) -> None:
    with listening(site.port, jwt=jwt(site, "ada", seconds=-60)) as late:
        assert late.connected["type"] == "error"
        assert late.connected["data"]["code"] == 1008
    with connect(f"ws://127.0.0.1:{site.port}/v1/realtime", proxy=None) as socket:
        assert "project" in Client(socket).connected["data"]["message"]
    with connect(f"ws://127.0.0.1:{site.port}/v1/realtime?project=other", proxy=None) as socket:
        assert Client(socket).connected["data"]["code"] == 1008
    with listening(site.port, headers={"origin": "https://elsewhere.example"}) as foreign:
        assert "MINIFN_ORIGINS" in foreign.connected["data"]["message"]
    with listening(site.port) as client:
        client.send("authentication", {"session": "forged"})
        assert "not valid" in client.refused()


def test_callers_who_lose_their_rights_are_closed(
    site: SiteServer, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    function_id = deploy(site, admin)
    monkeypatch.setattr("minifn.api.realtime.TRUST_SECONDS", 0)
    key, secret = site.run(site.site.keys.create("short", ["executions.read"]))
    with listening(site.port, "executions", headers={"x-appwrite-key": secret}) as client:
        admin.post(f"/functions/{function_id}/executions", json={})
        client.event()
        assert site.run(site.site.keys.delete(key.id))
        admin.post(f"/functions/{function_id}/executions", json={})
        assert "no longer" in client.refused()
