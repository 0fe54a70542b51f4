"""Clients that send no more: what they asked for is answered, and the connection closed."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from minifn.server.connections import Connection
from tests.patience import patient
from tests.server.test_connections import GET, POST, listening, until


@pytest.mark.parametrize(
    ("requests", "answers"),
    [
        ((GET + b"\r\n") * 3, 3),
        (GET + b"\r\n" + GET, 1),
        (GET + b"\r\n" + POST, 1),
        (POST, 0),
        ((GET + b"\r\n") * 2 + GET.replace(b"GET", b"PUT") + b"Content-Length: 3\r\n\r\nab", 2),
    ],
    ids=["whole", "half a head", "half a body", "only half a body", "two and a half"],
)
def test_a_client_that_sends_no_more_gets_its_answers(
    requests: bytes, answers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, size, told = asyncio.Event(), 3_000_000, list[bool]()
    eof_received = Connection.eof_received

    def noted(self: Connection) -> bool:
        told.append(eof_received(self))
        return told[-1]

    monkeypatch.setattr(Connection, "eof_received", noted)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            return
        await heard.wait()
        headers = [(b"content-length", b"%d" % size)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for more in (True, False):
            await send({"type": "http.response.body", "body": bytes(size // 2), "more_body": more})

    async def main() -> None:
        async with listening(app) as (port, connections):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(requests)
            writer.write_eof()
            await until(lambda: told)
            heard.set()
            async with asyncio.timeout(patient(10)):
                received = await reader.read()
            assert received.count(b"HTTP/1.1 200") == answers
            assert received.count(b"\0") == answers * size
            writer.close()
            await until(lambda: not connections)

    asyncio.run(main())


def test_a_stream_ends_with_a_client_that_sends_no_more() -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"event", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        ended.set()

    async def main() -> None:
        async with listening(app) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET + b"\r\n")
            await reader.readuntil(b"event")
            writer.write_eof()
            async with asyncio.timeout(patient(10)):
                await ended.wait()
            writer.close()

    asyncio.run(main())
