"""The event loop's time for an execution by step: a server in this process, without sockets.

Requests come from stand-ins of transports, workers are real, and records are committed.
"""

import asyncio
import contextlib
import functools
import gc
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvicorn
import uvloop
from uvicorn.server import ServerState

from minifn.config import Config
from minifn.embed import Minifn
from minifn.server.direct import DirectConnection
from minifn.server.memory import spare_collector
from minifn.store.database import Database
from minifn.store.writer import Writer
from minifn.workers.worker import Worker
from tests.benchmarks.report import Row
from tests.benchmarks.targets import BODY, http_request
from tests.serving import FUNCTIONS, PROJECT

CONNECTIONS = 64
#: Requests of one slice; the fastest slice counts, as other work of the machine slows each down.
SLICE_REQUESTS, SLICES = 1_000, 20
FUNCTION = "hello-async"
#: Step -> the methods that are timed for it. The steps of the task are those between its waits.
STEPS: dict[str, tuple[tuple[type, str], ...]] = {
    "read and parse the request, decide who answers it": ((DirectConnection, "data_received"),),
    "read the worker's answer": ((Worker, "data_received"),),
    "write to the worker, hand over to the writer and back": (
        (Worker, "_flush"),
        (Writer, "hand_over"),
        (Database, "_settle"),
    ),
}
TASK = (
    "caller, rights, parameters, function, request, frame",
    "make the record",
    "build the answer, encode and write it",
)


class Clock:
    """Processor time of this thread by step, in seconds."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def running(self, step: str) -> Iterator[None]:
        """Count the block's time as that of a step."""
        began = time.thread_time()
        try:
            yield
        finally:
            self.spent[step] += time.thread_time() - began

    def timing(self, step: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a method that is counted as a step."""

        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.running(step):
                return method(*args, **kwargs)

        return timed


class TimedTask(Coroutine[Any, Any, Any]):
    """A coroutine whose parts between two waits are steps."""

    def __init__(self, work: Coroutine[Any, Any, Any], clock: Clock) -> None:
        self._work = work
        self._clock = clock
        self._steps = iter(TASK)

    def send(self, value: Any) -> Any:
        """Part of Coroutine."""
        with self._clock.running(next(self._steps, TASK[-1])):
            return self._work.send(value)

    def throw(self, *error: Any) -> Any:
        """Part of Coroutine."""
        return self._work.throw(*error)

    def close(self) -> None:
        """Part of Coroutine."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._work.__await__()


class Client(asyncio.Transport):
    """A connection's transport: sends the next request once an answer was written."""

    def __init__(self, request: bytes) -> None:
        super().__init__()
        self._request = request
        self._loop = asyncio.get_running_loop()
        self.connection: asyncio.Protocol
        self.left = 0
        self.ended = asyncio.Event()

    def begin(self, requests: int) -> None:
        """Send the first of some requests."""
        self.left = requests
        self.ended.clear()
        self._loop.call_soon(self.connection.data_received, self._request)

    def write(self, data: Any) -> None:
        """Part of asyncio.Transport. Raises AssertionError for an error."""
        if not data.startswith(b"HTTP/1.1 "):
            return
        assert data.startswith(b"HTTP/1.1 201 "), data[:300]
        self.left -= 1
        if self.left > 0:
            self._loop.call_soon(self.connection.data_received, self._request)
        else:
            self.ended.set()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Part of asyncio.Transport."""
        known = {"peername": ("127.0.0.1", 5000), "sockname": ("127.0.0.1", 80)}
        return known.get(name, default)

    def is_closing(self) -> bool:
        """Part of asyncio.Transport."""
        return False

    def close(self) -> None:
        """Part of asyncio.Transport."""


def measure(data: Path, engine: str) -> list[Row]:
    """Return the processor time of the event loop for one execution, and that of its steps."""
    config = Config(data=data, sandbox=engine, durability="crash", template_memory=0)
    thresholds = gc.get_threshold()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            whole, steps = runner.run(_measure(config))
    finally:
        # `spare_collector` is for a process that only serves.
        gc.unfreeze()
        gc.set_threshold(*thresholds)
    rows = [Row.of("event loop without clients' sockets", {"cpu_us": whole})]
    total = sum(steps.values())
    for step, spent in steps.items():
        rows.append(
            Row.of(f"event loop: {step}", {"cpu_us": spent, "share_%": 100 * spent / total})
        )
    return rows


async def _measure(config: Config) -> tuple[float, dict[str, float]]:
    async with _served(config) as clients:
        whole = min([await _run(clients) for _ in range(SLICES)])
    clock = Clock()
    with _timed(clock):
        # Another server, because a transport keeps the method that it has found at first.
        async with _served(config) as clients:
            clock.spent.clear()
            for _ in range(SLICES):
                await _run(clients)
    requests = SLICES * SLICE_REQUESTS
    return whole, {step: 1e6 * spent / requests for step, spent in clock.spent.items()}


@contextlib.contextmanager
def _timed(clock: Clock) -> Iterator[None]:
    answer = DirectConnection._answer
    with contextlib.ExitStack() as stack:
        for step, methods in STEPS.items():
            for owner, name in methods:
                timed = clock.timing(step, getattr(owner, name))
                stack.enter_context(patch.object(owner, name, timed))
        stack.enter_context(
            patch.object(DirectConnection, "_answer", lambda *args: TimedTask(answer(*args), clock))
        )
        yield


@contextlib.asynccontextmanager
async def _served(config: Config) -> AsyncIterator[list[Client]]:
    """Run a server with the function; yield clients that have called it."""
    async with Minifn(config) as minifn:
        options: dict[str, Any] = {"execute": ["any"], "entrypoint": "main.py"}
        await minifn.deploy(FUNCTION, FUNCTIONS / "hello_async", **options)
        clients = _connect(minifn)
        await _run(clients)
        spare_collector()
        yield clients


def _connect(minifn: Minifn) -> list[Client]:
    body = json.dumps({"body": BODY})
    headers = {"x-appwrite-project": PROJECT, "x-appwrite-key": minifn.admin_key}
    path = f"/v1/functions/{FUNCTION}/executions"
    request = http_request(path, "127.0.0.1", body, headers).encode()
    config = uvicorn.Config(minifn.app, http="httptools", lifespan="off", log_config=None)
    config.load()
    clients = [Client(request) for _ in range(CONNECTIONS)]
    for client in clients:
        client.connection = DirectConnection(
            minifn.app.state.direct,
            CONNECTIONS,
            config=config,
            server_state=ServerState(),
            app_state={},
        )
        client.connection.connection_made(client)
    return clients


async def _run(clients: list[Client]) -> float:
    """Answer SLICE_REQUESTS; return the microseconds of this thread for each."""
    began = time.thread_time()
    for number, client in enumerate(clients):
        client.begin(len(range(number, SLICE_REQUESTS, len(clients))))
    for client in clients:
        await client.ended.wait()
    return 1e6 * (time.thread_time() - began) / SLICE_REQUESTS
