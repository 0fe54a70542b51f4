"""Kills a server that was told to end and does not, whatever keeps it: no Python code of its own need run.

A signal handler written in C (`faulthandler`, see `server/`) sends the server's stack here when SIGINT or SIGTERM
arrives, also while C code holds the interpreter lock. Signals and a timer tell this process of it, so that the
launcher's own loop knows nothing of it.
"""

import contextlib
import fcntl
import os
import signal
import sys

#: Seconds between the first signal and the end by force: longer than an orderly end takes.
OVERDUE_SECONDS = 25.0
STACK_BYTES_MAX = 64 * 1024


class Overdue:
    """Waits for the stack of the process `server`, the parent of this one, on the descriptor `told`."""

    def __init__(self, told: int, server: int) -> None:
        self._told = told
        self._server = server
        self._stack = b""
        os.set_blocking(told, False)
        signal.signal(signal.SIGALRM, self._end)
        signal.signal(signal.SIGIO, self._hear)
        fcntl.fcntl(told, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(told, fcntl.F_SETFL, fcntl.fcntl(told, fcntl.F_GETFL) | fcntl.FASYNC)
        # The server may have been faster.
        self._hear()

    def _hear(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(self._told, STACK_BYTES_MAX):
                if not self._stack:
                    signal.setitimer(signal.ITIMER_REAL, OVERDUE_SECONDS)
                # It comes in pieces, and again with another signal.
                self._stack = (self._stack + piece)[:STACK_BYTES_MAX]

    def _end(self, *_: object) -> None:
        if os.getppid() != self._server:
            return
        stack = self._stack.decode(errors="replace")
        sys.stderr.write(
            f"minifn: the server did not end within {OVERDUE_SECONDS:g} s of a signal and is killed. "
            f"When the signal came it was here:\n{stack}"
        )
        os.kill(self._server, signal.SIGKILL)
