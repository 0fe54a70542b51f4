"""A pseudo-terminal for programs that ask questions."""

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

from tests.patience import patient

DOWN, ENTER = "\x1b[B", "\r"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program in a terminal: waits for its output and presses keys."""

    def __init__(self, argv: list[str], folder: Path, environ: dict[str, str]) -> None:
        self._screen, terminal = pty.openpty()
        self._process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environ,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            close_fds=True,
        )
        os.close(terminal)
        self.shown = ""

    def answer(self, question: str, keys: str, seconds: float = 60) -> None:
        """Press keys once the program has asked. Raises AssertionError with its output."""
        self._wait(question, seconds)
        os.write(self._screen, keys.encode())

    def end(self, seconds: float = 60) -> str:
        """Wait for the program to succeed, and return its output."""
        self._wait(None, seconds)
        status = self._process.wait(patient(seconds))
        os.close(self._screen)
        assert status == 0, self.shown
        return self.shown

    def _wait(self, text: str | None, seconds: float) -> None:
        start = len(self.shown)
        deadline = time.monotonic() + patient(seconds)
        while text is None or text not in self.shown[start:]:
            left = deadline - time.monotonic()
            ready = select.select([self._screen], [], [], max(0, left))[0]
            try:
                data = os.read(self._screen, 65536) if ready else b""
            except OSError:
                # Linux raises this once no process has the terminal open.
                data = b""
            if not data:
                assert left > 0, f"still runs:\n{self.shown}"
                assert text is None, f"{text!r} is not in:\n{self.shown}"
                return
            self.shown += _CONTROL.sub("", data.decode(errors="replace"))
