"""Files as answers, whole or in part."""

import asyncio
import os
import re
from pathlib import Path

from starlette.types import Receive, Scope, Send

from minifn.api.wire.answers import RawHeaders
from minifn.errors import StorageInvalidRange

#: Bytes of a range without an end.
_WINDOW_BYTES = 10 * 1024 * 1024
_READ_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


def read_range(header: str, size_bytes: int) -> tuple[int, int]:
    """Return the first and last byte of a Range header.

    Raises StorageInvalidRange for other units, for several ranges, for an end that is not behind
    the start (also `5-5`, as in Appwrite) and for an end behind the file.
    """
    match = _RANGE.fullmatch(header)
    if match is None:
        raise StorageInvalidRange
    first = int(match[1])
    last = int(match[2]) if match[2] else min(first + _WINDOW_BYTES, size_bytes) - 1
    if first >= last or last >= size_bytes:
        raise StorageInvalidRange
    return first, last


class FileAnswer:
    """An archive that is sent from disk, 256 KiB at a time.

    The constructor opens the file, which can then be deleted while it is sent. It blocks, and
    raises FileNotFoundError and StorageInvalidRange.
    """

    def __init__(self, path: Path, name: str, range_header: str, content_type: str) -> None:
        self._file = path.open("rb")
        try:
            size_bytes = os.fstat(self._file.fileno()).st_size
            first, last = (
                read_range(range_header, size_bytes) if range_header else (0, size_bytes - 1)
            )
            self._file.seek(first)
        except BaseException:
            self._file.close()
            raise
        self._count = last - first + 1
        self._status = 206 if range_header else 200
        self._headers: RawHeaders = [
            (b"content-type", content_type.encode()),
            (b"content-disposition", f'attachment; filename="{name}"'.encode()),
            (b"cache-control", b"private, max-age=3888000"),
            (b"accept-ranges", b"bytes"),
            (b"content-length", str(self._count).encode()),
        ]
        if range_header:
            self._headers.append((b"content-range", f"bytes {first}-{last}/{size_bytes}".encode()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await send(
                {"type": "http.response.start", "status": self._status, "headers": self._headers}
            )
            left = 0 if scope["method"] == "HEAD" else self._count
            while left:
                data = await asyncio.to_thread(self._file.read, min(left, _READ_BYTES))
                if not data:
                    raise OSError(f"{self._file.name} was truncated while it was sent")
                left -= len(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
