"""Processes that tests start themselves, and that end with the test."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import AnyStr


@contextmanager
def killed_at_end(process: subprocess.Popen[AnyStr]) -> Iterator[subprocess.Popen[AnyStr]]:
    """Kill a process at the end of the block, if it still runs, and close its pipes.

    The block of a `Popen` waits for the process without a deadline: a test that fails within it
    would not end.
    """
    with process:
        try:
            yield process
        finally:
            process.kill()
