"""Executions are followed as they run."""

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from minifn.api.wire.event_stream import Outbox
from minifn.change_feed import Begun, Printed
from minifn.host.budget import Budget
from minifn.ids import new_id
from minifn.limits import STREAMS_MAX
from minifn.models import Execution
from tests.api.event_reader import reading
from tests.api.site import SiteServer, deploy, refusal
from tests.patience import patient
from tests.processes import killed_at_end
from tests.serving import Api, Server, free_port, pack, wait_until

LOGGING = b"""
import time

def main(context):
    context.log("first", {"id": 1})
    context.error("oops")
    time.sleep(0.3)
    context.log("second")
    return context.res.text("done", int(context.req.body or 200))
"""


@pytest.fixture(scope="module")
def logging_function(server: Server) -> str:
    """A function of the real server that logs before and after a pause."""
    with server.api as api:
        api.create("logging", api.runtime("python"), entrypoint="main.py", execute=["any"])
        api.deploy("logging", pack(extra={"main.py": LOGGING}))
    return "logging"


def test_lines_come_while_the_function_runs(api: Api, logging_function: str) -> None:
    other = threading.Thread(target=lambda: api.execute(logging_function, path="/a?b=1"))
    with reading(api.http, "/minifn/logs", params={"functionId": logging_function}) as reader:
        other.start()
        name, begun = reader.next()
        assert (name, begun["functionId"], begun["path"]) == ("begin", "logging", "/a?b=1")
        assert (begun["trigger"], begun["method"]) == ("http", "POST")
        execution_id = begun["executionId"]
        log = {"executionId": execution_id, "functionId": "logging"}
        first = {**log, "stream": "logs", "text": 'first {"id":1}\n'}
        assert reader.next() == ("log", first)
        assert reader.next() == ("log", {**log, "stream": "errors", "text": "oops\n"})
        # A synchronous execution is stored when it ends.
        assert api.http.get(f"/minifn/executions/{execution_id}").status_code == 404
        assert reader.next() == ("log", {**log, "stream": "logs", "text": "second\n"})
        name, ended = reader.next()
    other.join()
    assert name == "end"
    assert ended == api.call("GET", f"/minifn/executions/{execution_id}", 200)
    assert ended["logs"] == 'first {"id":1}\nsecond\n'


def test_only_failed_executions(api: Api, logging_function: str) -> None:
    with reading(api.http, "/minifn/logs", params={"failed": "true"}) as reader:
        for body in ("200", "500"):
            api.call("POST", "/functions/logging/executions", 201, json={"body": body})
        name, ended = reader.next()
        assert (name, ended["status"], ended["errors"]) == ("end", "failed", "oops\n")


def test_nothing_is_told_without_a_reader(site: SiteServer, admin: httpx.Client) -> None:
    wait_until(lambda: not site.site.changes.live, 10, "earlier readers have left")
    with reading(admin, "/minifn/logs"):
        assert site.site.changes.live
    wait_until(lambda: not site.site.changes.live, 10, "the reader has left")
    assert site.site.budgets.streams.used == 0


def test_a_queued_execution_begins_when_it_runs(site: SiteServer, admin: httpx.Client) -> None:
    function_id, other = deploy(site, admin), deploy(site, admin)
    query = [("functionId", function_id), ("functionId", "nothing"), ("functionId", "")]
    with reading(admin, "/minifn/logs", params=query) as reader:
        admin.post(f"/functions/{other}/executions", json={})
        queued = admin.post(f"/functions/{function_id}/executions", json={"async": True}).json()
        name, begun = reader.next()
        assert (name, begun["executionId"]) == ("begin", queued["$id"])
        name, ended = reader.next()
        assert (name, ended["$id"], ended["status"]) == ("end", queued["$id"], "completed")


def test_one_execution(site: SiteServer, admin: httpx.Client) -> None:
    wanted, other = (Execution(id=new_id(), function_id="fn") for _ in range(2))
    with reading(admin, "/minifn/logs", params={"executionId": wanted.id}) as reader:
        tell(site, Begun(execution=other))
        tell(site, Begun(execution=wanted))
        assert reader.next()[1]["executionId"] == wanted.id


def tell(site: SiteServer, news: Begun | Printed) -> None:
    async def now() -> None:
        site.site.changes.tell_watchers(news)

    site.run(now())


def test_a_call_that_no_worker_took_ends(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin)
    with reading(admin, "/minifn/logs", params={"functionId": function_id}) as reader:
        refused = admin.post(f"/functions/{function_id}/executions", json={"path": "/refused"})
        assert refused.status_code == 503
        assert reader.next()[0] == "begin"
        name, ended = reader.next()
    assert (name, ended["status"]) == ("end", "failed")


def test_hostile_text_is_json_on_one_line(site: SiteServer, admin: httpx.Client) -> None:
    text = "a\n\nevent: end\ndata: {}\n\n\r\x00\x85\u2028\u2029<img onerror=alert(1)>\x1b[31m\ud7ff"
    printed = Printed(execution_id="e", function_id="fn", stream="logs", text=text)
    with reading(admin, "/minifn/logs") as reader:
        tell(site, printed)
        tell(site, printed)
        for _ in range(2):
            assert reader.next() == (
                "log", {"executionId": "e", "functionId": "fn", "stream": "logs", "text": text}
            )  # fmt: skip


def test_a_reader_that_does_not_read_is_cut(site: SiteServer, admin: httpx.Client) -> None:
    printed = Printed(execution_id="e", function_id="fn", stream="logs", text="x" * 1_000_000)
    with reading(admin, "/minifn/logs") as reader:
        for _ in range(40):
            tell(site, printed)
        events = reader.rest()
    assert events[-1] == ("overrun", {})
    assert len(events) < 40
    wait_until(lambda: site.site.budgets.events.used == 0, 10, "nothing waits")


def test_readers_that_do_not_read_share_a_bound() -> None:
    budget = Budget(2_000_000)
    outboxes = [Outbox(budget) for _ in range(4)]
    for _ in range(4):
        for one in outboxes:
            one.put("log", "x" * 400_000)
            assert budget.used <= 2_000_000
    # Those that are behind are cut; one of which nothing waits takes every event.
    assert [one.ended for one in outboxes] == [True, True, True, False]
    fresh = Outbox(budget)
    budget.count(2_000_000)
    fresh.put("log", "x" * 400_000)
    assert not fresh.ended
    budget.give(2_000_000)
    for one in (*outboxes, fresh):
        one.drop()
    assert budget.used == 0


def test_streams_have_a_limit(site: SiteServer, admin: httpx.Client) -> None:
    budget = site.site.budgets.streams
    taken = STREAMS_MAX - budget.used
    budget.take(taken)
    try:
        assert refusal(admin.get("/minifn/logs")) == (503, "general_service_overloaded")
    finally:
        budget.give(taken)


def test_a_stream_ends_with_its_key(site: SiteServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minifn.api.wire.event_stream.TRUST_SECONDS", 0.0)
    monkeypatch.setattr("minifn.api.wire.event_stream.HEARTBEAT_SECONDS", 0.05)
    key, secret = site.run(site.site.keys.create("reader", ["execution.read"]))
    with site.client(x_appwrite_key=secret) as client, reading(client, "/minifn/logs") as reader:
        site.run(site.site.keys.delete(key.id))
        assert reader.rest() == []


def test_a_key_hears_of_its_own_functions_alone(site: SiteServer, admin: httpx.Client) -> None:
    mine = deploy(site, admin, functionId="mine-heard")
    theirs = deploy(site, admin, functionId="theirs-heard")
    _, secret = site.run(site.site.keys.create("mine", ["execution.read"], functions=["mine-*"]))
    with site.client(x_appwrite_key=secret) as client:
        refused = client.get("/minifn/logs", params={"functionId": theirs})
        assert refusal(refused) == (404, "function_not_found")
        with reading(client, "/minifn/logs") as reader:
            for function_id in (theirs, mine):
                admin.post(f"/functions/{function_id}/executions", json={})
            assert reader.next()[1]["functionId"] == mine


APP = """
from starlette.applications import Starlette
from minifn import Config, Minifn

minifn = Minifn(Config(data="data", sandbox="none", api_key="admin-key"))
app = Starlette(routes=minifn.routes(), lifespan=minifn.lifespan)
"""


def test_streams_end_when_uvicorn_stops_an_embedding_app(data: Path) -> None:
    (data.parent / "embedding.py").write_text(APP)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "embedding:app", "--port", str(port)]
    with (
        killed_at_end(
            subprocess.Popen(command, cwd=data.parent, stderr=subprocess.DEVNULL)
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", trust_env=False) as client,
    ):

        def answers() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return client.get("/ping").is_success
            return False

        wait_until(answers, 20, "the app answers")
        with reading(client, "/minifn/logs", headers={"x-appwrite-key": "admin-key"}) as reader:
            process.terminate()
            assert reader.rest() == []
        process.wait(patient(10))
