"""Reads requests and runs the function, many calls at a time.

A `def` function runs on the thread that read its request, so that a fast call costs no thread switch. A watcher
notices within a few milliseconds that a call blocks, and lets another thread read on. While calls are slow, each reader
hands reading over before it begins. An `async def` function runs on an event loop in the main thread.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque

from minifn_call import Context, Load, current, describe
from minifn_channel import Channel
from minifn_load import Function

#: Answers wait for the rest of a batch of requests only up to this many.
BATCH_ANSWERS = 8
#: A call that runs longer than one to two of these is taken for blocking.
TICK_SECONDS = 0.002
#: After a slow call, so many fast ones must follow before calls run on the reading thread again.
CAREFUL_CALLS = 64
#: Threads of user code would get 8 MiB; 64 of those alone reach the memory limit of a small function.
STACK_BYTES = 2 * 1024 * 1024
CANCEL_GRACE_SECONDS = 0.1


class Worker:
    """Reads requests, runs the function and watches over its calls."""

    def __init__(
        self, channel: Channel, function: Function, enforced_headers: dict[str, str]
    ) -> None:
        self.channel = channel
        #: Unanswered calls by id.
        self.calls: dict[int, Context] = {}
        #: Whether this process is a child that the function forked.
        self.forked = False
        self._function = function
        self._enforced_headers = enforced_headers
        self._printed_ahead = ""
        self._frames: deque[tuple[dict, bytes]] = deque()
        self._batched = 0
        self._stopping = False
        # Threads: whoever holds `turn` reads. `running` is the call that the reading thread runs itself.
        self._turn = threading.Lock()
        self._state = threading.Lock()
        self._idle_threads = 0
        self._running: Context | None = None
        self._careful = 0
        # The watcher: awake while calls run, else asleep until the next deadline.
        self._awake = threading.Event()
        self._next_deadline = float("inf")
        self._served = 0
        # The event loop of an `async def` function.
        self._loop = None
        self._tasks: set = set()
        self._flush_planned = False

    def run(self) -> None:
        """Serve until the server says stop. Only for the main thread."""
        self._start_thread(self._watch)
        self._read_in_turns()

    def forget(self) -> None:
        """In a forked child: leave the server and the calls to the parent."""
        self.forked = True
        self.calls.clear()
        self.channel.close()

    def only_call(self) -> Context | None:
        """Return the call in flight if there is exactly one: what user threads print is taken for its output."""
        calls = list(self.calls.values())
        return calls[0] if len(calls) == 1 else None

    def may_wait(self, call: Context) -> bool:
        """Tell whether the answer of `call`, being given now, may wait for the next ones of the same batch."""
        if self._loop is not None:
            return self._plan_flush()
        if self._running is call and self._frames and self._batched < BATCH_ANSWERS:
            self._batched += 1
            return True
        self._batched = 0
        return False

    def _accept(self, frame: dict, body: bytes) -> Context | None:
        """Return the call that a frame asks for; deals with every other frame."""
        kind = frame["type"]
        if kind == "request":
            call = Context(self, frame, body)
            call.req.headers.update(self._enforced_headers)
            self.calls[call._id] = call
            self._served += 1
            if call._deadline < self._next_deadline:
                self._next_deadline = call._deadline
                self._awake.set()
            return call
        if kind == "cancel":
            call = self.calls.pop(frame["id"], None)
            if call is not None and call._task is not None:
                call._task.cancel()
        elif kind == "load" and self._function.main is None:
            load = Load()
            current.set(load)
            self._function.load()
            current.set(None)
            self._printed_ahead = load.printed
        elif kind == "stop":
            self._stopping = True
            self._leave_when_done()
        return None

    def _load_for(self, call: Context) -> bool:
        """Import the function during the first call, which is answered here if that fails."""
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

    # Threads

    def _start_thread(self, target) -> None:
        previous = threading.stack_size(STACK_BYTES)
        try:
            threading.Thread(target=target, daemon=True).start()
        finally:
            threading.stack_size(previous)

    def _read_in_turns(self) -> None:
        while True:
            with self._state:
                self._idle_threads += 1
            self._turn.acquire()
            with self._state:
                self._idle_threads -= 1
            self._read()
            self._leave_when_done()

    def _pass_turn(self) -> None:
        """Let another thread read on; when no more can be had, the first that is done with its call."""
        if self._idle_threads == 0:
            try:
                self._start_thread(self._read_in_turns)
            except RuntimeError as exc:
                os.write(2, f"{exc}\n".encode())
        self._turn.release()

    def _read(self) -> None:
        """Read and run calls until the turn has passed to another thread."""
        frames = self._frames
        while True:
            while not frames:
                self.channel.flush()
                frames.extend(self.channel.receive())
            call = self._accept(*frames.popleft())
            if call is None or (self._function.main is None and not self._load_for(call)):
                continue
            if self._printed_ahead:
                call._native(self._printed_ahead)
                self._printed_ahead = ""
            if self._function.is_coroutine:
                self._run_loop(call)
            if self._careful:
                self._pass_turn()
                began = time.monotonic()
                self._call(call)
                slow = time.monotonic() - began > TICK_SECONDS
                self._careful = CAREFUL_CALLS if slow else max(0, self._careful - 1)
                return
            self._running = call
            if not self._awake.is_set():
                self._awake.set()
            self._call(call)
            with self._state:
                if self._running is not call:
                    return
                self._running = None
            if self._stopping:
                self._leave_when_done()

    def _call(self, call: Context) -> None:
        current.set(call)
        try:
            output = self._function.main(call)
            if type(output) is not dict and hasattr(output, "__await__"):
                import asyncio

                output = asyncio.run(resolve(output))
        except BaseException as exc:
            call._fail(describe(exc))
        else:
            call._finish(output)
        current.set(None)

    # The watcher

    def _watch(self) -> None:
        """See that blocking calls do not keep others from being read, and that deadlines are kept."""
        seen, served = None, 0
        while True:
            if time.monotonic() >= self._next_deadline:
                self._expire()
            running = self._running
            if running is not None and running is seen:
                self._take_turn_from(running)
            if self._loop is None and (running is not None or self._served != served):
                seen, served = running, self._served
                time.sleep(TICK_SECONDS)
                continue
            seen = None
            self._awake.clear()
            if self._running is None:
                pause = self._next_deadline - time.monotonic()
                self._awake.wait(None if pause == float("inf") else max(0.0, pause))

    def _take_turn_from(self, call: Context) -> None:
        with self._state:
            if self._running is not call:
                return
            self._running = None
            self._careful = CAREFUL_CALLS
        self.channel.flush()
        self._pass_turn()

    def _expire(self) -> None:
        now = time.monotonic()
        late = [call for call in list(self.calls.values()) if call._deadline <= now]
        if self._loop is not None and late:
            for call in late:
                self._loop.call_soon_threadsafe(self._cancel, call)
            patience = now + CANCEL_GRACE_SECONDS
            while time.monotonic() < patience and any(call._id in self.calls for call in late):
                time.sleep(TICK_SECONDS)
        for call in late:
            call._time_out(stuck=True)
        self._next_deadline = min(
            (call._deadline for call in list(self.calls.values())), default=float("inf")
        )

    # The event loop

    def _run_loop(self, call: Context) -> None:
        """Go on reading and running calls on an event loop; does not return."""
        import asyncio

        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._begin(call)
        while self._frames:
            self._begin(self._accept(*self._frames.popleft()))
        self._loop.add_reader(self.channel.fd, self._on_readable)
        self._loop.run_forever()

    def _on_readable(self) -> None:
        for frame, body in self.channel.receive():
            self._begin(self._accept(frame, body))

    def _begin(self, call: Context | None) -> None:
        if call is not None:
            call._task = self._loop.create_task(self._call_async(call))
            self._tasks.add(call._task)
            call._task.add_done_callback(self._tasks.discard)

    async def _call_async(self, call: Context) -> None:
        current.set(call)
        try:
            output = await self._function.main(call)
        except BaseException as exc:
            call._fail(describe(exc))
        else:
            call._finish(output)
        if self._stopping:
            self._leave_when_done()

    def _cancel(self, call: Context) -> None:
        call._time_out(stuck=False)
        if call._task is not None:
            call._task.cancel()

    def _plan_flush(self) -> bool:
        if threading.current_thread() is not threading.main_thread():
            return False
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)
        return True

    def _flush(self) -> None:
        self._flush_planned = False
        self.channel.flush()


async def resolve(awaitable):
    return await awaitable
