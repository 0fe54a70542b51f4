"""The socket to the server: frames in and out, as minifn/workers/protocol.py describes them."""

from __future__ import annotations

import json
import os
import struct
from _thread import allocate_lock
from select import POLLIN, poll

try:
    from select import epoll
except ImportError:  # not every system has it
    epoll = ()

#: Bytes of a usual read: for a larger buffer malloc asks the kernel for memory each time.
READ_BYTES = 64 * 1024
#: Bytes of a read of a long body.
REST_BYTES = 1024 * 1024
LENGTHS = struct.Struct(">II")
scan_json = json.JSONDecoder().scan_once


class Channel:
    """The socket to the server."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = b""
        self._waiting: list[bytes] = []
        self._lock = allocate_lock()
        self._poll = None

    def receive_next(self) -> list[tuple[dict, bytes]]:
        """Wait until there is something to read, and do what `receive` does.

        A read that waits would be woken, for nothing, whenever the server takes an answer.
        """
        if self._poll is None:
            self._poll = poll()
            self._poll.register(self.fd, POLLIN)
        self._poll.poll()
        return self.receive()

    def next_is_read(self, loop):
        """Return a function that waits for an event loop's events if it has nothing else to do.

        It tells whether the next event is something to read. Every other event is the loop's: epoll
        reports it again. A turn of asyncio's loop takes a short call a fifth of its time. The
        attributes are private to it, so another loop never waits in this way. Nor does one that is
        patched to have turns within turns (nest_asyncio), or that reports slow callbacks (debug).
        """
        from asyncio import BaseEventLoop

        events = getattr(getattr(loop, "_selector", None), "_selector", None)
        private = ("_ready", "_scheduled", "_stopping", "_debug", "_run_once")
        if not isinstance(events, epoll) or not all(hasattr(loop, name) for name in private):
            return bool
        expected, turn = [(self.fd, POLLIN)], getattr(BaseEventLoop, "_run_once", None)

        def waits() -> bool:
            busy = loop._ready or loop._scheduled or loop._stopping or loop._debug
            return not busy and type(loop)._run_once is turn and events.poll() == expected

        return waits

    def receive(self) -> list[tuple[dict, bytes]]:
        """Read once and return the complete frames. Ends the process when the server is gone."""
        data = os.read(self.fd, READ_BYTES)
        if not data:
            os._exit(0)
        data = self._buffer + data if self._buffer else data
        frames = []
        start, end = 0, len(data)
        while end - start >= 8:
            header_length, body_length = LENGTHS.unpack_from(data, start)
            body_start = start + 8 + header_length
            frame_end = body_start + body_length
            if frame_end > end:
                data = self._read_rest(data[start:], frame_end - start)
                start, end = 0, len(data)
                continue
            frames.append(
                (scan_json(data[start + 8 : body_start].decode(), 0)[0], data[body_start:frame_end])
            )
            start = frame_end
        self._buffer = data[start:]
        return frames

    def _read_rest(self, data: bytes, needed: int) -> bytes:
        parts, missing = [data], needed - len(data)
        while missing > 0:
            part = os.read(self.fd, min(missing, REST_BYTES))
            if not part:
                os._exit(0)
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def send(self, header: str, body: bytes, wait: bool = False) -> None:
        """Write a frame; with `wait`, keep it until the next frame or `flush`."""
        text = header.encode()
        with self._lock:
            self._waiting += (LENGTHS.pack(len(text), len(body)), text, body)
            if not wait:
                self._write()

    def close(self) -> None:
        """Close the socket; later frames are lost."""
        os.close(self.fd)
        self.fd = -1

    def flush(self) -> None:
        """Write the waiting frames."""
        with self._lock:
            if self._waiting:
                self._write()

    def _write(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        written = os.write(self.fd, data)
        if written < len(data):
            rest = memoryview(data)
            while written < len(data):
                written += os.write(self.fd, rest[written:])
