"""The floor: httptools in a protocol of asyncio, JSON to JSON. With `hop`, another process answers.

`python protocol.py PORT [hop]`. The hop is one frame each way over a socket, as between minifn and
a worker.
"""

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys

import httptools
import uvloop

LENGTH = struct.Struct(">I")


class Answering(asyncio.Protocol):
    def __init__(self, hop):
        self.hop = hop

    def connection_made(self, transport):
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_message_begin(self):
        self.body = b""

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        if self.hop:
            self.hop.ask(self.body, self.answer)
        else:
            self.answer(hello(self.body))

    def answer(self, body):
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(head % len(body) + body)


class Frames(asyncio.Protocol):
    """Calls `self.got` with each frame, and writes those of one turn of the loop together."""

    def __init__(self):
        self.outgoing, self.received = [], b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        data = self.received + data
        while len(data) >= 4 and len(data) >= 4 + (size := LENGTH.unpack_from(data)[0]):
            self.got(data[4 : 4 + size])
            data = data[4 + size :]
        self.received = data

    def send(self, body):
        if not self.outgoing:
            asyncio.get_running_loop().call_soon(self.flush)
        self.outgoing.append(LENGTH.pack(len(body)) + body)

    def flush(self):
        self.transport.write(b"".join(self.outgoing))
        self.outgoing.clear()

    def connection_lost(self, error):
        os._exit(0)


class Asking(Frames):
    def __init__(self):
        super().__init__()
        self.waiting = []

    def ask(self, body, answer):
        self.waiting.append(answer)
        self.send(body)

    def got(self, body):
        self.waiting.pop(0)(body)


class Working(Frames):
    def got(self, body):
        self.send(hello(body))


def hello(body):
    return json.dumps({"hello": json.loads(body)["name"]}).encode()


async def main():
    loop, hop = asyncio.get_running_loop(), None
    if "work" in sys.argv:
        await loop.create_unix_connection(Working, sock=socket.socket(fileno=int(sys.argv[1])))
        await asyncio.Event().wait()
    if "hop" in sys.argv:
        ours, theirs = socket.socketpair()
        number = theirs.fileno()
        command = [sys.executable, __file__, str(number), "work"]
        subprocess.Popen(command, pass_fds=[number])  # noqa: ASYNC220 - it only begins
        theirs.close()
        _, hop = await loop.create_unix_connection(Asking, sock=ours)
    server = await loop.create_server(lambda: Answering(hop), "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


uvloop.run(main())
