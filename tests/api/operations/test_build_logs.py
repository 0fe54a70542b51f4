"""A build's log is followed from its beginning to its end."""

import time
from typing import Any

import httpx
import pytest

from minifn.instants import now_ms
from minifn.limits import LOG_LIMIT_CHARS
from minifn.models import Deployment
from minifn.store import build_queue, deployments
from minifn.store.build_queue import BuildResult
from tests.api.event_reader import Event, EventReader, reading
from tests.api.site import SiteServer, create_function, refusal, upload
from tests.patience import patient
from tests.serving import Api, pack

SLOW_BUILD = "echo one; sleep 0.6; echo two"


def path(deployment_id: str) -> str:
    return f"/minifn/build-logs/{deployment_id}"


def text_of(events: list[Event]) -> str:
    return "".join(content["text"] for name, content in events if name == "log")


def test_a_build_is_followed_while_it_runs(api: Api) -> None:
    api.create("slowly", api.runtime("python"), entrypoint="main.py", commands=SLOW_BUILD)
    deployment_id = api.upload("slowly", pack(extra={"main.py": b"def main(context): ..."}))["$id"]
    with reading(api.http, path(deployment_id)) as reader:
        seen = ""
        while "one\n" not in seen:
            seen += reader.next("log")[1]["text"]
        assert "two\n" not in seen
        building = api.call("GET", f"/functions/slowly/deployments/{deployment_id}", 200)
        assert building["status"] in ("processing", "building")
        rest = reader.rest()
    ended = api.call("GET", f"/functions/slowly/deployments/{deployment_id}", 200)
    assert seen + text_of(rest) == ended["buildLogs"]
    outcome = {"status": "ready", "seconds": ended["buildDuration"], "size": ended["buildSize"]}
    assert rest[-1] == ("end", outcome)
    began = time.monotonic()
    with reading(api.http, path(deployment_id)) as reader:
        assert reader.rest() == [("log", {"text": ended["buildLogs"]}), ("end", outcome)]
    assert time.monotonic() - began < patient(5)


@pytest.fixture
def building(site: SiteServer, admin: httpx.Client) -> str:
    """A deployment that is being built; the test writes its log."""
    deployment_id = str(upload(admin, create_function(admin)["$id"])["$id"])
    site.run(write(site, "UPDATE deployments SET status = 'building' WHERE id = ?", deployment_id))
    return deployment_id


async def write(site: SiteServer, sql: str, *values: Any) -> None:
    await site.site.database.write(lambda conn: conn.execute(sql, values).rowcount)


async def append(site: SiteServer, deployment_id: str, text: str, *, told: bool = True) -> None:
    chars = await site.site.database.write(build_queue.append_logs, deployment_id, text)
    assert chars is not None
    if told:
        site.site.changes.tell_log(deployment_id, text, chars)


async def finish(site: SiteServer, deployment_id: str) -> Deployment:
    result = BuildResult(status="failed", duration_seconds=3, build_size_bytes=0)
    ended = await site.site.database.write(build_queue.finish, deployment_id, result, now_ms())
    assert ended is not None
    site.site.changes.tell("update", ended)
    return ended


def told(site: SiteServer, reader: EventReader, deployment_id: str, text: str) -> None:
    site.run(append(site, deployment_id, text))
    assert reader.next() == ("log", {"text": text})


def test_a_piece_that_was_read_is_not_sent_again(
    site: SiteServer, admin: httpx.Client, building: str
) -> None:
    """It is stored before the stream begins, and told after it."""
    site.run(append(site, building, "stored\n", told=False))
    with reading(admin, path(building)) as reader:
        assert reader.next() == ("log", {"text": "stored\n"})

        async def late() -> None:
            site.site.changes.tell_log(building, "stored\n", len("stored\n"))

        site.run(late())
        told(site, reader, building, "stored\n")
        site.run(finish(site, building))
        assert reader.rest() == [("end", {"status": "failed", "seconds": 3, "size": 0})]


def test_a_long_log_goes_on(site: SiteServer, admin: httpx.Client, building: str) -> None:
    site.run(append(site, building, "x" * LOG_LIMIT_CHARS))
    with reading(admin, path(building)) as reader:
        assert len(reader.next()[1]["text"]) == LOG_LIMIT_CHARS
        told(site, reader, building, "more\n")


@pytest.mark.parametrize("gone", ["deployment", "function"])
def test_the_stream_of_a_deleted_build_ends(
    site: SiteServer, admin: httpx.Client, building: str, gone: str
) -> None:
    function_id = site.run(find(site, building)).function_id
    target = f"/functions/{function_id}"
    with reading(admin, path(building)) as reader:
        tail = f"/deployments/{building}" if gone == "deployment" else ""
        assert admin.delete(f"{target}{tail}").status_code == 204
        assert reader.rest() == []


async def find(site: SiteServer, deployment_id: str) -> Deployment:
    found = await site.site.database.read(deployments.by_id, deployment_id)
    assert found is not None
    return found


def test_a_canceled_build(site: SiteServer, admin: httpx.Client, building: str) -> None:
    function_id = site.run(find(site, building)).function_id
    with reading(admin, path(building)) as reader:
        admin.patch(f"/functions/{function_id}/deployments/{building}/status")
        events = reader.rest()
    assert "canceled" in text_of(events).lower()
    assert events[-1][1]["status"] == "canceled"


def test_an_unknown_deployment(site: SiteServer, admin: httpx.Client, building: str) -> None:
    assert refusal(admin.get(path("nothing"))) == (404, "deployment_not_found")
    _, secret = site.run(site.site.keys.create("x", ["functions.read"], functions=["other-*"]))
    with site.client(x_appwrite_key=secret) as other:
        assert refusal(other.get(path(building))) == (404, "deployment_not_found")
