"""Reads requests and runs the function.

A `def` function runs on the main thread, one call at a time, as on Open Runtimes. The server may
send requests ahead, so that a fast call costs no round trip. A watcher notices within milliseconds
that a call blocks: it hands back the requests behind it, for other workers, and from then on the
server sends the next request after each answer. With MINIFN_CONCURRENCY above 1, calls run on that
many threads instead. A function that returns an awaitable, such as `async def`, runs on one event
loop in the main thread, with many calls at a time.

Locks and clocks come from their C modules at import, which monkey patching (gevent) leaves alone.
"""

from __future__ import annotations

import atexit
import os
import sys
from _thread import allocate_lock, get_ident, start_new_thread
from collections import deque
from functools import partial
from select import POLLIN, poll
from time import monotonic, sleep

from minifn_call import Context, Load, current, describe
from minifn_channel import Channel
from minifn_load import Function

#: Most answers that wait for the rest of a batch of requests.
BATCH_ANSWERS = 8
#: Seconds between looks of the watcher; a call seen at two looks is blocking.
TICK_SECONDS = 0.004
#: Fast calls that must follow a slow one before requests may be sent ahead again. The number
#: doubles after each slow call and halves once it is reached: on a busy machine a fast call may
#: look slow.
CAREFUL_CALLS_MIN, CAREFUL_CALLS_MAX = 4, 64
#: Milliseconds between looks at a blocking call.
BLOCKED_POLL_MS = 20
CANCEL_GRACE_SECONDS = 0.1


class Worker:
    """Reads requests, runs the function and watches over its calls."""

    def __init__(
        self, channel: Channel, function: Function, enforced_headers: dict[str, str], threads=None
    ) -> None:
        """`threads` (`CallThreads`) run `def` functions in place of the main thread."""
        self.channel = channel
        #: Unanswered calls by id.
        self.calls: dict[int, Context] = {}
        #: Whether this process is a child that the function forked.
        self.forked = False
        self._function = function
        self._enforced_headers = enforced_headers
        self._printed_ahead = ""
        self._main_thread = get_ident()
        #: Frames that were read but not handled. `_reading` guards the socket, not the frames.
        self._frames: deque[tuple[dict, bytes]] = deque()
        self._reading = allocate_lock()
        self._batched, self._stopping = 0, False
        #: The call on the main thread.
        self._running: Context | None = None
        #: Fast calls still needed until requests may be sent ahead; 0 = they may.
        self._careful = 0
        self._careful_calls = CAREFUL_CALLS_MIN
        self._threads = threads
        #: Whether the watcher is awake: while calls run; else it sleeps until the next deadline.
        self._awake = False
        self._wake = allocate_lock()
        self._next_deadline = float("inf")
        self._served = 0
        #: The event loop of a function that returns awaitables.
        self._loop = None
        self._start_task = None
        self._tasks: set = set()
        self._flush_planned = False

    def run(self) -> None:
        """Serve until the server sends `stop`. Only for the main thread."""
        self._wake.acquire()
        start_new_thread(self._watch, ())
        while True:
            call = self._next_call()
            if self._function.is_coroutine:
                self._run_loop(call)
            elif self._threads is not None:
                self._threads.give(call, self._call_on_thread)
            else:
                self._run_here(call)

    def forget(self) -> None:
        """In a forked child: leave the server and the calls to the parent."""
        self.forked = True
        self._running = None
        self.calls.clear()
        self.channel.close()

    def only_call(self) -> Context | None:
        """Return the only call in flight, None for none or several.

        Output of the function's own threads is taken for its output.
        """
        if self._running is not None:
            return self._running
        calls = list(self.calls.values())
        return calls[0] if len(calls) == 1 else None

    def may_wait(self, call: Context) -> bool:
        """Tell whether the answer of `call` may wait for the next ones of the same batch."""
        if self._loop is not None:
            return self._plan_flush()
        if self._running is call and self._frames and self._batched < BATCH_ANSWERS:
            self._batched += 1
            return True
        self._batched = 0
        return False

    # Reading

    def _next_call(self) -> Context:
        """Return the next call, with its function imported. Handles the frames before it."""
        frames = self._frames
        while True:
            while not frames:
                self.channel.flush()
                if self._stopping:
                    self._leave_when_done()
                with self._reading:
                    # The watcher may have read meanwhile.
                    if not frames:
                        frames.extend(self.channel.receive_next())
            try:
                call = self._accept(*frames.popleft())
            except IndexError:  # handed back by the watcher
                continue
            if call is None or (self._function.main is None and not self._load_for(call)):
                continue
            if self._printed_ahead:
                call._native(self._printed_ahead)
                self._printed_ahead = ""
            return call

    def _accept(self, frame: dict, body: bytes) -> Context | None:
        """Return the call of a request frame. Handles every other frame."""
        kind = frame["type"]
        if kind == "request":
            call = Context(self, frame, body)
            call.req.headers.update(self._enforced_headers)
            self.calls[call._id] = call
            self._served += 1
            if call._deadline < self._next_deadline:
                self._next_deadline = call._deadline
                self._awaken()
            return call
        if kind == "cancel":
            call = self.calls.get(frame["id"])
            if call is not None and self._loop is not None:
                # Later, because a task that has not begun would end without an answer.
                self._loop.call_soon(self._cancel, call, False)
        elif kind == "load":
            problem = "" if self._function.main is not None else self._load_ahead()
            if frame.get("answer"):
                self.channel.send('{"type":"loaded"}', problem.encode("utf-8", "replace"))
        elif kind == "stop":
            self._stopping = True
            self._leave_when_done()
        return None

    def _load_ahead(self) -> str:
        """Import the function before its first call. Returns why that failed, "" for success."""
        load = Load()
        current.set(load)
        problem = self._function.load()
        current.set(None)
        self._printed_ahead = load.printed
        return (self._function.trace or problem) if problem else ""

    def _load_for(self, call: Context) -> bool:
        """Import the function during the first call, and answer the call when that fails."""
        current.set(call)
        problem = self._function.load()
        if problem:
            call._fail(problem, status=503)
        current.set(None)
        return not problem

    def _leave_when_done(self) -> None:
        if self._stopping and not self.calls:
            self.channel.flush()
            atexit._run_exitfuncs()
            os._exit(0)

    # Calls on the main thread

    def _run_here(self, call: Context) -> None:
        self._running = call
        self._awaken()
        began = monotonic() if self._careful else 0.0
        output = self._call(call)
        self._running = None
        if output is not None:
            self._run_loop(call, output)
        if self._careful:
            if monotonic() - began > TICK_SECONDS:
                self._careful = self._careful_calls
                self._careful_calls = min(CAREFUL_CALLS_MAX, 2 * self._careful_calls)
            else:
                self._careful -= 1
                if self._careful == 0:
                    self._careful_calls = max(CAREFUL_CALLS_MIN, self._careful_calls // 2)
                    self._tell_concurrency(0)

    def _call(self, call: Context):
        """Run the function and answer the call. Returns an awaitable result unanswered."""
        current.set(call)
        try:
            output = self._function.main(call)
        except BaseException as exc:
            call._fail(describe(exc))
        else:
            if type(output) is not dict and hasattr(output, "__await__"):
                return output
            call._finish(output)
        current.set(None)
        return None

    def _tell_concurrency(self, concurrency: int) -> None:
        """Tell the server how many requests it may send at once; 0 = no limit."""
        self.channel.send(f'{{"type":"capacity","concurrency":{concurrency}}}', b"")

    # Calls on threads

    def _call_on_thread(self, call: Context) -> None:
        output = self._call(call)
        if output is not None:
            self._threads.resolve(call, output)
        self._leave_when_done()

    # The watcher

    def _watch(self) -> None:
        """Hand back requests behind blocking calls, and enforce deadlines."""
        seen, served = None, 0
        while True:
            if monotonic() >= self._next_deadline:
                self._expire()
            running = self._running
            if running is not None and running is seen:
                self._hand_back(running)
                running = self._running
            if self._loop is None and (running is not None or self._served != served):
                seen, served = running, self._served
                sleep(TICK_SECONDS)
                continue
            seen = None
            self._rest()

    def _rest(self) -> None:
        """Sleep until a call begins or the next deadline passes."""
        if self._awake:
            self._wake.acquire()
            self._awake = False
        if self._running is None:
            pause = self._next_deadline - monotonic()
            if self._wake.acquire(True, -1 if pause == float("inf") else max(0.0, pause)):
                self._awake = False

    def _awaken(self) -> None:
        if not self._awake:
            self._awake = True
            self._wake.release()

    def _hand_back(self, call: Context) -> None:
        """While `call` blocks, hand back the requests behind it and keep other frames."""
        if not self._careful:
            self._careful = 1
            self._tell_concurrency(1)
        self.channel.flush()
        socket = poll()
        socket.register(self.channel.fd, POLLIN)
        while True:
            self._decline()
            now = monotonic()
            if now >= self._next_deadline:
                self._expire()
            if self._running is not call:
                return
            if socket.poll(max(1, min(BLOCKED_POLL_MS, 1000 * (self._next_deadline - now)))):
                with self._reading:
                    if self._running is call:
                        self._frames.extend(self.channel.receive())

    def _decline(self) -> None:
        """Hand back the requests that have not begun."""
        kept = []
        while self._frames:
            try:
                frame, body = self._frames.popleft()
            except IndexError:  # taken by the main thread
                break
            if frame["type"] == "request":
                self.channel.send(f'{{"type":"decline","id":{frame["id"]}}}', b"")
            else:
                kept.append((frame, body))
        self._frames.extend(kept)

    def _expire(self) -> None:
        now = monotonic()
        late = [call for call in list(self.calls.values()) if call._deadline <= now]
        if self._loop is not None and late:
            for call in late:
                self._loop.call_soon_threadsafe(self._cancel, call)
            patience = now + CANCEL_GRACE_SECONDS
            while monotonic() < patience and any(call._id in self.calls for call in late):
                sleep(TICK_SECONDS)
        for call in late:
            call._time_out(stuck=True)
        self._next_deadline = min(
            (call._deadline for call in list(self.calls.values())), default=float("inf")
        )

    # The event loop

    def _run_loop(self, call: Context, output=None) -> None:
        """Run a call, or its awaitable `output`, and all later ones on a loop; never returns."""
        import asyncio

        try:
            # Objects that the module made at import may belong to this loop.
            self._loop = asyncio.get_event_loop()
        except (RuntimeError, DeprecationWarning):
            self._loop = None
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        self._start_task = self._loop.create_task
        if sys.version_info >= (3, 12) and self._loop.get_task_factory() is None:
            # A call that never waits then takes no turn of the loop.
            self._start_task = partial(asyncio.Task, loop=self._loop, eager_start=True)
        if self._careful:
            self._tell_concurrency(0)
        self._begin(call, output)
        with self._reading:  # the watcher has noted what it was reading, and reads no more
            while self._frames:
                self._begin_each([self._frames.popleft()])
        self._loop.add_reader(self.channel.fd, self._read, self.channel.next_is_read(self._loop))
        self._loop.run_forever()

    def _read(self, next_is_read) -> None:
        self._begin_each(self.channel.receive())
        while next_is_read():
            self._begin_each(self.channel.receive())

    def _begin_each(self, frames) -> None:
        # Answers of calls that never wait take no turn of the loop.
        self._flush_planned = True
        # All are accepted first, so that the time of each counts while another one blocks.
        for call in filter(None, [self._accept(*frame) for frame in frames]):
            self._begin(call)
        self._flush()

    def _begin(self, call: Context, output=None) -> None:
        task = self._start_task(self._call_async(call, output))
        if not task.done():
            call._task = task
            self._tasks.add(task)

    async def _call_async(self, call: Context, output) -> None:
        current.set(call)
        try:
            if output is None:
                output = self._function.main(call)
            if type(output) is not dict and hasattr(output, "__await__"):
                output = await output
        except BaseException as exc:
            call._fail(describe(exc))
        else:
            call._finish(output)
        # A callback of the task would cost a turn of the loop.
        self._tasks.discard(call._task)
        if self._stopping:
            self._leave_when_done()

    def _cancel(self, call: Context, late: bool = True) -> None:
        if late:
            call._time_out(stuck=False)
        if call._task is not None:
            call._task.cancel()

    def _plan_flush(self) -> bool:
        if get_ident() != self._main_thread:
            return False
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)
        return True

    def _flush(self) -> None:
        self._flush_planned = False
        self.channel.flush()
