"""Drains a worker's own standard output and error, which bypass the wrapper, and keeps the end."""

import asyncio
import os
import time
from collections.abc import Callable

from minifn.workers.records import FLOOD_LIMIT_BYTES, FLOOD_SECONDS

#: Bytes at the end that are kept for reports about crashes.
TAIL_BYTES = 64 * 1024
READ_BYTES = 256 * 1024
#: Reads that empty a full pipe; if there is still more, a process is still writing.
CLOSING_READS = 8


class Meter:
    """Notices a flood that would keep the server from its work."""

    def __init__(self) -> None:
        self._bytes = 0
        self._began = time.monotonic()

    def floods(self, count: int) -> bool:
        """Count more bytes; tell whether FLOOD_LIMIT_BYTES came within FLOOD_SECONDS."""
        self._bytes += count
        if self._bytes <= FLOOD_LIMIT_BYTES:
            return False
        began, self._began = self._began, time.monotonic()
        self._bytes = 0
        return self._began - began < FLOOD_SECONDS


class OutputTail:
    """Reads a pipe while the worker lives, so that the worker never blocks on a full one."""

    def __init__(self, descriptor: int, on_flood: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_flood = on_flood
        self._meter = Meter()
        self._tail = bytearray()
        #: Bytes read so far.
        self.total = 0
        os.set_blocking(descriptor, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._read)

    def since(self, mark: int) -> str:
        """Return the kept part of the output after its first `mark` bytes."""
        fresh = min(self.total - mark, len(self._tail))
        return bytes(self._tail[len(self._tail) - fresh :]).decode(errors="replace")

    def close(self) -> None:
        """Read the rest and close the pipe."""
        for _ in range(CLOSING_READS):
            if not self._read():
                break
        if self._descriptor >= 0:
            self._detach()

    def _read(self) -> bool:
        """Read once; tell whether there may be more."""
        if self._descriptor < 0:
            return False
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._detach()
            return False
        self.total += len(data)
        self._tail += data
        del self._tail[:-TAIL_BYTES]
        if self._meter.floods(len(data)):
            self._on_flood()
        return True

    def _detach(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
