"""Executions that run later: their headers, and the limits of the queue."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from minifn.instants import format_instant, now_ms
from minifn.models import Execution
from minifn.services.schedules import Scheduler
from minifn.store import executions
from minifn.tokens import UserClaims
from tests.api.site import SiteServer, deploy
from tests.serving import wait_until

MINUTE = 60_000


@pytest.fixture(scope="module")
def function_id(site: SiteServer) -> Iterator[str]:
    with site.admin() as client:
        yield deploy(site, client, execute=["users"], schedule="* * * * *")


@pytest.fixture
def scheduler(site: SiteServer) -> Scheduler:
    """A scheduler whose steps a test calls."""

    async def make() -> Scheduler:
        return Scheduler(site.site.database, site.site.functions, site.site.executions)

    return site.run(make())


def later(client: httpx.Client, function_id: str, **body: Any) -> str:
    answer = client.post(f"/functions/{function_id}/executions", json={"async": True, **body})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["$id"])


def given(site: SiteServer, execution_id: str) -> dict[str, str]:
    """The headers of the function's request."""

    def called() -> dict[str, str] | None:
        for request in site.site.pool.requests:
            headers = dict(request.headers)
            if headers["x-appwrite-execution-id"] == execution_id:
                return headers
        return None

    return wait_until(called, 20, "the function is called")


def test_a_queued_execution_knows_its_user(
    site: SiteServer, function_id: str, scheduler: Scheduler
) -> None:
    """Even without a session, by a token created when it runs."""
    token = site.site.tokens.mint_user(UserClaims(user_id="ann", exp=now_ms() // 1000 + 60))
    at = (now_ms() // MINUTE + 3) * MINUTE
    with site.client(x_appwrite_jwt=token) as client:
        queued = later(client, function_id)
        planned = later(client, function_id, scheduledAt=format_instant(at), path="/planned")
    site.run(scheduler.step(at))
    for execution_id, trigger in ((queued, "http"), (planned, "schedule")):
        headers = given(site, execution_id)
        assert (headers["x-appwrite-trigger"], headers["x-appwrite-event"]) == (trigger, "")
        assert headers["x-appwrite-user-id"] == "ann"
        claims = site.site.tokens.verify_user(headers["x-appwrite-user-jwt"])
        assert (claims.user_id, claims.session_id) == ("ann", "")


def newest(site: SiteServer, function_id: str) -> Execution:
    async def read() -> Execution | None:
        row = await site.site.database.read(
            lambda conn: conn.execute(
                "SELECT id FROM executions ORDER BY sequence DESC LIMIT 1"
            ).fetchone()
        )
        return await site.site.database.read(executions.get, function_id, row[0])

    def over() -> Execution | None:
        found = site.run(read())
        return found if found and found.status in ("completed", "failed") else None

    return wait_until(over, 20, "the newest execution is over")


def test_a_tick_without_a_deployment_fails(site: SiteServer, scheduler: Scheduler) -> None:
    with site.admin() as client:
        function_id = deploy(site, client, schedule="* * * * *")
        now = now_ms()
        due_at = site.run(scheduler.step(now))
        assert due_at is not None
        site.run(scheduler.step(due_at))
        ticked = newest(site, function_id)
        assert (ticked.status, ticked.trigger, ticked.logs) == ("completed", "schedule", "logged")
        headers = given(site, ticked.id)
        assert (headers["x-appwrite-trigger"], headers["x-appwrite-user-id"]) == ("schedule", "")
        assert headers["x-appwrite-user-jwt"] == ""
        assert "x-appwrite-client-ip" not in headers
        query = {
            "method": "equal",
            "attribute": "scheduleNext",
            "values": [format_instant(due_at + MINUTE)],
        }
        found = client.get("/functions", params={"queries[]": json.dumps(query)}).json()
        assert function_id in [item["$id"] for item in found["functions"]]
        deployment = client.get(f"/functions/{function_id}").json()["deploymentId"]
        assert (
            client.delete(f"/functions/{function_id}/deployments/{deployment}").status_code == 204
        )
        site.run(scheduler.step(due_at + MINUTE))
        failed = newest(site, function_id)
        assert (failed.status, failed.trigger, failed.deployment_id) == ("failed", "schedule", "")
        assert "Deployment not found" in failed.errors


def test_a_full_queue_refuses_more(tmp_path: Path) -> None:
    """Synchronous executions still run."""
    with SiteServer(tmp_path / "data", queue_limit=2) as server, server.admin() as client:
        function_id, *others = (deploy(server, client) for _ in range(3))
        (queue,) = (
            task
            for task in asyncio.all_tasks(server._loop)
            if task.get_name() == "minifn queue of executions"
        )
        server._loop.call_soon_threadsafe(queue.cancel)
        for other in others:
            later(client, other)
        answer = client.post(f"/functions/{function_id}/executions", json={"async": True})
        assert (answer.status_code, answer.json()["type"]) == (503, "general_service_overloaded")
        assert int(answer.headers["retry-after"]) > 0
        assert client.post(f"/functions/{function_id}/executions", json={}).status_code == 201


def test_guests_of_one_function_cannot_fill_the_queue(tmp_path: Path) -> None:
    with (
        SiteServer(tmp_path / "data", queue_limit=8) as server,
        server.admin() as client,
        server.client() as guest,
    ):
        public, other = deploy(server, client, execute=["any"]), deploy(server, client)
        (queue,) = (
            task
            for task in asyncio.all_tasks(server._loop)
            if task.get_name() == "minifn queue of executions"
        )
        server._loop.call_soon_threadsafe(queue.cancel)
        path = f"/functions/{public}/executions"
        assert [guest.post(path, json={"async": True}).status_code for _ in range(9)] == [
            202
        ] * 2 + [503] * 7
        due_at = format_instant((now_ms() // MINUTE + 1_000_000) * MINUTE)
        assert client.post(path, json={"async": True, "scheduledAt": due_at}).status_code == 503
        later(client, other)


def test_bodies_on_disk_are_bounded(tmp_path: Path) -> None:
    """Scheduled executions may take half of the budget."""
    due_at = format_instant((now_ms() // MINUTE + 1_000_000) * MINUTE)
    with SiteServer(tmp_path / "data", queue_bytes=1_000_000) as server, server.admin() as client:
        function_id, other = deploy(server, client), deploy(server, client)
        scheduled = {"async": True, "scheduledAt": due_at, "body": "x" * 400_000}
        path = f"/functions/{function_id}/executions"
        assert [client.post(path, json=scheduled).status_code for _ in range(3)] == [202, 503, 503]
        assert client.post(path, json={**scheduled, "body": ""}).status_code == 202
        assert client.post(path, json={"async": True, "body": "x" * 700_000}).status_code == 503
        for _ in range(5):
            over(
                client, f"/functions/{other}/executions/{later(client, other, body='x' * 500_000)}"
            )


def over(client: httpx.Client, path: str) -> None:
    """Wait until an execution has run."""
    wait_until(lambda: client.get(path).json()["status"] == "completed", 20, "it has run")
