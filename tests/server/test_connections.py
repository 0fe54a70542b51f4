"""Malformed requests and slow clients: the server keeps little for them, and not for long."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from minifn.server import websocket_protocol
from minifn.server.connections import (
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    PIPELINE_MAX,
    Connection,
    Watched,
    hang_up_silent,
)
from minifn.server.websockets import FRAGMENTS_MAX
from tests.patience import patient
from tests.serving import PROJECT, Server, pack

GET = b"GET /v1/health HTTP/1.1\r\nHost: x\r\n"
POST = (
    b"POST /v1/functions/f/executions HTTP/1.1\r\nHost: x\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"
)
UPGRADE = (
    b"GET /v1/realtime?project=%s HTTP/1.1\r\nHost: localhost\r\n"
    b"Connection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    % PROJECT.encode()
)
LONG_BYTES = 10_000_000


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (GET, b"x-a: " + b"y" * 1000 + b"\r\n"),
        (GET + b"x-a: ", b"y" * 1000),
        (b"GET /", b"y" * 1000),
        (POST, b"x-a: " + b"y" * 1000 + b"\r\n"),
        (GET, b"a:\r\n"),
    ],
    ids=["headers", "one header", "path", "trailers", "small headers"],
)
def test_a_head_without_end_is_not_collected(server: Server, start: bytes, piece: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as client:
        client.sendall(start)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            client.sendall(piece * (100 * HEAD_BYTES_MAX // len(piece)))


def test_large_heads_and_many_requests_in_one_piece_are_served(server: Server) -> None:
    header = b"x-a: " + b"y" * 60_000 + b"\r\n"
    requests = (GET + header + b"\r\n") * 9 + GET + b"Connection: close\r\n\r\n"
    answers = talk(server, requests)
    assert answers.count(b"HTTP/1.1 ") == 10
    assert b" 400 " not in answers


def talk(server: Server, requests: bytes) -> bytes:
    """Send bytes, and return everything that comes back before the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as client:
        client.sendall(requests)
        answers = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(65536):
                answers += piece
    return answers


@pytest.mark.parametrize(
    ("requests", "answered"),
    [
        (
            GET + b"".join(b"x-%d: y\r\n" % number for number in range(HEADERS_MAX + 1)) + b"\r\n",
            b"HTTP/1.1 400",
        ),
        ((GET + b"\r\n") * (PIPELINE_MAX * 20), b""),
        # The error of the second request must not look like the answer to the first.
        (GET + b"\r\nNONSENSE\r\n\r\n", b""),
        (b"NONSENSE\r\n\r\n", b"HTTP/1.1 400"),
        (GET + b"Host: y\r\n\r\n", b"HTTP/1.1 400"),
        (GET + b"Content-Length: -1\r\n\r\n", b"HTTP/1.1 400"),
        (
            GET + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 400",
        ),
        (GET + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"HTTP/1.1 400"),
        (GET + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", b"HTTP/1.1 400"),
        (GET + b"Transfer-Encoding: identity, chunked, x\r\n\r\n0\r\n\r\n", b"HTTP/1.1 400"),
    ],
    ids=[
        "headers",
        "pipeline",
        "second",
        "first",
        "hosts",
        "negative",
        "both",
        "two",
        "overflow",
        "encodings",
    ],
)
def test_a_malformed_request_ends_the_connection(
    server: Server, requests: bytes, answered: bytes
) -> None:
    answers = talk(server, requests)
    assert answers.startswith(answered)
    assert answers.count(b"HTTP/1.1 ") == (1 if answered else 0)
    assert talk(server, GET + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("handshake", "status"),
    [
        (UPGRADE.replace(b"GET", b"POST"), b"40"),
        (UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"), b"400"),
        (UPGRADE.replace(b"GET", b"POST")[:-2] + b"Content-Length: 5\r\n\r\nhello", b"400"),
        (UPGRADE[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (UPGRADE[:-2] + b"x-a: y\r\n" * 200 + b"\r\n", b"4"),
        (UPGRADE[:-2] + b"x-a: " + b"y" * 9000 + b"\r\n\r\n", b"4"),
        (UPGRADE.replace(b" HTTP/1.1", b"&a=" + b"y" * 9000 + b" HTTP/1.1"), b"4"),
        (UPGRADE.replace(b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b""), b"400"),
        (UPGRADE.replace(b"Version: 13", b"Version: 12"), b"4"),
    ],
    ids=[
        *("post", "body", "post with a body", "chunks", "headers", "header", "path", "key"),
        "version",
    ],
)
def test_a_handshake_that_cannot_be_is_answered(
    server: Server, handshake: bytes, status: bytes
) -> None:
    """Otherwise its connection stays open for good, and there are as many as the server has."""
    for host in (b"localhost", b"f.functions.localhost"):
        answer = talk(server, handshake.replace(b"Host: localhost", b"Host: " + host))
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert answer.count(b"HTTP/1.1 ") == 1
    assert talk(server, GET + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("start", "frame"),
    [
        (b"", b"\x89\xfd\0\0\0\0" + b"x" * 125),
        (b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0" * FRAGMENTS_MAX),
    ],
    ids=["pings", "empty fragments"],
)
def test_a_websocket_does_not_make_the_server_collect(
    server: Server, start: bytes, frame: bytes
) -> None:
    process = psutil.Process(server.process.pid)
    with socket.create_connection(("127.0.0.1", server.port), 10) as client:
        client.sendall(UPGRADE)
        assert client.recv(1000).startswith(b"HTTP/1.1 101")
        before = process.memory_info().rss
        client.sendall(start)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            client.sendall(frame * (100_000_000 // len(frame)))
        assert process.memory_info().rss - before < 30_000_000


@pytest.mark.slow
def test_one_long_event_for_many_slow_clients(data: Path) -> None:
    code = b"def main(context): return context.res.text('x' * 5_000_000)"
    with Server(data) as server, server.api as api, contextlib.ExitStack() as clients:
        api.create("long", api.runtime("python"), entrypoint="main.py")
        api.deploy("long", pack(extra={"main.py": code}))
        api.execute("long")
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss
        listens = UPGRADE.replace(b" HTTP", b"&channels[]=executions HTTP").replace(
            b"\r\n\r\n", f"\r\nX-Appwrite-Key: {server.key}\r\n\r\n".encode()
        )
        for _ in range(100):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
            client.sendall(listens)
            heard = b""
            while b"connected" not in heard:
                part = client.recv(1000)
                assert part, heard
                heard += part
        assert len(api.execute("long")["responseBody"]) == 5_000_000
        assert api.execute("long", method="GET")["status"] == "completed"
        assert process.memory_info().rss - before < 250_000_000


async def answer_at_length(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a long body in pieces, to a WebSocket in one."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(LONG_BYTES)})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(10):
        await send(
            {"type": "http.response.body", "body": bytes(LONG_BYTES // 10), "more_body": True}
        )
    await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def listening(app: ASGIApp, connections_max: int = 10) -> AsyncIterator[tuple[int, set[Any]]]:
    """Yield the port and the connections of a server of `Connection`."""
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", ws=cast("type[asyncio.Protocol]", websocket_protocol)
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(connections_max, config=config, server_state=state, app_state={}),
        "127.0.0.1",
        0,
    )
    async with server:
        connections = cast("set[Any]", state.connections)
        yield server.sockets[0].getsockname()[1], connections
        for connection in list(connections):
            connection.hang_up()


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, ten seconds on an idle machine."""
    async with asyncio.timeout(patient(10)):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


def run(test: Callable[[int, set[Any]], Awaitable[None]], connections_max: int = 10) -> None:
    """Run a test with the port and the connections of a server that answers at length."""

    async def main() -> None:
        async with listening(answer_at_length, connections_max) as (port, connections):
            await test(port, connections)

    asyncio.run(main())


@pytest.mark.parametrize("request_bytes", [GET + b"\r\n", UPGRADE], ids=["HTTP", "WebSocket"])
def test_a_client_that_does_not_read_is_disconnected(request_bytes: bytes) -> None:
    async def test(port: int, connections: set[Any]) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
        writer.write(request_bytes)

        def paused() -> list[Watched]:
            return [connection for connection in connections if connection.paused_at is not None]

        await until(paused)
        now = asyncio.get_running_loop().time()
        assert hang_up_silent(connections, now) == 0
        assert hang_up_silent(connections, now + 61) == 1
        await until(lambda: not connections)
        writer.close()

    run(test)


def test_a_slow_reader_gets_the_whole_answer() -> None:
    async def test(port: int, connections: set[Any]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET + b"Connection: close\r\n\r\n")
        received = 0
        while piece := await reader.read(100_000):
            received += len(piece)
        assert received > LONG_BYTES
        writer.close()

    run(test)


def test_a_long_message_is_sent_once_it_was_taken() -> None:
    sent = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(LONG_BYTES)})
        sent.set()

    async def main() -> None:
        async with listening(app) as (port, connections):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
            writer.write(UPGRADE)
            await until(
                lambda: [
                    connection for connection in connections if connection.paused_at is not None
                ]
            )
            assert not sent.is_set()
            received = 0
            while received < LONG_BYTES:
                received += len(await reader.read(100_000))
            async with asyncio.timeout(10):
                await sent.wait()
            writer.close()

    asyncio.run(main())


def test_a_request_learns_that_its_client_is_gone_whatever_the_client_asked_next() -> None:
    gone = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async def main() -> None:
        async with listening(app) as (port, connections):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write((GET + b"\r\n") * 3)
            await until(
                lambda: [connection for connection in connections if len(connection.pipeline) == 2]
            )
            reset_at_close(writer.get_extra_info("socket"))
            writer.transport.abort()
            async with asyncio.timeout(10):
                await gone.wait()

    asyncio.run(main())


def reset_at_close(client: socket.socket) -> None:
    """Have a client go so that the server cannot take it for one that only sends no more."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "start",
    [b"GET / HT", GET + b"x: ", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nabc"],
)
def test_a_client_that_sends_too_slowly_is_disconnected(start: bytes) -> None:
    async def test(port: int, connections: set[Any]) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(start)
        await until(lambda: connections)
        (connection,) = connections
        began = connection.heard_at
        await until(lambda: connection.heard_at > began)
        now = asyncio.get_running_loop().time()
        for seconds in (50, 59, 65):
            # Something has just come.
            connection.heard_at = now + seconds
            assert hang_up_silent(connections, now + seconds) == (seconds > 60)
        writer.close()

    run(test)


def test_websockets_leave_room_for_requests() -> None:
    async def test(port: int, connections: set[Any]) -> None:
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        heads = []
        for reader, writer in streams:
            writer.write(UPGRADE)
            heads.append(await reader.readline())
        assert [head.split()[1] for head in heads] == [b"101", b"101", b"503", b"503"]
        for _, writer in streams:
            writer.close()

    run(test, connections_max=5)
