"""Semaphores of multiprocessing where those of the system are out of reach.

The C library keeps named semaphores in /dev/shm. An engine without its own file system closes it,
because all functions would share it. Here each semaphore is a FIFO in the temporary directory with
one byte per permit. Only names of multiprocessing are allowed: processes of others (joblib) do not
run `server.py`, and joblib then works in series.
"""

from __future__ import annotations

import _multiprocessing
import errno
import fcntl
import os
import struct
import termios
from _thread import get_ident
from select import POLLIN, poll
from time import monotonic

RECURSIVE = 0
PREFIX = "/mp-"


class SemLock:
    """Replaces `_multiprocessing.SemLock`, with its methods and errors."""

    #: The minimum of POSIX. A FIFO holds twice as many bytes, but allocates them by page.
    SEM_VALUE_MAX = 32_767

    def __init__(self, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> None:
        path = _path(name)
        os.mkfifo(path, 0o600)
        self._begin(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK), kind, maxvalue)
        os.write(self.handle, b"x" * value)
        self.name = None if unlink else name
        if unlink:
            os.unlink(path)

    @classmethod
    def _rebuild(cls, handle: int, kind: int, maxvalue: int, name: str) -> SemLock:
        self = cls.__new__(cls)
        self._begin(os.open(_path(name), os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK), kind, maxvalue)
        self.name = name
        return self

    def _begin(self, handle: int, kind: int, maxvalue: int) -> None:
        self.handle = handle
        self.kind = kind
        self.maxvalue = maxvalue
        self._held = 0
        self._owner = 0

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            os.close(self.handle)

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        if self.kind == RECURSIVE and self._is_mine():
            self._held += 1
            return True
        deadline = None if timeout is None else monotonic() + timeout
        while not self._take():
            if not block or not self._wait(deadline):
                return False
        self._held += 1
        self._owner = get_ident()
        return True

    def _take(self) -> bool:
        try:
            return bool(os.read(self.handle, 1))
        except BlockingIOError:
            return False

    def _wait(self, deadline: float | None) -> bool:
        """Wait for a permit, which another may take first. Returns False after the deadline."""
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            return False
        permits = poll()
        permits.register(self.handle, POLLIN)
        permits.poll(None if left is None else 1000 * left)
        return True

    def release(self) -> None:
        if self.kind == RECURSIVE:
            if not self._is_mine():
                raise AssertionError("attempt to release recursive lock not owned by thread")
            if self._held > 1:
                self._held -= 1
                return
        elif self._get_value() >= self.maxvalue:
            raise ValueError("semaphore or lock released too many times")
        os.write(self.handle, b"x")
        self._held -= 1

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()

    def _count(self) -> int:
        return self._held

    def _is_mine(self) -> bool:
        return self._held > 0 and self._owner == get_ident()

    def _get_value(self) -> int:
        return struct.unpack("i", fcntl.ioctl(self.handle, termios.FIONREAD, bytes(4)))[0]

    def _is_zero(self) -> bool:
        return self._get_value() == 0

    def _after_fork(self) -> None:
        self._held = 0


def sem_unlink(name: str) -> None:
    os.unlink(_path(name))


def _path(name: str) -> str:
    """Return the path of a semaphore. Raises PermissionError for names outside multiprocessing."""
    if not name.startswith(PREFIX) or "/" in name[1:]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/dev/shm" + name)
    return os.environ.get("TMPDIR", "/tmp") + name


def install() -> None:
    """Replace the system's semaphores, for modules that are imported later."""
    _multiprocessing.SemLock = SemLock
    _multiprocessing.sem_unlink = sem_unlink
