"""Realtime: both protocols of the web SDK, events, and clients that misbehave."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from minifn.api.broadcast import WAITING_MESSAGES_MAX
from minifn.models import Execution
from tests.api.realtime_client import SECONDS, admin_listening, listening
from tests.api.site import SiteServer, create_function, deploy, upload
from tests.patience import patient
from tests.serving import FUNCTIONS, Api, Server, pack


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


def test_every_step_of_a_queued_execution_is_an_event(
    site: SiteServer, admin: httpx.Client
) -> None:
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
        assert variable["value"] == "", "variables are secret by default"
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
            f"variables.{shared['$id']}.create",
            "variables.*.create",
            f"variables.{shared['$id']}",
            "variables.*",
        ]


def test_a_server_with_clients_stops_at_once(tmp_path: Path) -> None:
    with ExitStack() as client_stack:
        with SiteServer(tmp_path / "data") as site:
            client = client_stack.enter_context(admin_listening(site, "executions"))
            begun = time.monotonic()
        assert time.monotonic() - begun < patient(5)
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
def test_invalid_messages_end_the_connection(site: SiteServer, text: str) -> None:
    with listening(site.port) as client:
        client.send_text(text)
        assert client.refused()


def test_the_feed_is_unused_without_subscribers(site: SiteServer) -> None:
    with listening(site.port, "executions"):
        assert not site.site.changes.heard, "a guest may read nothing"
    with admin_listening(site, "executions"), admin_listening(site, "functions"):
        assert site.site.changes.heard
    deadline = time.monotonic() + patient(SECONDS)
    while site.site.changes.heard:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_slow_client_is_closed(site: SiteServer) -> None:
    async def burst() -> None:
        for _ in range(WAITING_MESSAGES_MAX + 2):
            site.site.changes.tell("create", Execution(id="e", function_id="f"))

    with admin_listening(site, "executions.e") as client:
        site.run(burst())
        with pytest.raises(ConnectionClosed) as closed:
            client.event(lambda _: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


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
