"""A started command, from the server's side."""

import asyncio
from collections.abc import Callable

from .command import Exit
from .launcher.messages import ToLauncher

#: Seconds that a process is still watched closely once it idles: a busy one then costs no message
#: per request.
LINGER_SECONDS = 2.0


class Process:
    """A started command."""

    def __init__(self, send: Callable[[ToLauncher], None], number: int, label: str) -> None:
        self.label = label
        self.pid = 0
        #: Clock ticks since boot. Together with the pid they name the process uniquely.
        self.started = 0
        #: Whether it has a control group of its own.
        self.grouped = False
        self._send = send
        #: Its number in messages to the launcher.
        self.number = number
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._fast = True
        self._busy = True
        self._timer: asyncio.TimerHandle | None = None

    @property
    def exit(self) -> Exit | None:
        """The end of the process, None while it runs."""
        return self._exit.result() if self._exit.done() else None

    async def wait(self) -> Exit:
        """Wait until nothing of its tree is left and return how it ended."""
        return await asyncio.shield(self._exit)

    async def kill(self) -> Exit:
        """Kill the whole tree and return once it is gone."""
        self.kill_soon()
        return await self.wait()

    def kill_soon(self) -> None:
        """Begin to kill the whole tree."""
        self._send({"op": "kill", "id": self.number})

    def watch(self, fast: bool) -> None:
        """Set whether it works (its memory is checked every 100 ms) or idles (every second).

        A new process counts as working. Cheap enough for two calls per request.
        """
        self._busy = fast
        if fast:
            if not self._fast:
                self._set_fast(True)
        elif self._fast and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._idle)

    def _idle(self) -> None:
        self._timer = None
        if not self._busy and not self._exit.done():
            self._set_fast(False)

    def _set_fast(self, fast: bool) -> None:
        self._fast = fast
        self._send({"op": "watch", "id": self.number, "fast": fast})

    def ended(self, exit: Exit) -> None:
        """Note how it ended; the spawner calls this once."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._exit.done():
            self._exit.set_result(exit)
