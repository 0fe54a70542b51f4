"""Event loops in whose place a Python worker waits for the next call, and those that wait alone."""

import asyncio
import importlib
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

from minifn.languages.table import default_root


class Patched(asyncio.SelectorEventLoop):
    """A loop whose turns may be within turns, as nest_asyncio makes them."""

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The channel of a worker that has something to read."""
    monkeypatch.syspath_prepend(str(default_root() / "python"))
    ours, theirs = os.pipe()
    os.write(theirs, b"x")
    yield importlib.import_module("minifn_channel").Channel(ours)
    os.close(ours)
    os.close(theirs)
    del sys.modules["minifn_channel"]


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="loops of this system have no epoll")
@pytest.mark.parametrize(
    ("kind", "change", "waits"),
    [
        (asyncio.SelectorEventLoop, lambda loop: None, True),
        (asyncio.SelectorEventLoop, lambda loop: loop.call_soon(print), False),
        (asyncio.SelectorEventLoop, lambda loop: loop.call_later(9, print), False),
        (asyncio.SelectorEventLoop, lambda loop: loop.call_soon_threadsafe(print), False),
        (asyncio.SelectorEventLoop, lambda loop: loop.stop(), False),
        # It would report that the worker waits in a callback.
        (asyncio.SelectorEventLoop, lambda loop: loop.set_debug(True), False),
        (Patched, lambda loop: None, False),
    ],
    ids=["idle", "ready", "timer", "thread", "stopped", "debug", "patched"],
)
def test_a_worker_waits_in_place_of_an_idle_loop_only(
    channel: Any,
    kind: type[asyncio.SelectorEventLoop],
    change: Callable[[asyncio.AbstractEventLoop], object],
    waits: bool,
) -> None:
    loop = kind()
    loop.add_reader(channel.fd, print)
    next_is_read = channel.next_is_read(loop)
    change(loop)
    assert next_is_read() is waits
    loop.close()


def test_a_frame_that_the_watcher_was_reading_is_handled(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher has read it when the first call turns out to need an event loop."""
    module = importlib.import_module("minifn_worker")
    monkeypatch.setattr(module, "current", ContextVar("current"))
    worker = module.Worker(channel, SimpleNamespace(main=lambda call: {}), {})
    call = SimpleNamespace(_task=None, _finish=lambda output: None)
    worker._reading.acquire()

    def note() -> None:
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline and not (worker._loop and worker._loop.is_running()):
            time.sleep(0.001)
        worker._frames.append(({"type": "read by the watcher"}, b""))
        worker._reading.release()

    watcher = threading.Thread(target=note)
    watcher.start()
    handled: list[Any] = []

    def accept(frame: Any, body: bytes) -> None:
        handled.append(frame)
        worker._loop.call_soon(worker._loop.stop)

    worker._accept = accept
    channel.receive = lambda: [({"type": "read by the loop"}, b"")]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        worker._run_loop(call)
    finally:
        watcher.join()
        asyncio.set_event_loop(None)
        loop.close()
        del sys.modules["minifn_worker"]
    assert {"type": "read by the watcher"} in handled
