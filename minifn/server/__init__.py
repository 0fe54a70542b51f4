"""The HTTP server of `minifn serve`: sockets, signals and an orderly stop."""

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
from starlette.types import ASGIApp

from minifn.config import Config, authority
from minifn.embed import Minifn
from minifn.log_text import printable
from minifn.sandbox.command import SandboxError
from minifn.sandbox.launcher.confine import forbid_dumps
from minifn.sandbox.launcher.overdue import OVERDUE_SECONDS
from minifn.sandbox.lock import DataInUse
from minifn.server.access_log import AccessLog
from minifn.server.connections import (
    DESCRIPTORS_MIN,
    Unread,
    connections_max,
    hang_up_silent,
    hang_up_unread,
    raise_descriptors,
)
from minifn.server.direct import DirectConnection
from minifn.server.listening import BACKLOG, AddressUnavailable, Listeners, listen
from minifn.server.memory import Allocator, spare_collector
from minifn.server.proxies import ProxyHint, naming, trusted
from minifn.server.watchdog import Watchdog
from minifn.store.cipher import VariablesKeyError
from minifn.store.schema import DatabaseTooNew

#: Seconds for requests in flight after the first signal; a second signal ends them at once.
GRACE_SECONDS = 10
#: Seconds callers then have to receive the failure.
ANSWER_SECONDS = 3
#: Seconds within which the reader of an answer must read on while the server stops.
UNREAD_SECONDS = 2.0
#: Seconds between two looks for silent connections.
LOOK_SECONDS = 10.0
#: Ticks of uvicorn in a second.
TICKS = 10
#: Descriptor of standard error, even when it is closed.
STDERR = 2
#: Signals that stop the server gracefully; SIGHUP comes when a terminal closes.
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Errors of a start that one line explains.
START_ERRORS = (
    DataInUse, SandboxError, DatabaseTooNew, VariablesKeyError, sqlite3.Error, OSError
)  # fmt: skip
#: Bytes of the largest message a realtime client may send.
MESSAGE_BYTES_MAX = 64 * 1024

#: A coroutine that runs once the server answers, given the server's URL.
Ready = Callable[[Minifn, str], Coroutine[None, None, None]]


class ServerFailed(Exception):
    """The server could not start, or lost an essential part; the message is one line to show.

    After a lost part, the supervisor should start the server again.
    """


class PrintableFormatter(logging.Formatter):
    """Escapes control characters: messages and tracebacks contain untrusted text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return printable(super().format(record))


def run(config: Config, ready: Ready) -> None:
    """Serve until one of END_SIGNALS, then stop gracefully. Raises ServerFailed."""
    descriptors = raise_descriptors()
    if descriptors < DESCRIPTORS_MIN:
        raise ServerFailed(
            f"cannot start: only {descriptors} files may be open, and a server needs"
            f" {DESCRIPTORS_MIN}: raise the limit, for example by `ulimit -n 4096`"
        )
    # A function with the server's uid must not read the server's memory and environment, which
    # have secrets.
    forbid_dumps()
    atexit.register(forget_unwritten)
    lines = logging.StreamHandler()
    lines.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[lines])
    logging.getLogger("minifn").setLevel(logging.INFO)
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
    """Drop output that a full disk does not take; the interpreter would exit with 120 for it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


async def _serve(config: Config, listeners: Listeners, ready: Ready) -> None:
    minifn = Minifn(config)
    server = Server(
        _uvicorn_config(config, minifn),
        lambda: _announce(minifn, config, ready),
        lambda: minifn.executions.halt(),
        lambda: minifn.stopping.set(),
        listeners.refuse,
    )
    loop = asyncio.get_running_loop()
    # `nohup` has SIGHUP ignored, and that stays.
    ends = [number for number in END_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in ends:
        loop.add_signal_handler(number, server.handle_exit, number, None)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(Watchdog(loop).running())
        try:
            await stack.enter_async_context(minifn)
        except START_ERRORS as error:
            # SQLite does not name its file.
            where = f"{minifn.data.database}: " if isinstance(error, sqlite3.Error) else ""
            raise ServerFailed(f"cannot start: {where}{error}") from error
        for number in ends:
            # This handler is C code: it works when the loop hangs, and then the launcher ends this
            # process.
            faulthandler.register(
                number, minifn.spawner.ending.fileno(), all_threads=False, chain=True
            )
            stack.callback(faulthandler.unregister, number)
        minifn.lost.add_done_callback(lambda _: server.handle_exit(signal.SIGTERM, None))
        stack.callback(minifn.data.address.unlink, missing_ok=True)
        await server.serve(sockets=listeners.duplicates())
        try:
            await server.announced()
        except OSError as error:
            raise ServerFailed(f"stopped: the first lines cannot be written: {error}") from error
        if minifn.lost.done():
            raise ServerFailed(f"stopped: the {minifn.lost.result()} ended unexpectedly")


async def _announce(minifn: Minifn, config: Config, ready: Ready) -> None:
    """Leave the server's address for commands of this machine, then run `ready`."""
    address = f"{url_of(config)}\n{config.project}\n"
    await asyncio.to_thread(minifn.data.leave_address, address)
    await ready(minifn, url_of(config))
    spare_collector()


def _uvicorn_config(config: Config, minifn: Minifn) -> uvicorn.Config:
    app: ASGIApp = minifn.app if config.proxies else ProxyHint(minifn.app)
    connection = functools.partial(
        DirectConnection,
        minifn.app.state.direct,
        connections_max(raise_descriptors()),
        named=naming(config.proxies),
        writes_log=config.access_log,
    )
    return uvicorn.Config(
        AccessLog(app) if config.access_log else app,
        http=cast("type[asyncio.Protocol]", connection),
        ws=cast("type[asyncio.Protocol]", websocket_protocol),
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(config.proxies),
        forwarded_allow_ips=trusted(config.proxies),
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_SECONDS + ANSWER_SECONDS,
    )


def websocket_protocol(**connection: Any) -> asyncio.Protocol:
    """Return the protocol of a WebSocket. The first one imports the library."""
    from minifn.server.websockets import SocketConnection

    return SocketConnection(**connection)


def url_of(config: Config) -> str:
    """Return the URL of the server; for a wildcard address it names loopback."""
    return f"http://{authority(config.host, config.port)}"


class Server(uvicorn.Server):
    """uvicorn with a coroutine that runs once it answers, and without its signal handlers.

    uvicorn raises a signal again after serving, which would end the process before its workers.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], Coroutine[None, None, None]],
        halt: Callable[[], Coroutine[None, None, None]],
        end_streams: Callable[[], None],
        refuse: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._ready = ready
        #: Ends running executions when the grace period is over.
        self._halt = halt
        #: Ends the answers that go on.
        self._end_streams = end_streams
        #: Refuses new connections.
        self._refuse = refuse
        self._announcing: asyncio.Task[None] | None = None
        self._allocator = Allocator()
        #: Set when it must end.
        self._told = asyncio.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order; a timer ends the process when that takes too long."""
        if not self.should_exit:
            # Without memory or a process to spare there is no thread for the timer.
            with contextlib.suppress(RuntimeError):
                faulthandler.dump_traceback_later(OVERDUE_SECONDS, file=STDERR, exit=True)
        super().handle_exit(sig, frame)
        self._told.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._announcing = asyncio.create_task(self._ready(), name="ready")
        self._announcing.add_done_callback(self._stop_when_failed)

    async def main_loop(self) -> None:
        """Tick each second, and when it must end. uvicorn's own loop ticks ten times a second."""
        counter = 0
        while not await self.on_tick(counter):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1)
            counter += TICKS

    async def on_tick(self, counter: int) -> bool:
        if counter % (TICKS * LOOK_SECONDS) == 0:
            loop = asyncio.get_running_loop()
            hang_up_silent(self.server_state.connections, loop.time())
            # Awaited, so that a long look never overlaps the next.
            await loop.run_in_executor(None, self._allocator.look)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._announcing:
            self._announcing.cancel()
        self._refuse()
        self._end_streams()
        ends = [asyncio.create_task(end) for end in (self._halt_after_grace(), self._cut_unread())]
        await super().shutdown(sockets=sockets)
        for end in ends:
            end.cancel()
        await asyncio.wait(ends)

    async def _cut_unread(self) -> None:
        """Close connections whose clients have stopped reading: the stop would wait for them."""
        unread: Unread = {}
        while True:
            await asyncio.sleep(UNREAD_SECONDS)
            unread = hang_up_unread(self.server_state.connections, unread)

    async def _halt_after_grace(self) -> None:
        # A second signal sets `force_exit`, with which uvicorn does not wait.
        await asyncio.sleep(GRACE_SECONDS)
        await self._halt()

    async def announced(self) -> None:
        """Wait for the coroutine's end; raise its exception, unless it was canceled."""
        if self._announcing:
            await asyncio.wait({self._announcing})
            if not self._announcing.cancelled():
                self._announcing.result()

    def _stop_when_failed(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self.should_exit = True
            self._told.set()
