"""Threads that run calls, for functions with MINIFN_CONCURRENCY above 1."""

from __future__ import annotations

import threading
from _queue import SimpleQueue

from minifn_call import describe

#: Bytes of stack: more than the function's own threads get, less than the main thread's 8 MiB,
#: because each counts against the function's memory.
STACK_BYTES = 2 * 1024 * 1024


class CallThreads:
    """Up to `count` threads, started on demand, and one event loop for awaitable results."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._calls = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0
        self._lock = threading.Lock()
        self._loop = None

    def give(self, call, run) -> None:
        """Run the call on an idle or a new thread. Only for the main thread."""
        if not self._idle.acquire(blocking=False) and self._started < self._count:
            try:
                self._start(self._serve)
                self._started += 1
            except RuntimeError:  # no more threads: the call waits for an existing one
                if self._started == 0:
                    raise
        self._calls.put((call, run))

    def resolve(self, call, awaitable) -> None:
        """Wait for an awaitable result on the loop and answer the call with it."""
        import asyncio

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._start(self._loop.run_forever)
        try:
            output = asyncio.run_coroutine_threadsafe(_resolved(awaitable), self._loop).result()
        except BaseException as exc:
            call._fail(describe(exc))
        else:
            call._finish(output)

    def _serve(self) -> None:
        while True:
            call, run = self._calls.get()
            run(call)
            self._idle.release()

    def _start(self, target) -> None:
        previous = threading.stack_size(STACK_BYTES)
        try:
            threading.Thread(target=target, daemon=True).start()
        finally:
            threading.stack_size(previous)


async def _resolved(awaitable):
    return await awaitable
