"""Overload: requests beyond the limits are refused at once, and the others are served."""

import asyncio
import contextlib
import json
import resource
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from starlette.types import Message, Receive, Scope, Send

from minifn.api.wire import body_stream
from minifn.api.wire.answers import PIECE_BYTES, Answer, deliver
from minifn.errors import ArgumentInvalid, Overloaded
from minifn.host.budget import Budget
from minifn.server.connections import hang_up_silent
from minifn.server.memory import GROWTH_BYTES
from tests.patience import patient
from tests.server.test_connections import listening
from tests.serving import FUNCTIONS, PROJECT, Server, pack, wait_until

IDLE = 3_000
CROWD = 2_000


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Raises the limit of open files for the clients of these tests, or skips the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * IDLE
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(
            f"only {hard} open files are allowed: raise the hard limit (ulimit -Hn) to {wanted}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def paused(data: Path, many_descriptors: None) -> Iterator[Server]:
    """A server of its own with a function that sleeps."""
    with Server(data) as server, server.api as api:
        api.create("pause", api.runtime("python"), entrypoint="main.py")
        api.deploy("pause", pack(FUNCTIONS / "pause"))
        yield server


async def ask(server: Server, path: str, **more: Any) -> tuple[int, dict[str, str], bytes, float]:
    """Execute over a connection of its own; return status, headers, body and seconds."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    content = json.dumps({**more, "path": path}).encode()
    head = (
        f"POST /v1/functions/pause/executions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        f"x-appwrite-project: {PROJECT}\r\nx-appwrite-key: {server.key}\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    writer.write(head.encode() + content)
    answer = await reader.read()
    writer.close()
    lines, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = lines.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in rest)
    return int(first.split()[1]), headers, body, time.monotonic() - began


def test_a_crowd_is_served_or_refused_at_once(paused: Server) -> None:
    async def crowd() -> list[tuple[int, dict[str, str], bytes, float]]:
        return await asyncio.gather(*(ask(paused, "/?seconds=1") for _ in range(CROWD)))

    answers = asyncio.run(crowd())
    statuses = Counter(status for status, _, _, _ in answers)
    assert set(statuses) == {201, 503}, statuses
    assert statuses[201] >= 1_000
    refused = [answer for answer in answers if answer[0] == 503]
    for _, headers, body, _ in refused:
        assert json.loads(body)["type"] == "general_service_overloaded"
        assert int(headers["retry-after"]) > 0
    with paused.api as api:
        assert api.execute("pause")["status"] == "completed"
        rows = list(api.pages("/functions/pause/executions", "executions"))
    # Refused executions never ran.
    assert len(rows) == statuses[201] + 1


@pytest.mark.slow
def test_memory_of_a_crowd_is_given_back(data: Path) -> None:
    """glibc keeps hundreds of megabytes of freed memory until it is trimmed."""
    code = b"def main(context):\n    return context.res.binary(context.req.body_binary)\n"
    with Server(data) as server, server.api as api:
        api.create("echo", api.runtime("python"), entrypoint="main.py", execute=["any"])
        api.deploy("echo", pack(extra={"main.py": code}))
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss

        def call(_: int) -> int:
            host = f"echo.functions.localhost:{server.port}"
            with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
                for _ in range(6):
                    assert (
                        len(
                            client.post(
                                "/", content=bytes(9_000_000), headers={"host": host}
                            ).content
                        )
                        == 9_000_000
                    )
            return process.memory_info().rss

        with ThreadPoolExecutor(16) as crowd:
            assert max(crowd.map(call, range(16))) > before + 2 * GROWTH_BYTES
        wait_until(
            lambda: process.memory_info().rss < before + 1.5 * GROWTH_BYTES,
            40,
            "the memory is given back",
        )


def test_idle_connections_cost_little(paused: Server) -> None:
    async def idle() -> None:
        process = psutil.Process(paused.process.pid)
        before = process.memory_info().rss
        pairs = [await asyncio.open_connection("127.0.0.1", paused.port) for _ in range(IDLE)]
        answers = [await ask(paused, "/?seconds=0") for _ in range(20)]
        assert {status for status, _, _, _ in answers} == {201}
        assert sorted(seconds for _, _, _, seconds in answers)[10] < patient(0.1)
        assert (process.memory_info().rss - before) / IDLE < 40_000
        for _, writer in pairs:
            writer.close()

    asyncio.run(idle())
    # The server's descriptors are hidden from its own user; the machine's sockets are not.
    wait_until(lambda: open_connections(paused.port) < 200, 10, "the connections are closed")


def open_connections(port: int) -> int:
    """Return the number of open connections of the process that listens on a port."""
    states = (psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT)
    found = psutil.net_connections("tcp")
    return sum(one.status in states and getattr(one.laddr, "port", 0) == port for one in found)


@pytest.mark.slow
def test_a_request_is_not_kept_as_many_values(paused: Server) -> None:
    """Lists in memory are twenty times as long as their text."""

    async def main() -> None:
        process = psutil.Process(paused.process.pid)
        before = process.memory_info().rss
        lists: list[list[int]] = [[]] * 90_000
        asked = asyncio.gather(*(ask(paused, "/?seconds=3", unknown=lists) for _ in range(100)))
        peak = 0
        while not asked.done():
            peak = max(peak, process.memory_info().rss - before)
            await asyncio.sleep(0.1)
        assert {status for status, _, _, _ in await asked} == {201}
        assert peak < 200_000_000

    asyncio.run(main())


async def answer_slowly(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer after the body has come, and `/slow` only after a while."""
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_silent_connections_are_closed_and_working_ones_are_not() -> None:
    async def main() -> None:
        async with listening(answer_slowly, 10) as (port, connections):
            silent, mute = await asyncio.open_connection("127.0.0.1", port)
            half, sending = await asyncio.open_connection("127.0.0.1", port)
            sending.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")
            slow, asking = await asyncio.open_connection("127.0.0.1", port)
            asking.write(b"GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            await asyncio.sleep(0.1)
            now = asyncio.get_running_loop().time()
            assert hang_up_silent(connections, now) == 0
            assert hang_up_silent(connections, now + 61) == 2
            for reader in (silent, half):
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
            assert (await slow.read()).startswith(b"HTTP/1.1 204")
            for writer in (mute, sending, asking):
                writer.close()

    asyncio.run(main())


def test_a_connection_beyond_the_limit_gets_an_error() -> None:
    async def main() -> None:
        async with listening(answer_slowly, 2) as (port, _):
            kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            reader, refused = await asyncio.open_connection("127.0.0.1", port)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after" in answer
            assert (
                json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "general_service_overloaded"
            )
            kept[0][1].write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            assert (await kept[0][0].read()).startswith(b"HTTP/1.1 204")
            for writer in (refused, kept[0][1], kept[1][1]):
                writer.close()

    asyncio.run(main())


def test_bodies_take_of_a_room_and_give_back_when_they_fail() -> None:
    room = Budget(10)

    def body(*parts: bytes) -> Receive:
        messages: list[Message] = [
            {"type": "http.request", "body": part, "more_body": True} for part in parts
        ]
        messages.append({"type": "http.disconnect"})

        async def receive() -> Message:
            return messages.pop(0)

        return receive

    async def main() -> None:
        with pytest.raises(Overloaded):
            await body_stream.read_bytes(body(b"12345678", b"90123"), budget=room)
        assert room.used == 0
        with pytest.raises(ArgumentInvalid):
            await body_stream.read_bytes(body(b"123"), budget=room)
        assert room.used == 0

    asyncio.run(main())
    room.take(10)
    with pytest.raises(Overloaded):
        room.take(1)
    room.give(1)
    room.take(1)


def test_a_long_answer_is_sent_piece_by_piece_and_counted() -> None:
    body = bytes(range(256)) * 4000
    answer = Answer(200, body, [])
    sent: list[Message] = []
    room = Budget(len(body))

    async def send(message: Message) -> None:
        assert room.used == len(body)
        assert len(message.get("body", b"")) <= PIECE_BYTES
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("an answer asks nothing")

    async def refused(message: Message) -> None:
        sent.append(message)

    asyncio.run(deliver(answer, room, {}, receive, send))
    assert b"".join(message.get("body", b"") for message in sent) == body
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * 3 + [False]
    assert room.used == 0
    sent.clear()
    room.take(1)
    asyncio.run(deliver(answer, room, {}, receive, refused))
    assert sent[0]["status"] == 503
    assert b"general_service_overloaded" in sent[1]["body"]
    assert room.used == 1


def test_a_client_that_leaves_during_a_long_answer_is_no_error() -> None:
    answer = Answer(200, bytes(100_000), [])
    room = Budget(100_000)

    async def closed(message: Message) -> None:
        raise RuntimeError("the handler is closed")

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def there() -> Message:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    asyncio.run(deliver(answer, room, {}, gone, closed))
    with pytest.raises(RuntimeError):
        asyncio.run(deliver(answer, room, {}, there, closed))
    assert room.used == 0
