"""Realtime: both protocols of the web SDK, who hears what, and what becomes of clients that misbehave."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from minifn.api.access.callers import ADMIN, GUEST, user_caller
from minifn.api.broadcast import WAITING_BYTES_MAX, WAITING_MESSAGES_MAX, Broadcast, Subscriber
from minifn.change_feed import ChangeFeed
from minifn.models import Execution
from minifn.tokens import UserClaims
from tests.api.site import ADMIN_KEY, PROJECT, SiteServer, create_function, deploy, upload
from tests.serving import FUNCTIONS, Api, Server, pack

SECONDS = 10


class Client:
    """A WebSocket client of a server, with the `connected` message already read."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.connected = self.next()

    def send(self, kind: str, data: Any = None) -> None:
        self._socket.send(json.dumps({"type": kind, "data": data}))

    def send_text(self, text: str) -> None:
        self._socket.send(text)

    def next(self, seconds: float = SECONDS) -> Any:
        return json.loads(self._socket.recv(seconds))

    def event(self, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """Return the data of the next event that fits; others are skipped."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message = self.next()
            assert message["type"] == "event", message
            if fits(message["data"]):
                return message["data"]
        raise AssertionError("no such event")

    def hears_nothing(self) -> None:
        """Check that nothing waits: what was sent before the answer to a ping would have come before it."""
        self.send("ping")
        assert self.next() == {"type": "pong"}

    def refused(self) -> str:
        """Return the message of the error that ends the connection."""
        error = self.next()
        assert error["type"] == "error", error
        assert error["data"]["code"] == 1008
        with pytest.raises(ConnectionClosed) as closed:
            self.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        return str(error["data"]["message"])


@contextmanager
def listening(
    port: int, *channels: str, headers: dict[str, str] | None = None, **query: str
) -> Iterator[Client]:
    parameters = [
        ("project", PROJECT),
        *(("channels[]", channel) for channel in channels),
        *query.items(),
    ]
    with connect(
        f"ws://127.0.0.1:{port}/v1/realtime?{urlencode(parameters)}",
        additional_headers=headers,
        proxy=None,
    ) as socket:
        yield Client(socket)


def admin_listening(site: SiteServer, *channels: str) -> Any:
    return listening(site.port, *channels, headers={"x-appwrite-key": ADMIN_KEY})


def jwt(site: SiteServer, user_id: str, seconds: float = 60) -> str:
    return site.site.tokens.mint_user(UserClaims(user_id=user_id, exp=int(time.time() + seconds)))


def session(guest: httpx.Client) -> tuple[str, str]:
    """Return a new anonymous user and the value of their session."""
    answer = guest.post("/account/sessions/anonymous", json={})
    return answer.json()["userId"], answer.headers["x-appwrite-session"]


def test_channels_in_the_url(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin)
    with admin_listening(site, "executions", f"functions.{function_id}") as client:
        assert client.connected == {
            "type": "connected",
            "data": {"channels": ["executions", f"functions.{function_id}"], "user": None},
        }
        execution = admin.post(f"/functions/{function_id}/executions", json={"body": "Ä"}).json()
        event = client.event(lambda event: event["payload"]["functionId"] == function_id)
        base = f"functions.{function_id}.executions.{execution['$id']}"
        assert event["events"][0] == f"{base}.create"
        assert {base, f"functions.{function_id}", "functions.*.executions.*.create"} < set(
            event["events"]
        )
        assert event["channels"] == [
            "executions", f"executions.{execution['$id']}", "functions", f"functions.{function_id}"
        ]  # fmt: skip
        assert event["payload"] == execution
        assert event["payload"]["logs"] == "logged"
        assert "subscriptions" not in event


def test_channels_by_messages(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin)
    with admin_listening(site) as client:
        assert client.connected["data"]["channels"] == []
        wanted = [
            {"subscriptionId": "one", "channels": [f"functions.{function_id}"], "queries": []},
            {"subscriptionId": "two", "channels": ["nothing"]},
        ]
        client.send("subscribe", wanted)
        answer = client.next()
        assert answer["type"] == "response"
        assert (answer["data"]["to"], answer["data"]["success"]) == ("subscribe", True)
        assert [item["subscriptionId"] for item in answer["data"]["subscriptions"]] == [
            "one",
            "two",
        ]
        admin.post(f"/functions/{function_id}/executions", json={})
        assert client.event()["subscriptions"] == ["one"]
        client.send("unsubscribe", [{"subscriptionId": "one"}, {"subscriptionId": "never"}])
        assert client.next()["data"] == {
            "to": "unsubscribe", "success": True, "subscriptions": [{"subscriptionId": "one"}]
        }  # fmt: skip
        admin.post(f"/functions/{function_id}/executions", json={})
        client.hears_nothing()


def test_queued_executions_are_told_of_at_every_step(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin)
    with admin_listening(site, f"functions.{function_id}") as client:
        execution_id = admin.post(
            f"/functions/{function_id}/executions", json={"async": True}
        ).json()["$id"]
        events = [client.event() for _ in range(3)]
        assert [event["payload"]["status"] for event in events] == [
            "waiting",
            "processing",
            "completed",
        ]
        actions = [event["events"][0].rpartition(".")[2] for event in events]
        assert actions == ["create", "update", "update"]
        assert (
            admin.delete(f"/functions/{function_id}/executions/{execution_id}").status_code == 204
        )
        assert (
            client.event()["events"][0]
            == f"functions.{function_id}.executions.{execution_id}.delete"
        )


def test_functions_deployments_and_variables(site: SiteServer, admin: httpx.Client) -> None:
    with admin_listening(site, "functions", "variables") as client:
        function_id = create_function(admin)["$id"]
        mine = f"functions.{function_id}"

        def next_event() -> Any:
            return client.event(lambda event: event["events"][0].startswith((mine, "variables.")))

        assert next_event()["events"][0] == f"{mine}.create"
        variable = admin.post(
            f"/{mine.replace('.', '/')}/variables", json={"key": "A", "value": "secret"}
        ).json()
        event = next_event()
        assert event["events"][0] == f"{mine}.variables.{variable['$id']}.create"
        assert event["payload"] == variable
        assert variable["value"] == "", "a variable is secret unless it says otherwise"
        admin.put(f"/functions/{function_id}", json={"name": "renamed"})
        event = next_event()
        assert event["payload"]["name"] == "renamed"
        assert [item["key"] for item in event["payload"]["vars"]] == ["A"]
        deployment_id = upload(admin, function_id)["$id"]
        event = next_event()
        assert event["events"][0] == f"{mine}.deployments.{deployment_id}.create"
        assert event["channels"] == [
            "deployments",
            f"deployments.{deployment_id}",
            "functions",
            mine,
        ]
        site.run(site.site.build(deployment_id))
        admin.patch(f"/functions/{function_id}/deployment", json={"deploymentId": deployment_id})
        assert next_event()["payload"]["status"] == "ready"
        admin.delete(f"/functions/{function_id}/deployments/{deployment_id}")
        assert next_event()["events"][0].endswith(f"{deployment_id}.delete")
        admin.delete(f"/functions/{function_id}")
        assert next_event()["events"][0] == f"{mine}.delete"
        shared = admin.post(
            "/project/variables", json={"key": f"B_{function_id}", "value": "x"}
        ).json()
        assert next_event()["events"] == [
            f"variables.{shared['$id']}.create", "variables.*.create", f"variables.{shared['$id']}", "variables.*"
        ]  # fmt: skip


def test_users_hear_of_their_own_executions_alone(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin, execute=["any"])
    path = f"/functions/{function_id}/executions"
    with (
        site.client(x_appwrite_jwt=jwt(site, "ada")) as ada,
        site.client(x_appwrite_jwt=jwt(site, "bob")) as bob,
        site.client() as guest,
        listening(
            site.port, "executions", "functions", f"functions.{function_id}", jwt=jwt(site, "ada")
        ) as client,
        listening(site.port, "executions", f"functions.{function_id}") as nobody,
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
        nobody.hears_nothing()


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


def test_who_does_not_get_in(site: SiteServer) -> None:
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


def test_who_loses_their_rights_hears_nothing_more(
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


def test_a_server_with_listeners_stops_at_once(tmp_path: Path) -> None:
    with ExitStack() as client_stack:
        with SiteServer(tmp_path / "data") as site:
            client = client_stack.enter_context(admin_listening(site, "executions"))
            begun = time.monotonic()
        assert time.monotonic() - begun < 5
        with pytest.raises(ConnectionClosed):
            client.next()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"type":"shout"}',
        '{"type":"subscribe","data":{}}',
        '{"type":"subscribe","data":[1]}',
        '{"type":"subscribe","data":[{"channels":[1]}]}',
        '{"type":"subscribe","data":[{"channels":["a"],"queries":["equal"]}]}',
        json.dumps({"type": "subscribe", "data": [{"channels": ["a" * 257]}]}),
        json.dumps({"type": "subscribe", "data": [{"channels": ["a"]}] * 201}),
    ],
)
def test_messages_that_mean_nothing_end_the_connection(site: SiteServer, text: str) -> None:
    with listening(site.port) as client:
        client.send_text(text)
        assert client.refused()


def test_who_is_gone_costs_nothing(site: SiteServer) -> None:
    with listening(site.port, "executions"):
        assert not site.site.changes.heard, "a guest may read nothing"
    with admin_listening(site, "executions"), admin_listening(site, "functions"):
        assert site.site.changes.heard
    deadline = time.monotonic() + SECONDS
    while site.site.changes.heard:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_client_that_lags_behind_is_closed(site: SiteServer) -> None:
    async def burst() -> None:
        for _ in range(WAITING_MESSAGES_MAX + 2):
            site.site.changes.tell("create", Execution(id="e", function_id="f"))

    with admin_listening(site, "executions.e") as client:
        site.run(burst())
        with pytest.raises(ConnectionClosed) as closed:
            client.event(lambda _: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


def test_what_waits_for_a_client_is_bounded() -> None:
    changes = ChangeFeed()
    broadcast = Broadcast(changes)
    slow = Subscriber(ADMIN)
    slow.subscriptions.from_url(["executions"])
    broadcast.join(slow)
    for _ in range(WAITING_MESSAGES_MAX):
        changes.tell("create", Execution(id="e", function_id="f"))
    assert not slow.overrun.is_set()
    changes.tell("create", Execution(id="e", function_id="f"))
    assert slow.overrun.is_set()


def test_large_messages_do_not_wait_without_end() -> None:
    connection = Subscriber(GUEST)
    connection.put(b"x" * WAITING_BYTES_MAX)
    assert not connection.overrun.is_set()
    connection.put(b"x")
    assert connection.overrun.is_set()


def test_an_event_is_encoded_once_for_each_kind_of_reader() -> None:
    changes = ChangeFeed()
    broadcast = Broadcast(changes)
    ada = user_caller(UserClaims(user_id="ada", exp=0), session=False)
    connections = [Subscriber(caller) for caller in (ADMIN, ada, GUEST)]
    for connection in connections:
        connection.subscriptions.from_url(["executions", "executions.e"])
        broadcast.join(connection)
    changes.tell("create", Execution(id="e", function_id="f", user_id="ada", logs="private"))

    async def first(subscriber: Subscriber) -> Any:
        return json.loads(b"".join(await asyncio.wait_for(subscriber.take(), 0.1)))

    assert asyncio.run(first(connections[0]))["data"]["payload"]["logs"] == "private"
    assert asyncio.run(first(connections[1]))["data"]["payload"]["logs"] == ""
    with pytest.raises(TimeoutError):
        asyncio.run(first(connections[2]))


def test_a_build_is_followed_live(server: Server, api: Api, tmp_path: Path) -> None:
    function_id = f"live-{time.monotonic_ns()}"
    api.create(
        function_id,
        api.runtime("python"),
        entrypoint="main.py",
        commands="echo first; sleep 1; echo second",
    )
    with listening(
        server.port, f"functions.{function_id}", headers={"x-appwrite-key": server.key}
    ) as client:
        api.upload(function_id, pack(FUNCTIONS / "hello"))
        seen: list[Any] = []
        while not seen or seen[-1]["status"] not in ("ready", "failed"):
            seen.append(client.event()["payload"])
        assert seen[-1]["status"] == "ready", seen[-1]["buildLogs"]
        assert list(dict.fromkeys(item["status"] for item in seen)) == [
            "waiting",
            "processing",
            "building",
            "ready",
        ]
        running = [item["buildLogs"] for item in seen if item["status"] == "building"]
        assert any("first\n" in log and "second\n" not in log for log in running)
