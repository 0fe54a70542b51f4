"""A program on a pseudo-terminal of its own: what it writes, and keys for it."""

import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.patience import patient

#: Escape sequences of colours and of a cleared screen.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class PseudoTerminal:
    """Runs a program as the foreground of a new terminal; leaving the `with` ends it."""

    def __init__(
        self,
        argv: Sequence[str],
        folder: Path,
        environ: Mapping[str, str] | None = None,
        columns: int = 80,
    ) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, columns))
        self.mode = termios.tcgetattr(slave)
        #: All that was written so far, without escape sequences.
        self.text = ""
        #: The same with them.
        self.raw = ""
        self._seen = 0
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            cwd=folder,
            env=None if environ is None else dict(environ),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        self._slave = slave

    def __enter__(self) -> "PseudoTerminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            # As when a terminal is closed: an interactive shell takes no notice of SIGTERM.
            self.process.send_signal(signal.SIGHUP)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for descriptor in (self._master, self._slave):
            os.close(descriptor)

    def press(self, keys: str) -> None:
        """Type keys."""
        os.write(self._master, keys.encode())

    def expect(self, pattern: str, seconds: float = 20) -> "re.Match[str]":
        """Return the next match of a pattern after the last one.

        Raises AssertionError with what was written.
        """
        deadline = time.monotonic() + patient(seconds)
        while True:
            found = re.compile(pattern, re.MULTILINE).search(self.text, self._seen)
            if found is not None:
                self._seen = found.end()
                return found
            left = deadline - time.monotonic()
            assert left > 0, f"not within {seconds} s: {pattern}\n{self.text[self._seen :]}"
            self._read(left)

    def _read(self, seconds: float) -> None:
        readable, _, _ = select.select([self._master], [], [], seconds)
        if readable:
            piece = os.read(self._master, 65536).decode(errors="replace")
            self.raw += piece
            self.text += ESCAPES.sub("", piece.replace("\r\n", "\n"))

    def read_all(self) -> str:
        """Return all that the program writes until it ends, without escape sequences."""
        while self.process.poll() is None:
            self._read(0.05)
        while select.select([self._master], [], [], 0)[0]:
            self._read(0)
        return self.text

    def ended(self, seconds: float = 20) -> int:
        """Return the exit code of the program once it has ended."""
        return self.process.wait(patient(seconds))

    def mode_now(self) -> "list[int | list[bytes | int]]":
        """Return the settings of the terminal."""
        return termios.tcgetattr(self._slave)
