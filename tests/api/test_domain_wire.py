"""Functions' domains byte by byte, beyond the requests of ordinary clients."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import httpx
import pytest

from minifn.api import create_app
from minifn.limits import BODY_LIMIT_BYTES
from tests.api.site import SiteServer, deploy

pytestmark = pytest.mark.both_ways

DOMAIN = "functions.localhost"
NEWEST = '{"method":"orderDesc","attribute":"","values":[]}'


@pytest.fixture(scope="module")
def host(site: SiteServer) -> Iterator[str]:
    """The domain of a function that answers with its request."""
    with site.admin() as admin:
        yield f"{deploy(site, admin, execute=['any'], timeout=60)}.{DOMAIN}"


def exchange(site: SiteServer, *lines: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """Send lines, read until the server closes, and return status, headers and the rest."""
    with closing(socket.create_connection(("127.0.0.1", site.port), timeout=20)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, rest = received.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    return int(status.split()[1]), dict(field.lower().split(": ", 1) for field in fields), rest


def executions(site: SiteServer, host: str) -> int:
    with site.admin() as admin:
        return int(admin.get(f"/functions/{host.partition('.')[0]}/executions").json()["total"])


@pytest.mark.parametrize("form", ["{}", "{}:80", "{}.", "{}.:65000", "  {}"])
def test_the_host_is_read_in_every_form(site: SiteServer, host: str, form: str) -> None:
    for name in (host, host.upper()):
        status, headers, _ = exchange(
            site, "GET / HTTP/1.1", f"Host: {form.format(name)}", "Connection: close"
        )
        assert (status, headers["x-own"]) == (200, "1")


@pytest.mark.parametrize(
    ("said", "scheme"),
    [("https", "https"), ("http", "http"), ("javascript", "http"), ("", "http"), ("a://b", "http")],
)
def test_the_scheme_of_a_function_is_http_or_https(
    site: SiteServer, host: str, said: str, scheme: str
) -> None:
    exchange(
        site, "GET / HTTP/1.1", f"Host: {host}", f"X-Forwarded-Proto: {said}", "Connection: close"
    )
    assert site.site.pool.requests[-1].scheme == scheme


def test_no_host_means_the_api(site: SiteServer) -> None:
    status, _, body = exchange(site, "GET /v1/ping HTTP/1.0")
    assert (status, body) == (200, b"Pong!")


def test_a_whole_url_as_target(site: SiteServer, host: str) -> None:
    lines = (f"GET http://{host}/a/b?c=d HTTP/1.1", f"Host: {host}", "Connection: close")
    status, _, body = exchange(site, *lines)
    assert status == 200
    assert b'"path": "/a/b", "query": "c=d"' in body


def test_head_has_the_length_of_get_and_no_body(site: SiteServer, host: str) -> None:
    status, headers, body = exchange(
        site, "HEAD /binary HTTP/1.1", f"Host: {host}", "Connection: close"
    )
    assert (status, headers["content-length"], body) == (200, "2", b"")
    status, headers, body = exchange(
        site, "HEAD /fail HTTP/1.1", f"Host: {host}", "Connection: close"
    )
    assert (status, body) == (500, b"")
    assert "content-length" not in headers
    status, headers, body = exchange(
        site, "HEAD / HTTP/1.1", f"Host: nobody.{DOMAIN}", "Connection: close"
    )
    assert (status, body) == (404, b"")
    assert int(headers["content-length"]) > 0


def test_a_body_that_is_too_long_is_refused_before_it_is_sent(site: SiteServer, host: str) -> None:
    before = executions(site, host)
    with closing(socket.create_connection(("127.0.0.1", site.port), timeout=20)) as connection:
        length = BODY_LIMIT_BYTES + 1
        connection.sendall(
            f"PUT / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n".encode()
        )
        assert connection.recv(12) == b"HTTP/1.1 413"
    assert executions(site, host) == before


def test_a_body_that_ends_early_runs_nothing(site: SiteServer, host: str) -> None:
    before = executions(site, host)
    with closing(socket.create_connection(("127.0.0.1", site.port), timeout=20)) as connection:
        connection.sendall(
            f"PUT / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\nshort".encode()
        )
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert executions(site, host) == before


def test_a_chunked_body_arrives_whole(site: SiteServer, host: str) -> None:
    lines = ("POST / HTTP/1.1", f"Host: {host}", "Transfer-Encoding: chunked", "Connection: close")
    status, _, body = exchange(site, *lines, body=b"3\r\none\r\n4\r\n-two\r\n0\r\n\r\n")
    assert status == 200
    assert b'"body": "one-two"' in body
    assert b"transfer-encoding" not in body


def test_websockets_are_refused_with_an_error(site: SiteServer, host: str) -> None:
    before = executions(site, host)
    lines = (
        "GET / HTTP/1.1",
        f"Host: {host}",
        "Upgrade: WebSocket",
        "Connection: Upgrade",
        "Accept: application/json",
    )
    with closing(socket.create_connection(("127.0.0.1", site.port), timeout=20)) as connection:
        connection.sendall("\r\n".join([*lines, "Sec-WebSocket-Version: 13", "", ""]).encode())
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 40")
    assert executions(site, host) == before


def test_a_server_without_the_extension_closes_websockets(site: SiteServer, host: str) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def connect() -> None:
        scope = {"type": "websocket", "path": "/", "headers": [(b"host", host.encode())]}
        await create_app(site.site)(scope, receive, send)

    site.run(connect())
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert "WebSocket" in sent[0]["reason"]


def test_the_cap_of_synchronous_executions_is_a_408(site: SiteServer, host: str) -> None:
    request = {"headers": {"host": host, "accept": "application/json"}, "trust_env": False}
    answer = httpx.get(f"http://127.0.0.1:{site.port}/slow", **cast("Any", request))
    assert (answer.status_code, answer.json()["type"]) == (408, "function_synchronous_timeout")
    with site.admin() as admin:
        last = admin.get(
            f"/functions/{host.partition('.')[0]}/executions", params={"queries[]": NEWEST}
        ).json()
    assert last["executions"][0]["status"] == "failed"
    assert last["executions"][0]["errors"].endswith("Error Code: 408")
    assert answer.headers["x-appwrite-execution-id"] == last["executions"][0]["$id"]
    page = httpx.get(f"http://127.0.0.1:{site.port}/slow", headers={"host": host}, trust_env=False)
    assert page.headers["x-appwrite-execution-id"] in page.text


def test_answers_to_one_connection_stay_apart(site: SiteServer, host: str) -> None:
    """One connection carries an error, a function's answer and one of the API in turn."""

    async def visit() -> list[int]:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{site.port}", trust_env=False
        ) as client:
            hosts = (f"nobody.{DOMAIN}", host, "127.0.0.1", host)
            return [
                (await client.get("/v1/ping", headers={"host": name})).status_code for name in hosts
            ]

    assert asyncio.run(visit()) == [404, 200, 200, 200]
