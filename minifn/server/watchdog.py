"""Logs which code blocks the event loop."""

import asyncio
import contextlib
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator

logger = logging.getLogger("minifn.server")

#: Seconds between two beats of the loop.
BEAT_SECONDS = 0.25
#: Seconds without a beat after which the loop counts as blocked.
HELD_SECONDS = 1.0
#: Most frames of the loop's thread that are logged, the innermost ones.
FRAMES_MAX = 12


class Watchdog:
    """Watches a loop from a separate thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        #: The thread that runs the loop, which is the one that constructs this.
        self._watched = threading.get_ident()
        self._alive_at = time.monotonic()
        self._over = threading.Event()
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Watch the loop until the context ends."""
        watching = threading.Thread(target=self._watch, name="minifn-watchdog", daemon=True)
        self._beat()
        watching.start()
        try:
            yield
        finally:
            self._over.set()
            if self._timer is not None:
                self._timer.cancel()

    def _beat(self) -> None:
        self._alive_at = time.monotonic()
        self._timer = self._loop.call_later(BEAT_SECONDS, self._beat)

    def _watch(self) -> None:
        reported = 0.0
        pause = HELD_SECONDS
        while not self._over.wait(pause):
            alive_at = self._alive_at
            held = time.monotonic() - alive_at - BEAT_SECONDS
            # No earlier than the loop can have been held for that time.
            pause = HELD_SECONDS - held if held < HELD_SECONDS else BEAT_SECONDS
            if held >= HELD_SECONDS and reported != alive_at:
                reported = alive_at
                logger.warning(
                    "the event loop has been held for %.1f s by:\n%s", held, self._stacks()
                )

    def _stacks(self) -> str:
        """Return the stack of the loop's thread, and the positions of the others.

        Another thread may hold the interpreter lock.
        """
        frames = sys._current_frames()
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        stack = (
            traceback.format_stack(frames[self._watched])[-FRAMES_MAX:]
            if self._watched in frames
            else []
        )
        others = [
            f"  {names.get(ident, ident)} is in {frame.f_code.co_name},"
            f" {frame.f_code.co_filename}:{frame.f_lineno}\n"
            for ident, frame in frames.items()
            if ident not in (self._watched, threading.get_ident())
        ]
        return "".join([*stack, *others]).rstrip()
