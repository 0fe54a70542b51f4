"""Requests that no client sends get an error and no traceback, which could fill the disk."""

import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from minifn.api import create_app
from minifn.api.wire.answers import unexpected_answer
from tests.api.site import ADMIN_KEY, PROJECT, SiteServer, deploy, refusal

pytestmark = pytest.mark.both_ways


@pytest.fixture(autouse=True)
def no_tracebacks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that leaves an unexpected error in the log."""
    yield
    assert [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= logging.ERROR
    ] == []


def test_a_path_writes_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    unexpected_answer(
        ValueError("x"),
        {"method": "GET", "path": "/\r\n2026-01-01 ERROR minifn: all is lost \x1b[2J"},
    )
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    caplog.clear()


def test_a_websocket_outside_realtime(site: SiteServer) -> None:
    for path in ("/git/x.git/info/refs", "/git", "/v1/functions", "/"):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{site.port}{path}", proxy=None)
        assert refused.value.response.status_code == 403, path


def last_words(site: SiteServer, *messages: str) -> Any:
    """Send texts to a realtime connection and return the error that ends it."""
    with connect(f"ws://127.0.0.1:{site.port}/v1/realtime?project={PROJECT}", proxy=None) as client:
        for message in messages:
            client.send(message)
        return next(data for text in client if (data := json.loads(text))["type"] == "error")[
            "data"
        ]


@pytest.mark.parametrize("depth", [1000, 30_000])
def test_realtime_messages_that_nest_deep(site: SiteServer, depth: int) -> None:
    for text in ('{"data":' + "[" * depth, '{"data":' + "[" * depth + "]" * depth + "}"):
        error = last_words(site, text)
        assert error["code"] == 1008
        assert "not valid" in error["message"]


def test_a_realtime_client_that_sends_nonsense_and_leaves(site: SiteServer) -> None:
    told: list[Any] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "nonsense"},
    ]
    sent: list[str] = []

    async def receive() -> Any:
        return told.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] == "websocket.send":
            raise OSError("the client is gone")

    async def connect_to() -> None:
        query = f"project={PROJECT}".encode()
        scope = {"type": "websocket", "path": "/v1/realtime", "headers": [], "query_string": query}
        await create_app(site.site)(scope, receive, send)

    site.run(connect_to())
    assert sent == ["websocket.accept", "websocket.send"]


def test_realtime_guests_take_little_memory(site: SiteServer) -> None:
    names = [[{"channels": [f"{part}-{number}" for number in range(200)]}] for part in range(6)]
    long = [
        [{"channels": [f"{part}-{number}".ljust(256, "x") for number in range(100)]}]
        for part in range(2)
    ]
    for wanted in (names, long):
        error = last_words(
            site, *(json.dumps({"type": "subscribe", "data": data}) for data in wanted)
        )
        assert "together" in error["message"]


def test_too_many_git_requests_at_once(site: SiteServer) -> None:
    query = "&".join(f"service{number}=x" for number in range(20))
    url = f"http://127.0.0.1:{site.port}/git/x.git/info/refs?{query}"
    assert httpx.get(url, auth=("any", ADMIN_KEY), trust_env=False).status_code == 403


@pytest.mark.parametrize("number", ["1" * 400, f"-{2**63}", str(2**70)])
@pytest.mark.parametrize("attribute", ["duration", "responseStatusCode", "$sequence"])
def test_numbers_too_large_for_sqlite(
    site: SiteServer, admin: httpx.Client, attribute: str, number: str
) -> None:
    function_id = deploy(site, admin)
    query = f'{{"method":"equal","attribute":"{attribute}","values":[{number}]}}'
    answer = admin.get(f"/functions/{function_id}/executions", params={"queries[]": query})
    assert refusal(answer) == (400, "general_argument_invalid")


def test_a_length_of_thousands_of_digits(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin, execute=["any"])
    host = f"{function_id}.functions.localhost"
    for length in ("0" * 5000 + "1", "9" * 5000):
        with socket.create_connection(("127.0.0.1", site.port), 10) as client:
            client.sendall(
                f"POST / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 1\r\n"
                f"Content-Length: {length}\r\n\r\na".encode()
            )
            assert client.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 413")
