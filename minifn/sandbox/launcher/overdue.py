"""Kills a server that was told to end and does not, even if none of its Python code can run.

A signal handler written in C (`faulthandler`, see `server/`) sends the server's stack here when
SIGINT or SIGTERM arrives, also while C code holds the interpreter lock. This process notices by a
signal and a timer, so the launcher's own loop needs no part in it.
"""

import contextlib
import fcntl
import os
import signal
import sys

#: Seconds from the first signal to the kill, longer than an orderly end takes.
OVERDUE_SECONDS = 25.0
#: Bytes of the stack that are kept.
STACK_BYTES_MAX = 64 * 1024


class Overdue:
    """Waits for the stack of the server."""

    def __init__(self, told: int, server: int) -> None:
        """`told` is the descriptor that the stack comes on, `server` the parent process's pid."""
        self._told = told
        self._server = server
        self._stack = b""
        os.set_blocking(told, False)
        signal.signal(signal.SIGALRM, self._end)
        signal.signal(signal.SIGIO, self._hear)
        fcntl.fcntl(told, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(told, fcntl.F_SETFL, fcntl.fcntl(told, fcntl.F_GETFL) | fcntl.FASYNC)
        # The stack may have come already.
        self._hear()

    def _hear(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(self._told, STACK_BYTES_MAX):
                if not self._stack:
                    signal.setitimer(signal.ITIMER_REAL, OVERDUE_SECONDS)
                # The stack comes in pieces, and again with each further signal.
                self._stack = (self._stack + piece)[:STACK_BYTES_MAX]

    def _end(self, *_: object) -> None:
        if os.getppid() != self._server:
            return
        stack = self._stack.decode(errors="replace")
        sys.stderr.write(
            f"minifn: the server did not end within {OVERDUE_SECONDS:g} s of a signal "
            f"and is killed. When the signal came it was here:\n{stack}"
        )
        os.kill(self._server, signal.SIGKILL)
