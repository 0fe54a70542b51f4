"""Workers made of a script, which may break every rule of the protocol."""

import asyncio
import sys
from pathlib import Path

from minifn.sandbox.command import Command
from minifn.workers.records import FunctionResponse, WorkerSpec
from tests.patience import patient
from tests.workers.harness import function

#: Start of every rogue worker: it can read requests and write anything.
PRELUDE = """
import json, os, struct, sys, time

def send(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    data = struct.pack(">II", len(text), len(body)) + text + body
    while data:
        data = data[os.write(3, data):]

def read():
    lengths = os.read(3, 8)
    if not lengths:
        os._exit(0)
    header_length, body_length = struct.unpack(">II", lengths)
    header = json.loads(os.read(3, header_length))
    body = os.read(3, body_length) if body_length else b""
    return read() if header["type"] == "load" else (header, body)

def answer(request, body=b"right", **more):
    send({"type": "response", "id": request["id"], "statusCode": 200, "headers": [], **more}, body)

READY = {"type": "ready", "protocol": 1, "concurrency": 0}
"""
NOTHING = """
HEADER = b'{"type":"log","id":1,"stream":"logs"}'
NOTHING = struct.pack(">II", len(HEADER), 0) + HEADER
"""
ANSWER_ALL = "\nsend(READY)\nwhile True:\n    request, _ = read()\n"


def rogue(script: str) -> WorkerSpec:
    """Return a worker made of a script."""
    command = Command(
        argv=(sys.executable, "-I", "-S", "-c", PRELUDE + script), env={}, label="rogue"
    )
    return WorkerSpec(key="rogue", command=command)


def first_answer(run_dir: Path, script: str, seconds: float | None = None) -> FunctionResponse:
    """Return the answer to one call, which may start several workers in turn."""
    given = patient(5) if seconds is None else seconds

    async def ask() -> FunctionResponse:
        async with function(run_dir, rogue(script)) as call:
            return await call(seconds=given)

    return asyncio.run(ask())
