"""Multipart forms: fields in memory, and an upload's files on disk."""

import asyncio
import contextlib
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive

from minifn.api.wire.body_stream import BodyTooLong, chunks
from minifn.api.wire.params import nest
from minifn.errors import ArgumentInvalid, StorageInvalidFileSize
from minifn.limits import FORM_PARTS_MAX, UPLOAD_FIELDS_BYTES_MAX
from minifn.services.uploads import UploadedFile

#: Bytes of an upload besides its files.
_UPLOAD_OVERHEAD_BYTES = 2 * UPLOAD_FIELDS_BYTES_MAX
#: Bytes of a file's write buffer.
_WRITE_BYTES = 1024 * 1024
#: Bytes of an upload that are parsed at once, in a thread.
_PIECE_BYTES = 256 * 1024
#: The parser's logger, without a parent: a malformed body adds no warning to the server's log.
_PARSER_LOGGER = logging.Logger("multipart", logging.ERROR)


class Form:
    """A multipart body that is fed in pieces.

    With a directory, its files are written there, and `close` removes them. `field_limit_bytes` is
    for all other parts together.
    """

    def __init__(self, content_type: str, directory: Path | None, field_limit_bytes: int) -> None:
        """Raises ArgumentInvalid for a content type without a boundary that can be used."""
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise ArgumentInvalid("The multipart body has no boundary.")
        self._directory = directory
        self._field_limit_bytes = field_limit_bytes
        self._fields: list[tuple[str, bytes]] = []
        self._field_bytes = 0
        self._files: dict[str, UploadedFile] = {}
        self._made: list[Path] = []
        #: Name and value of the header that is being read.
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        self._name = ""
        self._file_name: str | None = None
        self._data = bytearray()
        self._file: BinaryIO | None = None
        self._parts = 0
        self._complete = False
        self._parser = self._start(boundary)

    def _start(self, boundary: bytes) -> MultipartParser:
        try:
            parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as exc:
            raise ArgumentInvalid("The multipart body has a boundary that is too long.") from exc
        parser.logger = _PARSER_LOGGER
        return parser

    def close(self) -> None:
        """Remove the files that were not moved elsewhere."""
        for path in self._made:
            path.unlink(missing_ok=True)
        if self._file is not None:
            # Closing writes the buffer, which a full disk refuses once more.
            with contextlib.suppress(OSError):
                self._file.close()

    def feed(self, data: bytes) -> None:
        """Parse the next piece. Raises ArgumentInvalid when it is malformed or breaks a limit."""
        try:
            self._parser.write(data)
        except FormParserError as exc:
            raise ArgumentInvalid(f"The multipart body is malformed: {exc}") from exc

    def finish(self) -> None:
        """Check that the closing boundary has come. Raises ArgumentInvalid."""
        if not self._complete:
            raise ArgumentInvalid("The multipart body ended early.")

    def files(self) -> dict[str, UploadedFile]:
        """Return the files by the name of their part; the last one of a name wins."""
        return self._files

    def params(self, binary: Iterable[str] = ()) -> dict[str, Any]:
        """Return the other parts, as text unless `binary` names them.

        Raises ArgumentInvalid when one is not UTF-8.
        """
        return nest(
            (name, data if name in binary else _text(name, data)) for name, data in self._fields
        )

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > FORM_PARTS_MAX:
            raise ArgumentInvalid(f"The multipart body has more than {FORM_PARTS_MAX} parts.")
        self._disposition = b""
        self._data = bytearray()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _on_header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = bytes(self._header[1])
        self._header = (bytearray(), bytearray())

    def _on_headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        if b"name" not in options:
            raise ArgumentInvalid("A part of the multipart body has no name.")
        self._name = _text("name", options[b"name"])
        self._file_name = (
            _text("filename", options[b"filename"]) if b"filename" in options else None
        )
        if self._file_name is not None and self._directory is not None:
            descriptor, path = tempfile.mkstemp(dir=self._directory, prefix="upload-")
            self._made.append(Path(path))
            self._file = os.fdopen(descriptor, "wb", buffering=_WRITE_BYTES)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
            return
        self._data += data[start:end]
        self._field_bytes += end - start
        if self._field_bytes > self._field_limit_bytes:
            raise ArgumentInvalid.for_param(
                self._name, f"Value must be shorter than {self._field_limit_bytes:,} bytes"
            )

    def _on_part_end(self) -> None:
        if self._file is None:
            self._fields.append((self._name, bytes(self._data)))
            return
        size_bytes = self._file.tell()
        self._file.close()
        self._file = None
        self._files[self._name] = UploadedFile(
            path=self._made[-1], size_bytes=size_bytes, filename=self._file_name or ""
        )

    def _on_end(self) -> None:
        self._complete = True


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise ArgumentInvalid.for_param(name[:100], "Value must be UTF-8 text") from exc


@contextlib.asynccontextmanager
async def upload(
    receive: Receive, content_type: str, directory: Path, limit_bytes: int
) -> AsyncIterator[Form]:
    """Read a multipart body of files; they lie in `directory` until the context ends.

    Raises ArgumentInvalid when the body is malformed, and StorageInvalidFileSize when it is longer
    than `limit_bytes` and an allowance for its fields.
    """
    form = Form(content_type, directory, UPLOAD_FIELDS_BYTES_MAX)
    try:
        pending = bytearray()
        async for chunk in chunks(receive, limit_bytes + _UPLOAD_OVERHEAD_BYTES):
            pending += chunk
            if len(pending) >= _PIECE_BYTES:
                await _to_its_end(form.feed, bytes(pending))
                pending.clear()
        await _to_its_end(form.feed, bytes(pending))
        form.finish()
        yield form
    except BodyTooLong as exc:
        raise StorageInvalidFileSize from exc
    finally:
        await asyncio.to_thread(form.close)


async def _to_its_end(step: Callable[[bytes], None], data: bytes) -> None:
    """Run a step in a thread; a canceled caller still waits for it to end."""
    running = asyncio.ensure_future(asyncio.to_thread(step, data))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
