"""Requests that are answered without ASGI get the same bytes as from the ASGI application."""

import asyncio
import re
import socket
import threading
import time
from typing import Any, cast

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from minifn.server.direct import BODY_BYTES_MAX, REST_SECONDS, DirectConnection
from tests.api.site import ADMIN_KEY, PROJECT, SiteServer, create_function, upload
from tests.patience import patient
from tests.serving import wait_until

FUNCTION = "direct-function"
PATH = f"/v1/functions/{FUNCTION}/executions"
HOST = f"{FUNCTION}.functions.localhost"
#: Values that differ from one request to the next.
VARYING = re.compile(
    rb"date: [^\r]+|content-length: \d+|\b[0-9a-f]{16,20}\b|ephemeral_[\w.-]+"
    rb"|[\d-]{10}T[\d:.+]+|\b0\.\d{3,}|\b[\d.]+e-\d+\b|127\.0\.0\.1:\d+"
    rb'|"dateCreated":\d+'
)


@pytest.fixture(scope="module")
def sites(direct_site: SiteServer, asgi_site: SiteServer) -> tuple[SiteServer, SiteServer]:
    """Both sites, each with the function."""
    for site in (direct_site, asgi_site):
        with site.admin() as admin:
            settings: dict[str, Any] = {"execute": ["any"], "timeout": 15}
            create_function(admin, functionId=FUNCTION, **settings)
            site.run(site.site.build(upload(admin, FUNCTION)["$id"]))
            # The first request tells the server its own address.
            assert admin.post(f"/functions/{FUNCTION}/executions", json={}).status_code == 201
    return direct_site, asgi_site


@pytest.fixture
def directly(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that were answered without ASGI."""
    paths: list[str] = []
    answer = DirectConnection._answer

    async def noted(self: DirectConnection, cycle: Any, replying: Any, body: bytes) -> None:
        paths.append(cycle.scope["path"])
        await answer(self, cycle, replying, body)

    monkeypatch.setattr(DirectConnection, "_answer", noted)
    return paths


def post(
    body: bytes = b'{"body":"x"}', *lines: str, path: str = PATH, method: str = "POST"
) -> bytes:
    """Return the request of an execution."""
    length = [] if lines and "Encoding" in lines[-1] else [f"Content-Length: {len(body)}"]
    project = f"X-Appwrite-Project: {PROJECT}"
    lines = (project, "Content-Type: application/json", *length, *lines)
    return get(path, *lines, method=method).replace(HOST.encode(), b"127.0.0.1") + body


def get(path: str = "/", *lines: str, method: str = "GET") -> bytes:
    """Return a request to the function's domain."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {HOST}", *lines, "", ""]).encode()


KEY = f"X-Appwrite-Key: {ADMIN_KEY}"
#: Requests that are answered directly.
USUAL: dict[str, bytes] = {
    "guest": post(),
    "key": post(b'{"body":"x"}', KEY),
    "wrong key": post(b"{}", "X-Appwrite-Key: nonsense"),
    "old version": post(b"{}", KEY, "X-Appwrite-Response-Format: 1.3.0"),
    "oldest version": post(b"{}", KEY, "X-Appwrite-Response-Format: 0.7.0"),
    "queued": post(b'{"async":true}', KEY),
    "not JSON": post(b"{nonsense"),
    "bad parameter": post(b'{"method":"NONSENSE"}'),
    "page of this machine": post(b"{}", "Origin: http://localhost:3000"),
    "foreign page": post(b"{}", "Origin: https://example.com"),
    "control character": post(b"{}", "Origin: http://localhost/\t"),
    "no project": post().replace(b"X-Appwrite-Project", b"X-Nothing"),
    "no body": post(b""),
    "unknown function": post(path="/v1/functions/unknown-one/executions"),
    "escaped path": post(path=PATH.replace("direct", "%64irect")),
    "query": post(path=f"{PATH}?project=other"),
    "failure": post(b'{"path":"/fail"}', KEY),
    "timeout": post(b'{"path":"/slow"}', KEY),
    "bytes": post(b'{"path":"/binary"}', KEY),
    "parts": post(b'{"path":"/binary"}', KEY, "Accept: multipart/form-data"),
    "long answer": post(b'{"body":"%s"}' % (b"\\u0001" * 10_000), KEY),
    "domain": get("/path?query=1", "X-Mine: 1", "Cookie: a=1"),
    "domain, any method": get(method="DELETE"),
    "domain, preflight": get("/", "Origin: http://localhost", method="OPTIONS"),
    "domain, failure": get("/fail", "Accept: application/json"),
    "domain, page": get("/fail"),
    "unknown domain": get().replace(FUNCTION.encode(), b"unknown-one"),
    "path of the API on a domain": post(b"{}").replace(b"127.0.0.1", HOST.encode()),
}
#: Requests that the application gets.
UNUSUAL: dict[str, bytes] = {
    "chunked": post(b"2\r\n{}\r\n0\r\n\r\n", KEY, "Transfer-Encoding: chunked"),
    "continue": post(b"{}", KEY, "Expect: 100-continue"),
    "long body": post(b'{"body":"%s"}' % (b"x" * BODY_BYTES_MAX), KEY),
    "two of a name": post(b"{}", KEY, "X-Mine: 1", "X-Mine: 2"),
    "proxy": post(b"{}", KEY, "X-Forwarded-For: 192.0.2.7"),
    "whole URL": post(b"{}", path=f"http://127.0.0.1{PATH}"),
    "other operation": post(b"", KEY, method="GET"),
    "no operation": post(b"{}", KEY, path=f"{PATH}/more/of/it"),
    "head": post(b"", KEY, method="HEAD"),
    "old HTTP": post(b"{}", KEY).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "domain, head": get("/x", method="HEAD"),
    "domain, upgrade": get("/", "Connection: upgrade, close", "Upgrade: h2c"),
}


def talk(site: SiteServer, *pieces: bytes, pause_seconds: float = 0) -> bytes:
    """Send pieces apart; return all that comes until the server closes, without what varies."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, piece in enumerate(pieces):
            # The pause is what is tested.
            time.sleep(pause_seconds if number else 0)
            client.sendall(piece)
        received = b"".join(iter(lambda: client.recv(65536), b""))
    return VARYING.sub(b"-", received)


def ask(site: SiteServer, request: bytes, times: int) -> list[bytes]:
    """Send a request several times on one connection; return the answers without what varies."""
    answers = []
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
        for _ in range(times):
            client.sendall(request)
            received = b""
            while not is_whole(received):
                part = client.recv(65536)
                assert part, received
                received += part
            answers.append(VARYING.sub(b"-", received))
    return answers


def is_whole(answer: bytes) -> bool:
    """Tell whether all of an answer has come."""
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return bool(end) and (length is None or len(body) >= int(length[1]))


def closing(request: bytes) -> bytes:
    """Return a request after whose answer the server closes the connection."""
    if b"Connection: " in request:
        return request
    return request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


@pytest.mark.parametrize("name", USUAL)
def test_a_usual_request_is_answered_alike(
    sites: tuple[SiteServer, SiteServer], directly: list[str], name: str
) -> None:
    direct, asgi = (talk(site, closing(USUAL[name])) for site in sites)
    assert len(directly) == 1
    assert direct == asgi
    assert direct.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_request_is_left_to_the_application(
    sites: tuple[SiteServer, SiteServer], directly: list[str], name: str
) -> None:
    direct, asgi = (talk(site, closing(UNUSUAL[name])) for site in sites)
    assert directly == []
    assert direct == asgi
    assert direct.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("pause_seconds", [0, REST_SECONDS / 10, REST_SECONDS * 2])
@pytest.mark.parametrize("name", ["key", "not JSON"])
def test_a_request_in_pieces(
    sites: tuple[SiteServer, SiteServer], name: str, pause_seconds: float
) -> None:
    request = closing(USUAL[name])
    end = request.index(b"\r\n\r\n") + 4
    pieces = (request[:20], request[20:end], request[end : end + 1], request[end + 1 :])
    direct, asgi = (talk(site, *pieces, pause_seconds=pause_seconds) for site in sites)
    assert direct == asgi
    assert direct.count(b"HTTP/1.1 ") == 1


def test_requests_ahead_are_answered_in_their_order(
    sites: tuple[SiteServer, SiteServer], directly: list[str]
) -> None:
    names = ("key", "domain", "not JSON", "foreign page", "key")
    requests = [USUAL[name] for name in names]
    requests += [UNUSUAL["chunked"], closing(USUAL["domain"])]
    direct, asgi = (talk(site, b"".join(requests)) for site in sites)
    assert direct == asgi
    assert direct.count(b"HTTP/1.1 ") == len(requests)
    assert directly == [PATH]


def test_a_head_that_came_before_is_not_parsed(
    sites: tuple[SiteServer, SiteServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    receive = HttpToolsProtocol.data_received

    def noted(self: HttpToolsProtocol, data: bytes) -> None:
        parsed.append(data)
        receive(self, data)

    monkeypatch.setattr(HttpToolsProtocol, "data_received", noted)
    usual = [request for name, request in USUAL.items() if name != "timeout"]
    # A last header that no other test sends.
    requests = [closing(one).replace(b"Connection: close", b"X-Again: 1") for one in usual]
    direct, asgi = ([ask(site, one, 3) for one in requests] for site in sites)
    assert direct == asgi
    assert all(len(set(answers)) == 1 for answers in direct)
    assert len(parsed) == (1 + 3) * len(requests)


@pytest.mark.parametrize(
    "request_bytes",
    [
        *(b"\r\n\r\n" + USUAL["key"], USUAL["key"] + USUAL["key"], USUAL["key"] + b"\r\n\r\n"),
        post(b'{"body":\r\n\r\n"x"}', KEY),
    ],
)
def test_an_odd_head_is_parsed_each_time(
    sites: tuple[SiteServer, SiteServer], request_bytes: bytes
) -> None:
    pieces = (*[request_bytes] * 3, closing(USUAL["key"]))
    direct, asgi = (talk(site, *pieces, pause_seconds=0.05) for site in sites)
    assert direct == asgi


@pytest.mark.parametrize("kinds", [("key",), ("chunked",), ("key", "chunked", "domain", "key")])
def test_a_client_that_sends_no_more_gets_every_answer(
    sites: tuple[SiteServer, SiteServer], monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...]
) -> None:
    site, _ = sites
    call = type(site.site.pool).call
    ends: list[bool] = []
    eof_received = DirectConnection.eof_received

    def noted(self: DirectConnection) -> bool:
        ends.append(eof_received(self))
        return ends[-1]

    async def held(self: Any, *args: Any, **more: Any) -> Any:
        # The server reads no further, and hears of no end, while requests wait for others.
        flows = [cast("Any", one).flow for one in site._server.server_state.connections]
        while not (ends or any(flow.read_paused for flow in flows)):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        return await call(self, *args, **more)

    monkeypatch.setattr(type(site.site.pool), "call", held)
    monkeypatch.setattr(DirectConnection, "eof_received", noted)
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
        client.sendall(b"".join({**USUAL, **UNUSUAL}[kind] for kind in kinds))
        client.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: client.recv(65536), b""))
    assert received.count(b"HTTP/1.1 20") == len(kinds)
    assert received.lower().count(b"connection: close") == 1


def test_a_refusal_does_not_wait_for_the_body(sites: tuple[SiteServer, SiteServer]) -> None:
    head, _, _ = USUAL["foreign page"].partition(b"\r\n\r\n")
    for site in sites:
        with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
            client.sendall(head + b"\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 403")


def test_an_idle_connection_is_closed(
    sites: tuple[SiteServer, SiteServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    for site in sites:
        config = site._server.config
        monkeypatch.setattr(config, "timeout_keep_alive", seconds := 0.5)
        with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
            began = time.monotonic()
            for _ in range(3):
                client.sendall(USUAL["key"])
                received = b""
                while not received.endswith(b"}"):
                    part = client.recv(65536)
                    assert part, "the connection was closed early"
                    received += part
                # The pause is what is tested: each answer begins the time anew.
                time.sleep(seconds / 2)
            assert client.recv(65536) == b""
            assert 2 * seconds <= time.monotonic() - began < patient(4, fault_seconds=5)


def test_an_execution_is_stored_although_its_client_has_gone(
    sites: tuple[SiteServer, SiteServer], directly: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _ = sites
    reached, release = threading.Event(), threading.Event()
    call = type(site.site.pool).call

    async def held(self: Any, *args: Any, **more: Any) -> Any:
        reached.set()
        await asyncio.to_thread(release.wait, 20)
        return await call(self, *args, **more)

    monkeypatch.setattr(type(site.site.pool), "call", held)
    with site.admin() as admin:
        path = f"/functions/{FUNCTION}/executions"
        before = admin.get(path).json()["total"]
        with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
            client.sendall(USUAL["key"])
            assert reached.wait(20)
        release.set()
        wait_until(lambda: admin.get(path).json()["total"] == before + 1, 20, "it is stored")
    assert directly == [PATH]
