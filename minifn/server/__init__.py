"""The HTTP server of `minifn serve`: sockets, signals, and an end in order."""

import asyncio
import atexit
import contextlib
import dataclasses
import errno
import functools
import logging
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, cast

import uvicorn
import uvloop

from minifn.config import Config, authority
from minifn.embed import Minifn
from minifn.sandbox.command import SandboxError
from minifn.sandbox.launcher.confine import forbid_dumps
from minifn.server.connections import Connection, hang_up_silent, raise_descriptors
from minifn.server.memory import Allocator
from minifn.store.cipher import VariablesKeyError
from minifn.store.schema import DatabaseTooNew

#: Seconds that requests in flight may go on after the first signal; a second signal ends them at once.
GRACE_SECONDS = 10
#: Seconds callers then have to receive the failure.
ANSWER_SECONDS = 3
#: Seconds between two looks for silent connections.
LOOK_SECONDS = 10.0
BACKLOG = 2048
#: Bytes of the largest message a realtime client may send.
MESSAGE_BYTES_MAX = 64 * 1024

#: Runs once the server answers, given its URL; serving goes on until a signal.
Ready = Callable[[Minifn, str], Coroutine[None, None, None]]


class ServerFailed(Exception):
    """The server could not start, or lost something it cannot work without; the message is one line to show.

    In the second case its supervisor should start it again.
    """


def run(config: Config, ready: Ready) -> None:
    """Serve until SIGINT or SIGTERM, then stop in order. Raises ServerFailed."""
    # A function that has the server's uid must not read its environment, in which a secret was given, nor its memory.
    forbid_dumps()
    atexit.register(forget_unwritten)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("minifn", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.INFO)
    # uvicorn warns about every malformed request, so anybody could fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    with listen(config.host, config.port) as listener:
        config = dataclasses.replace(config, port=listener.getsockname()[1])
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(config, listener, ready))


def forget_unwritten() -> None:
    """Give up the lines that a full disk does not take: the interpreter would end with an exit code for them (120)."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket. Raises ServerFailed when the address is not free."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServerFailed(f"port {port} of {host} is in use; choose another with --port") from error
        raise ServerFailed(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    return listener


async def _serve(config: Config, listener: socket.socket, ready: Ready) -> None:
    minifn = Minifn(config)
    server = Server(
        uvicorn.Config(
            minifn.app,
            http=cast("type[asyncio.Protocol]", functools.partial(Connection, raise_descriptors())),
            ws=cast("type[asyncio.Protocol]", websocket_protocol),
            ws_max_size=MESSAGE_BYTES_MAX,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=config.access_log,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE_SECONDS + ANSWER_SECONDS,
        ),
        lambda: ready(minifn, url_of(config)),
        lambda: minifn.executor.halt(),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(minifn)
        except (SandboxError, DatabaseTooNew, VariablesKeyError, sqlite3.Error, OSError) as error:
            raise ServerFailed(f"cannot start: {error}") from error
        minifn.lost.add_done_callback(lambda _: server.handle_exit(signal.SIGTERM, None))
        await server.serve(sockets=[listener])
        await server.announced()
        if minifn.lost.done():
            raise ServerFailed(f"stopped: the {minifn.lost.result()} ended unexpectedly")


def websocket_protocol(**connection: Any) -> asyncio.Protocol:
    """Return the protocol of one WebSocket; its library is imported for the first, since most servers see none."""
    from minifn.server.websockets import SocketConnection

    return SocketConnection(**connection)


def url_of(config: Config) -> str:
    """Return the address to type: a wildcard bind is reached by loopback."""
    return f"http://{authority(config.host, config.port)}"


class Server(uvicorn.Server):
    """uvicorn with a coroutine that runs once it answers, and no signal handlers of its own.

    uvicorn raises a signal again after serving, which would end the process before the workers are stopped.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], Coroutine[None, None, None]],
        halt: Callable[[], Coroutine[None, None, None]],
    ) -> None:
        super().__init__(config)
        self._ready = ready
        #: Ends what still runs when the grace is over.
        self._halt = halt
        self._announcing: asyncio.Task[None] | None = None
        self._allocator = Allocator()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._announcing = asyncio.create_task(self._ready(), name="ready")
        self._announcing.add_done_callback(self._stop_when_failed)

    async def on_tick(self, counter: int) -> bool:
        # uvicorn ticks ten times a second.
        if counter % (10 * LOOK_SECONDS) == 0:
            loop = asyncio.get_running_loop()
            hang_up_silent(self.server_state.connections, loop.time())
            # Awaited: a look that takes long is not met by the next.
            await loop.run_in_executor(None, self._allocator.look)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._announcing:
            self._announcing.cancel()
        halting = asyncio.create_task(self._halt_after_grace())
        await super().shutdown(sockets=sockets)
        halting.cancel()
        await asyncio.wait([halting])

    async def _halt_after_grace(self) -> None:
        # A second signal sets `force_exit`: uvicorn then waits for nothing.
        await asyncio.sleep(GRACE_SECONDS)
        await self._halt()

    async def announced(self) -> None:
        """Wait for the coroutine's end and raise what it raised, if it failed rather than being stopped."""
        if self._announcing:
            await asyncio.wait({self._announcing})
            if not self._announcing.cancelled():
                self._announcing.result()

    def _stop_when_failed(self, task: "asyncio.Task[None]") -> None:
        self.should_exit = self.should_exit or (not task.cancelled() and task.exception() is not None)
