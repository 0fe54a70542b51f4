"""Reads what a request carries: a JSON, urlencoded or multipart body in memory, an upload's files on disk.

Nothing here is done in one go on the event loop that takes long, and no request becomes much larger than it was sent.
"""

import asyncio
import contextlib
import logging
import os
import re
import tempfile
from binascii import a2b_qp
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive

from minifn import jsontext
from minifn.api.wire.params import nest
from minifn.errors import ArgumentInvalid, StorageInvalidFileSize
from minifn.host.budget import Budget
from minifn.limits import BODY_LIMIT_BYTES
from minifn.services.uploads import UploadedFile

T = TypeVar("T")

#: Bytes of all the fields that are not files, in an upload.
_FIELD_LIMIT_BYTES = 1024 * 1024
_PARTS_MAX = 200
_PAIRS_MAX = 1000
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NO_ESCAPES_MAX = 10_000
#: Bytes of an upload besides its files.
_UPLOAD_OVERHEAD_BYTES = 2 * 1024 * 1024
#: File data that is put together before it is written.
_WRITE_BYTES = 1024 * 1024
#: A longer body is taken apart by a thread, and so is an upload, in pieces of this size.
SHORT_BYTES = 256 * 1024
#: Percent-encoded text undone in one go: C code lets nobody else run.
_SLICE_BYTES = 512 * 1024
#: The multipart parser's logger: of no family, so that a malformed body writes no warning into anybody's log.
_PARSER_LOGGER = logging.Logger("multipart", logging.ERROR)
#: Commas, brackets and texts in a JSON body: in memory each is many times as long as `[],`.
_JSON_TOKENS_MAX = 200_000


class BodyTooLong(ArgumentInvalid):
    """The request's body is longer than this server accepts."""


async def chunks(receive: Receive, limit_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body as it arrives. Raises BodyTooLong, or ArgumentInvalid when it is cut short."""
    total = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ArgumentInvalid("The request's body ended early.")
        body: bytes = message.get("body", b"")
        total += len(body)
        if total > limit_bytes:
            raise BodyTooLong(f"The request's body is longer than {limit_bytes:,} bytes.")
        more = message.get("more_body", False)
        if body:
            yield body


async def read_bytes(
    receive: Receive, limit_bytes: int = BODY_LIMIT_BYTES, room: Budget | None = None
) -> bytes:
    """Return the whole body, for which memory was taken of `room`: the caller gives it back.

    Raises BodyTooLong, Overloaded when memory is short, or ArgumentInvalid when it is cut short.
    """
    parts = []
    taken = 0
    try:
        async for part in chunks(receive, limit_bytes):
            if room is not None:
                room.take(len(part))
                taken += len(part)
            parts.append(part)
    except BaseException:
        if room is not None:
            room.give(taken)
        raise
    return b"".join(parts)


async def taken_apart(body: bytes, step: Callable[[], T]) -> T:
    """Return what `step` makes of a body; the event loop goes on meanwhile when that takes long."""
    return step() if len(body) <= SHORT_BYTES else await asyncio.to_thread(step)


def decode(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the params in a body of one of the three content types; any other body holds none.

    Parts of a multipart body named `body` stay bytes, because only multipart can carry bytes that are not text.
    Raises ArgumentInvalid when the body is not what its content type says.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not body:
        return {}
    if kind == "multipart/form-data":
        return _decode_multipart(body, content_type)
    if kind == "application/x-www-form-urlencoded":
        return parse_query(body)
    if kind == "application/json" or body.lstrip()[:1] == b"{":
        return _decode_json(body)
    return {}


def _decode_json(body: bytes) -> dict[str, Any]:
    if len(body) > _JSON_TOKENS_MAX:
        _check_tokens(body)
    try:
        params = jsontext.decode(body)
    except jsontext.JsonInvalid as exc:
        raise ArgumentInvalid(f"The request's body is not valid JSON: {exc}") from exc
    if isinstance(params, dict):
        return params
    if not params:
        return {}
    raise ArgumentInvalid("The request's body must be a JSON object.")


def _check_tokens(body: bytes) -> None:
    """Raise ArgumentInvalid for a JSON text of too many values; commas within a text do not count.

    Each step is one pass of C code. Text that is not JSON may be counted wrongly after its first error, where the
    decoder stops.
    """
    if (
        body.count(b",") + body.count(b"[") + body.count(b"{") + body.count(b'"')
        <= _JSON_TOKENS_MAX
    ):
        return
    plain = jsontext.without_escaped_quotes(body)
    texts = plain.count(b'"') // 2
    if texts <= _JSON_TOKENS_MAX:
        outside = b"".join(plain.split(b'"')[::2])
        if (
            texts + outside.count(b",") + outside.count(b"[") + outside.count(b"{")
            <= _JSON_TOKENS_MAX
        ):
            return
    raise ArgumentInvalid(
        f"The request's body has more than {_JSON_TOKENS_MAX:,} commas, brackets and texts."
    )


def parse_query(query: bytes) -> dict[str, Any]:
    """Return the params of a query string or urlencoded body, nested as PHP does."""
    try:
        if query.count(b"&") >= _PAIRS_MAX:
            raise ValueError("too many pairs")
        pairs = [
            (_unquote(name).decode(), _unquote(value).decode())
            for name, _, value in (pair.partition(b"=") for pair in query.split(b"&") if pair)
        ]
    except ValueError as exc:
        raise ArgumentInvalid(
            f"The params are not urlencoded UTF-8 text, or more than {_PAIRS_MAX}."
        ) from exc
    return nest(pairs)


def _unquote(text: bytes) -> bytes:
    """Undo percent-encoding, by a few passes of C code: `urllib.parse` takes seconds for a body of nothing but escapes.

    Quoted-printable differs in its sign alone. A sign that escapes nothing stays as it is, as in PHP; raises ValueError
    for text full of them.
    """
    if b"%" not in text:
        return text.replace(b"+", b" ")
    kept, count = _NO_ESCAPE.subn(b"%25", text, _NO_ESCAPES_MAX)
    if count == _NO_ESCAPES_MAX:
        raise ValueError("too many signs that escape nothing")
    return b"".join(
        a2b_qp(piece.replace(b"+", b" ").replace(b"=", b"%3D").replace(b"%", b"="))
        for piece in _slices(kept)
    )


def _slices(text: bytes) -> Iterable[bytes]:
    """Cut percent-encoded text into pieces; no escape is cut through."""
    start = 0
    while start < len(text):
        end = start + _SLICE_BYTES
        sign = text.rfind(b"%", end - 2, end)
        end = sign if sign >= 0 else end
        yield text[start:end]
        start = end


def _decode_multipart(body: bytes, content_type: str) -> dict[str, Any]:
    form = Form(content_type, None, BODY_LIMIT_BYTES)
    for start in range(0, len(body), SHORT_BYTES):
        form.feed(body[start : start + SHORT_BYTES])
    form.finish()
    return form.params({"body"})


class Form:
    """A multipart body on its way in. With a directory, its files are written there and removed by `close`.

    `field_limit_bytes` is for all that is not a file.
    """

    def __init__(self, content_type: str, directory: Path | None, field_limit_bytes: int) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise ArgumentInvalid("The multipart body has no boundary.")
        self._directory = directory
        self._field_limit_bytes = field_limit_bytes
        self._fields: list[tuple[str, bytes]] = []
        self._field_bytes = 0
        self._files: dict[str, UploadedFile] = {}
        self._made: list[Path] = []
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        self._name = ""
        self._file_name: str | None = None
        self._data = bytearray()
        self._file: BinaryIO | None = None
        self._parts = 0
        self._complete = False
        try:
            self._parser = MultipartParser(
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
        self._parser.logger = _PARSER_LOGGER

    def close(self) -> None:
        """Remove the files that nobody has moved away."""
        for path in self._made:
            path.unlink(missing_ok=True)
        if self._file is not None:
            # What a full disk did not take is written once more by `close`; nobody needs it.
            with contextlib.suppress(OSError):
                self._file.close()

    def feed(self, data: bytes) -> None:
        """Take the next piece of the body. Raises ArgumentInvalid when it is malformed or breaks a limit."""
        try:
            self._parser.write(data)
        except FormParserError as exc:
            raise ArgumentInvalid(f"The multipart body is malformed: {exc}") from exc

    def finish(self) -> None:
        """Check that the closing boundary was there. Raises ArgumentInvalid."""
        if not self._complete:
            raise ArgumentInvalid("The multipart body ended early.")

    def files(self) -> dict[str, UploadedFile]:
        """Return the files by the name of their part, the last one of each name."""
        return self._files

    def params(self, binary: Iterable[str] = ()) -> dict[str, Any]:
        """Return the other parts, as text unless `binary` names them. Raises ArgumentInvalid when one is not UTF-8."""
        return nest(
            (name, data if name in binary else _text(name, data)) for name, data in self._fields
        )

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _PARTS_MAX:
            raise ArgumentInvalid(f"The multipart body has more than {_PARTS_MAX} parts.")
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
    """Read a multipart body of files; they lie in `directory` while the context lasts.

    Raises ArgumentInvalid when the body is malformed, StorageInvalidFileSize when it is longer than `limit_bytes` and
    a little for its fields.
    """
    form = Form(content_type, directory, _FIELD_LIMIT_BYTES)
    try:
        pending = bytearray()
        async for chunk in chunks(receive, limit_bytes + _UPLOAD_OVERHEAD_BYTES):
            pending += chunk
            if len(pending) >= SHORT_BYTES:
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
    """Run a step in a thread; nobody who is cancelled goes on before it is over."""
    running = asyncio.ensure_future(asyncio.to_thread(step, data))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
