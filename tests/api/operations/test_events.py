"""Events of an app: the scope, the request of the functions, and the end of loops."""

import time
from typing import Any

import httpx
import pytest

from tests.api.site import SiteServer, deploy
from tests.patience import patient

SECONDS = 10


def test_events_from_outside(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin, events=["orders.*.create"])
    answer = admin.post(
        "/events", json={"event": "orders.7.create", "payload": {"a": 1}, "userId": "ada"}
    )
    assert (answer.status_code, answer.json()) == (202, {"total": 1})
    deadline = time.monotonic() + patient(SECONDS)
    while not (requests := [item for item in site.site.pool.requests if item.body == b'{"a":1}']):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    headers = dict(requests[0].headers)
    assert headers["x-appwrite-event"] == "orders.7.create"
    assert headers["x-appwrite-trigger"] == "event"
    assert headers["x-appwrite-user-id"] == "ada"
    assert headers["content-type"] == "application/json"
    assert "x-appwrite-client-ip" not in headers
    (execution,) = admin.get(f"/functions/{function_id}/executions").json()["executions"]
    assert (execution["trigger"], execution["$permissions"]) == ("event", [])


@pytest.mark.parametrize(
    "body",
    [{}, {"event": "orders"}, {"event": "functions.f.create"}, {"event": "a.1.b", "payload": [1]}],
)
def test_events_that_are_refused(admin: httpx.Client, body: dict[str, Any]) -> None:
    assert admin.post("/events", json=body).status_code == 400


def test_events_need_their_scope(site: SiteServer, guest: httpx.Client) -> None:
    body = {"event": "orders.1.create"}
    assert guest.post("/events", json=body).status_code == 401
    with site.client(x_appwrite_key=site.key("functions.write")) as other:
        assert other.post("/events", json=body).status_code == 401
    with site.client(x_appwrite_key=site.key("events.write")) as right:
        assert right.post("/events", json=body).status_code == 202


def test_a_function_that_causes_its_own_event_is_stopped(
    site: SiteServer, admin: httpx.Client
) -> None:
    function_id = deploy(site, admin, events=["loops.*.create"])
    for depth, total in ((9, 1), (10, 0)):
        key = site.site.tokens.mint_key(("events.write",), 60, depth=depth)
        with site.client(x_appwrite_key=key) as function:
            assert function.post("/events", json={"event": "loops.1.create"}).json() == {
                "total": total
            }
    newest = admin.get(f"/functions/{function_id}/executions").json()["executions"]
    assert any("was not delivered" in item["errors"] for item in newest)
