"""The lines of `minifn dev`, and its keys."""

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from typing import Any

import click

from minifn.log_text import printable

#: How much is shown, least first: only failures; a line for each call; its logs as well; and the
#: server's own log.
LEVELS = ("failures", "calls", "logs", "server")


class Terminal:
    """Writes lines, in colour on a terminal."""

    def __init__(self) -> None:
        self.level = LEVELS.index("logs")

    def line(self, text: str, level: str = "failures", **style: Any) -> None:
        """Write one line, unless the level is too low for it."""
        if self.shows(level):
            # A reader that has gone must not end calls, which tell of themselves here.
            with contextlib.suppress(OSError):
                click.secho(printable(text), **style)

    def shows(self, level: str) -> bool:
        """Tell whether lines of this level are written."""
        return LEVELS.index(level) <= self.level

    def block(self, text: str, level: str = "failures", **style: Any) -> None:
        """Write lines, indented."""
        for line in text.rstrip("\n").splitlines():
            self.line(f"  {line}", level, **style)

    def next_level(self) -> str:
        """Show more, after the most least again, and return the name of the level."""
        self.level = (self.level + 1) % len(LEVELS)
        return LEVELS[self.level]

    def clear(self) -> None:
        """Clear the screen."""
        click.clear()


@contextlib.contextmanager
def keys(pressed: Callable[[str], None]) -> Iterator[bool]:
    """Call `pressed` with each key, and tell whether standard input is a terminal that has them.

    Signals of the terminal stay: Ctrl-C is one. The terminal's mode is restored in the end.
    """
    descriptor = sys.stdin.fileno()
    if not os.isatty(descriptor) or os.tcgetpgrp(descriptor) != os.getpgrp():
        yield False
        return
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()

    def read() -> None:
        data = os.read(descriptor, 64)
        if not data:
            loop.remove_reader(descriptor)
        for key in data.decode(errors="ignore"):
            pressed(key)

    tty.setcbreak(descriptor, termios.TCSANOW)
    loop.add_reader(descriptor, read)
    try:
        yield True
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
