"""The HTTP server of `minifn serve`: sockets, signals, and an end in order."""

import asyncio
import atexit
import contextlib
import dataclasses
import faulthandler
import functools
import logging
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from types import FrameType
from typing import Any, cast

import uvicorn
import uvloop

from minifn.config import Config, authority
from minifn.embed import Minifn
from minifn.log_text import printable
from minifn.sandbox.command import SandboxError
from minifn.sandbox.launcher.confine import forbid_dumps
from minifn.sandbox.launcher.overdue import OVERDUE_SECONDS
from minifn.sandbox.lock import DataInUse
from minifn.server.connections import Connection, hang_up_silent, raise_descriptors
from minifn.server.listening import BACKLOG, AddressUnavailable, Listeners, listen
from minifn.server.memory import Allocator
from minifn.server.proxies import ProxyHint, believed
from minifn.server.watchdog import Watchdog
from minifn.store.cipher import VariablesKeyError
from minifn.store.schema import DatabaseTooNew

#: Seconds that requests in flight may go on after the first signal; a second signal ends them at once.
GRACE_SECONDS = 10
#: Seconds callers then have to receive the failure.
ANSWER_SECONDS = 3
#: Seconds between two looks for silent connections.
LOOK_SECONDS = 10.0
#: The descriptor of standard error, whether it is open or not.
STDERR = 2
#: Signals that end the server in order.
END_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Bytes of the largest message a realtime client may send.
MESSAGE_BYTES_MAX = 64 * 1024

#: Runs once the server answers, given its URL; serving goes on until a signal.
Ready = Callable[[Minifn, str], Coroutine[None, None, None]]


class ServerFailed(Exception):
    """The server could not start, or lost something it cannot work without; the message is one line to show.

    In the second case its supervisor should start it again.
    """


class PrintableFormatter(logging.Formatter):
    """Leaves nothing that a terminal obeys: messages and tracebacks hold text of strangers."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return printable(super().format(record))


def run(config: Config, ready: Ready) -> None:
    """Serve until SIGINT or SIGTERM, then stop in order. Raises ServerFailed."""
    # A function that has the server's uid must not read its environment, in which a secret was given, nor its memory.
    forbid_dumps()
    atexit.register(forget_unwritten)
    lines = logging.StreamHandler()
    lines.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[lines])
    for name in ("minifn", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.INFO)
    # uvicorn warns about every malformed request, so anybody could fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    try:
        listeners = listen(config.host, config.port)
    except AddressUnavailable as error:
        raise ServerFailed(error) from error
    with listeners, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        config = dataclasses.replace(config, port=listeners.port)
        endpoint = config.endpoint or f"{url_of(config)}/v1"
        runner.run(_serve(dataclasses.replace(config, endpoint=endpoint), listeners, ready))


def forget_unwritten() -> None:
    """Give up the lines that a full disk does not take: the interpreter would end with an exit code for them (120)."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


async def _serve(config: Config, listeners: Listeners, ready: Ready) -> None:
    minifn = Minifn(config)
    server = Server(
        uvicorn.Config(
            minifn.app if config.proxies else ProxyHint(minifn.app),
            http=cast("type[asyncio.Protocol]", functools.partial(Connection, raise_descriptors())),
            ws=cast("type[asyncio.Protocol]", websocket_protocol),
            ws_max_size=MESSAGE_BYTES_MAX,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=config.access_log,
            server_header=False,
            proxy_headers=bool(config.proxies),
            forwarded_allow_ips=believed(config.proxies),
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE_SECONDS + ANSWER_SECONDS,
        ),
        lambda: ready(minifn, url_of(config)),
        lambda: minifn.executions.halt(),
        listeners.refuse,
    )
    loop = asyncio.get_running_loop()
    for number in END_SIGNALS:
        loop.add_signal_handler(number, server.handle_exit, number, None)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(Watchdog(loop).running())
        try:
            await stack.enter_async_context(minifn)
        except (
            DataInUse,
            SandboxError,
            DatabaseTooNew,
            VariablesKeyError,
            sqlite3.Error,
            OSError,
        ) as error:
            raise ServerFailed(f"cannot start: {error}") from error
        for number in END_SIGNALS:
            # Written in C: works when this loop does not, and then has the launcher end this process.
            faulthandler.register(
                number, minifn.spawner.ending.fileno(), all_threads=False, chain=True
            )
            stack.callback(faulthandler.unregister, number)
        minifn.lost.add_done_callback(lambda _: server.handle_exit(signal.SIGTERM, None))
        await server.serve(sockets=listeners.duplicates())
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
        refuse: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._ready = ready
        #: Ends what still runs when the grace is over.
        self._halt = halt
        #: Ends the taking of connections.
        self._refuse = refuse
        self._announcing: asyncio.Task[None] | None = None
        self._allocator = Allocator()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order; by force when that takes too long, whatever thread keeps the process then."""
        if not self.should_exit:
            faulthandler.dump_traceback_later(OVERDUE_SECONDS, file=STDERR, exit=True)
        super().handle_exit(sig, frame)

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
        self._refuse()
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
        self.should_exit = self.should_exit or (
            not task.cancelled() and task.exception() is not None
        )
