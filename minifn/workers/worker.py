"""One warm process of one deployment, from the server's side: its start, calls and end."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import cast

from minifn.hooks import nothing
from minifn.sandbox.command import SandboxError
from minifn.sandbox.engines import Engine
from minifn.sandbox.process import Process
from minifn.sandbox.spawner import Spawner
from minifn.workers import protocol
from minifn.workers.call import Call, describe_exit, request_frame
from minifn.workers.output import Meter, OutputTail
from minifn.workers.protocol import Capacity, Decline, Decoder, Log, ProtocolError, Ready, Response
from minifn.workers.records import (
    CALLS_LOG_BYTES,
    FLOOD_LIMIT_BYTES,
    TIMED_OUT,
    FunctionRequest,
    FunctionResponse,
    WorkerFailed,
    WorkerSpec,
    answered,
    failed,
)
from minifn.workers.starting import start_process
from minifn.workers.template import Template

#: Seconds that a worker may take to be ready.
START_SECONDS = 60.0
#: Seconds after a call's deadline when the worker is ended, if the wrapper did not end the call.
DEADLINE_GRACE_SECONDS = 0.5
#: Seconds after which a worker counts as grown to its full size although it has not answered yet.
SETTLE_SECONDS = 10.0
#: Seconds that a stopped worker has to exit by itself.
STOP_GRACE_SECONDS = 2.0
#: Seconds from the end of the socket to that of the process, or the reverse.
CLOSE_SECONDS = 0.5
#: Bytes that the smallest frame counts for in a flood, because it costs work.
FRAME_BYTES = 64
#: Most requests declined in a row without an open call. One may cross an answer; more mean that an
#: answered call still holds the worker up.
IDLE_DECLINES_MAX = 3


class Worker(asyncio.Protocol):
    """A process and its requests in flight; `start` starts it, once."""

    def __init__(self, spec: WorkerSpec, *, careful: bool = False) -> None:
        """`careful`: give it one request first, because calls of its deployment block."""
        self.spec = spec
        self._careful = careful
        #: Number of requests answered.
        self.answered = 0
        #: The template that forked its process, None for none.
        self.template: Template | None = None
        #: Called after a slot became free.
        self.on_free: Callable[[Worker], None] = nothing
        #: Called when it takes fewer requests than before, because its calls block, or more.
        self.on_capacity: Callable[[Worker], None] = nothing
        #: Called once, when the process has ended.
        self.on_exit: Callable[[Worker], None] = nothing
        #: When the last request ended, on the monotonic clock.
        self.idle_since = time.monotonic()
        self._made_at = self.idle_since
        #: Whether the wrapper said or showed that the function is imported.
        self.loaded = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._process: Process
        self._output: OutputTail
        self._transport: asyncio.Transport
        self._decoder = Decoder()
        self._meter = Meter()
        self._calls: dict[int, Call] = {}
        #: Bytes that are kept of the logs of all of them.
        self._kept_bytes = 0
        self._last_id = 0
        #: Number of requests it takes at once, and number that the wrapper would take.
        self.slots = self._granted = 0
        self._outgoing: list[bytes] = []
        self._undelivered: list[Call] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = float("inf")
        self._retired = False
        #: Whether a call goes on although it was answered, so that only a kill ends it.
        self._stuck = False
        self._idle_declines = 0
        self._reason = ""
        self._closed = asyncio.Event()
        self._supervisor: asyncio.Task[None]

    @property
    def busy(self) -> int:
        """Number of requests in flight."""
        return len(self._calls)

    @property
    def busy_seconds(self) -> float:
        """How long its oldest request is in flight, 0 without one."""
        oldest = next(iter(self._calls.values()), None)
        return time.monotonic() - oldest.began if oldest else 0.0

    @property
    def in_service(self) -> bool:
        """Whether it takes requests, now or after the present ones."""
        return self.slots > 0

    @property
    def settled(self) -> bool:
        """Whether it has probably grown to its full size in memory."""
        return self.answered > 0 or time.monotonic() > self._made_at + SETTLE_SECONDS

    @property
    def slots_free(self) -> int:
        """The number of further requests it takes now."""
        return max(0, self.slots - len(self._calls))

    @property
    def pid(self) -> int:
        """The pid of the process on the host."""
        return self._process.pid

    async def start(
        self, spawner: Spawner, engine: Engine, template: Template | None = None
    ) -> None:
        """Start the process and wait until it takes requests. Raises WorkerFailed."""
        await self.spec.prepare()
        try:
            started = await start_process(self.spec, spawner, engine, template)
        except SandboxError as exc:
            self.spec.tell_load(str(exc))
            raise WorkerFailed(f"The worker could not be started: {exc}\n") from exc
        self._output = OutputTail(started.output, self._flooded)
        self._process, self.template = started.process, template if started.forked else None
        await self._loop.create_unix_connection(lambda: self, sock=started.socket)
        if started.read:
            self.data_received(started.read)
        self._supervisor = asyncio.create_task(
            self._supervise(), name=f"worker {self.spec.command.label}"
        )
        try:
            await asyncio.wait_for(asyncio.shield(self.ready), START_SECONDS)
        except TimeoutError:
            self._kill(f"The worker was not ready within {START_SECONDS:g} s.\n")
            await self.ready
        except asyncio.CancelledError:
            self._kill("The worker was stopped.\n")
            raise

    # Calls

    def call(self, request: FunctionRequest, deadline: float) -> Awaitable[FunctionResponse]:
        """Run the function; its failures and the worker's are in the response, never raised.

        The response comes within DEADLINE_GRACE_SECONDS of the `deadline` (monotonic clock).
        """
        if len(self._calls) >= self.slots:
            problem = self._reason or "The worker takes no more requests.\n"
            return answered(failed("died", problem))
        began = time.monotonic()
        remaining = deadline - began
        if remaining <= 0:
            return answered(failed("timeout", TIMED_OUT))
        due = deadline + DEADLINE_GRACE_SECONDS
        call = Call(self._loop.create_future(), request, began, due, self._output.total)
        self._last_id += 1
        number = self._last_id
        frame = request_frame(number, request, remaining)
        try:
            self._send(protocol.encode(frame, request.body))
        except ProtocolError as exc:
            return answered(failed("", f"The request is too large: {exc}.\n"))
        if not self._calls:
            self._process.watch(True)
        self._calls[number] = call
        self._undelivered.append(call)
        if due < self._timer_due:
            self._arm(due)
        return call.future

    def abandon(self, request: FunctionRequest) -> None:
        """Have the call of a request end early, whose caller has gone.

        It occupies the worker until that answers.
        """
        for number, call in self._calls.items():
            if call.request is request:
                self._send(protocol.encode(protocol.Cancel(number)))

    def load(self) -> None:
        """Have the function imported ahead of its first request."""
        self._send(protocol.encode(protocol.Load(answer=True)))

    def _send(self, frame: bytes) -> None:
        """Write a frame at the end of this turn of the loop, with all others of the turn."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(frame)

    def _flush(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()
        if not self._transport.is_closing():
            for call in self._undelivered:
                call.delivered = True
            self._undelivered.clear()

    def _take(self, number: int) -> Call | None:
        """Remove and return a call in flight, None if it was not."""
        call = self._calls.pop(number, None)
        self._kept_bytes -= call.kept_bytes if call is not None else 0
        return call

    def _freed(self) -> None:
        if not self._calls:
            self.idle_since = time.monotonic()
            self._process.watch(False)
            if self._retired:
                self._end()
        self.on_free(self)

    # The deadlines of all calls share one timer, so that a punctual call costs none.

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = None
        if due != float("inf"):
            self._timer = self._loop.call_later(due - time.monotonic(), self._expire)

    def _expire(self) -> None:
        now = time.monotonic() + 0.001
        for number in [number for number, call in self._calls.items() if call.deadline <= now]:
            self._stuck = True
            self._retire()
            call = self._take(number)
            if call is not None:
                call.finish(failure="timeout", error=TIMED_OUT)
                self._freed()
        self._arm(min((call.deadline for call in self._calls.values()), default=float("inf")))

    # Frames from the worker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        try:
            for header, body in self._decoder.feed(data):
                frame = protocol.decode_worker_frame(header)
                if type(frame) is Response:
                    self._respond(frame, body, len(header))
                elif type(frame) is Log:
                    self._log(frame, body, len(header))
                elif type(frame) is Decline:
                    self._give_back(frame)
                elif type(frame) is Capacity:
                    self._set_slots(frame.concurrency)
                    self.on_capacity(self)
                elif type(frame) is Ready:
                    self._become_ready(frame)
                elif type(frame) is protocol.Loaded:
                    self.loaded = self.loaded or not body
                    self.spec.tell_load(body.decode(errors="replace"))
        except ProtocolError as exc:
            self._kill(f"The worker broke the protocol: {exc}.\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self.slots = 0
        self._closed.set()
        self._loop.call_later(CLOSE_SECONDS, self._kill_rest)

    def _become_ready(self, frame: Ready) -> None:
        if self.ready.done():
            raise ProtocolError("ready was said twice")
        if frame.protocol != protocol.PROTOCOL:
            raise ProtocolError(f"protocol {frame.protocol} instead of {protocol.PROTOCOL}")
        self._set_slots(frame.concurrency)
        self.ready.set_result(None)

    def _set_slots(self, concurrency: int) -> None:
        if self._retired or self._reason:
            return
        self._granted = min(self.spec.concurrency, concurrency if concurrency > 0 else 1 << 31)
        self.slots = 1 if self._careful else self._granted

    def _give_back(self, frame: Decline) -> None:
        call = self._take(frame.id)
        if call is None:
            return self._check_issued(frame.id, 0)
        call.delivered = False
        self._idle_declines = 0 if self._calls else self._idle_declines + 1
        if self._idle_declines > IDLE_DECLINES_MAX:
            self._stuck = True
            self._retire()
        call.finish(failure="declined")
        self._freed()

    def _respond(self, frame: Response, body: bytes, header_bytes: int) -> None:
        call = self._calls.get(frame.id)
        self._stuck = self._stuck or frame.stuck
        if frame.stuck or frame.failure:
            # Tasks of the call would go on in this worker.
            self._retire()
        if call is None:
            return self._check_issued(frame.id, header_bytes + len(body))
        if not 100 <= frame.status_code <= 999:
            raise ProtocolError(f"status code {frame.status_code}")
        body = b"" if frame.status_code in (204, 304) else body
        call.finish(frame.status_code, bytes(frame.headers), body, frame.failure)
        self._take(frame.id)
        self.answered += 1
        self.loaded = True
        self._idle_declines = 0
        if self._careful and self.slots:
            # The wrapper would have reported a blocking call by now.
            self._careful = False
            self.slots = self._granted
        self._freed()

    def _log(self, frame: Log, body: bytes, header_bytes: int) -> None:
        call = self._calls.get(frame.id)
        if call is None:
            return self._check_issued(frame.id, header_bytes + len(body))
        self._kept_bytes += call.log(frame.stream, body, CALLS_LOG_BYTES - self._kept_bytes)
        if self._meter.floods(max(FRAME_BYTES, header_bytes)):
            self._flooded()
        if call.logged > FLOOD_LIMIT_BYTES:
            self._kill(f"The execution logged more than {FLOOD_LIMIT_BYTES // 1024**2} MB.\n")

    def _check_issued(self, number: int, size_bytes: int) -> None:
        if not 1 <= number <= self._last_id:
            raise ProtocolError(f"a frame for request {number}, which was never made")
        if self._meter.floods(FRAME_BYTES + size_bytes):
            self._flooded()

    def _flooded(self) -> None:
        self._kill("The function's process wrote faster than the server can read.\n")

    async def stop(self) -> None:
        """Take no more requests, wait for those in flight, then end the process."""
        self._retire()
        if not self._calls:
            self._end()
        await asyncio.wait([self._supervisor])

    async def kill(self) -> None:
        """End the process now; requests in flight fail."""
        self._kill("The worker was stopped.\n")
        await asyncio.wait([self._supervisor])

    def _retire(self) -> None:
        """Take no more requests; the process ends with the last one in flight."""
        self.slots = 0
        self._retired = True

    def _end(self) -> None:
        if not self._stuck:
            self._send(protocol.encode(protocol.Stop()))
        self._loop.call_later(0 if self._stuck else STOP_GRACE_SECONDS, self._kill_rest)

    def _kill_rest(self) -> None:
        if self._process.exit is None:
            self._process.kill_soon()

    def _kill(self, reason: str) -> None:
        self.slots = 0
        self._reason = self._reason or reason
        self._transport.abort()
        self._kill_rest()

    async def _supervise(self) -> None:
        """Wait for the end of the process and fail its requests in flight."""
        exit = await self._process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), CLOSE_SECONDS)
        self._transport.abort()
        self.slots = 0
        self._output.close()
        self._arm(float("inf"))
        reason = self._reason or describe_exit(exit)
        if not self.ready.done():
            self.ready.set_exception(WorkerFailed(reason + self._output.since(0)))
            self.ready.exception()
        self.spec.tell_load(reason + self._output.since(0))
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.finish(failure="died", error=reason + self._output.since(call.output_mark))
        self.on_exit(self)
