"""The frames that the server and a worker exchange: pure encoding and decoding.

A worker is one process of one deployment. It inherits one connected stream socket, which its
environment names:

`MINIFN_SOCKET`
    `fd:N`, the number of the inherited descriptor.
`MINIFN_CODE`
    The directory of the function's code, as the worker sees it.
`OPEN_RUNTIMES_ENTRYPOINT`
    The entry file, relative to `MINIFN_CODE`.
`OPEN_RUNTIMES_HEADERS`
    Optional: a JSON object of headers that every request gets, applied last, names lower-cased.
    Ignored if it is not JSON.

Before user code runs, the wrapper removes `MINIFN_*` from the environment and keeps the descriptor
from child processes.

A frame is `u32 header length | u32 body length | header | body`, big-endian. The header is a UTF-8
JSON object whose `type` names the frame; the body is raw bytes. A header has up to 1 MiB, a body up
to 32 MiB. Both sides ignore unknown members of a header.

Server to worker:

`request`
    `id` (int, counts up from 1), `method` (upper case), `scheme`, `host` (without port), `port`
    (int), `path` (raw, begins with `/`), `query` (raw, without `?`), `headers` (object: lower-case
    name -> value, no `x-open-runtimes-*`), `timeout` (seconds, float; 0 = none), `logging` (bool).
    Body: the request's body.
`cancel`
    `id`: the caller has gone. Stop the call if the language can, and answer when it no longer
    occupies the worker; the answer is dropped.
`load`
    Import the function now, before the first request. Output of the import is kept and logged with
    the first request. The next request tries a failed import again, and reports it. With the
    optional member `answer`, a wrapper whose manifest says `reload` answers with `loaded`.
`stop`
    Take no more requests, finish those in flight, exit with status 0. The end of the stream means:
    exit at once.

Worker to server:

`ready`
    First frame, once: `protocol` (1) and `concurrency` (the number of requests it takes at once;
    0 = any number). Sent before user code is imported.
`log`
    `id`, `stream` (`logs` or `errors`). Body: UTF-8 text, ends with a newline. Sent as it happens,
    so that logs survive a kill. None if the request has `logging: false`, and none after the
    response.
`response`
    `id`, `statusCode` (int, 100 to 999), `headers` (list of [name, value], strings; names may
    repeat, as set-cookie does; up to 1,000). Body: up to 20 MiB. The server lower-cases names,
    drops `x-open-runtimes-*`, completes the content type and drops the body of a 204 or 304, so
    wrappers need not. Optional members: `failure` and `stuck`. `failure` is `timeout` after the
    request's `timeout`, with status 500, an empty body and the line `Execution timed out.` in
    `errors`; the server takes the worker out of service, lets its other requests end, and stops it.
    `stuck` is true when the call could not be stopped and goes on in the background; the server
    then kills the worker.
`capacity`
    `concurrency` (as in `ready`): the number of requests it takes at once from now on. It still
    handles requests that the server sent before it read this.
`loaded`
    The answer to a `load` with `answer`. Body: why the import failed, with the trace; empty when
    the function is imported.
`decline`
    `id`: the request has not begun and is returned, for another worker or for later.

Requests are answered in any order, each once; a second answer is ignored. A frame for an id that
was never issued, an unknown type, a field of another type or a length over the limit ends the
worker: its requests fail. No other deployment is affected, because each has a socket of its own.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import msgspec

from minifn.jsontext import without_escaped_quotes
from minifn.models import Headers

PROTOCOL = 1
HEADER_LIMIT_BYTES = 1024 * 1024
FRAME_BODY_LIMIT_BYTES = 32 * 1024 * 1024
#: Most headers of a response, because the event loop decodes them; wrappers refuse more.
HEADERS_MAX = 1000
#: Bytes that the shortest header takes in a response frame: `["a",""],`.
_HEADER_BYTES_MIN = 9

_LENGTHS = struct.Struct(">II")


class ProtocolError(ValueError):
    """The other side broke the protocol; the message says how."""


class Request(msgspec.Struct, tag_field="type", tag="request", frozen=True, kw_only=True):
    """Run the function."""

    id: int
    method: str
    scheme: str
    host: str
    port: int
    path: str
    query: str
    headers: dict[str, str]
    #: Seconds the function may take, 0 = no limit.
    timeout: float
    logging: bool


class Cancel(msgspec.Struct, tag_field="type", tag="cancel", frozen=True):
    """The caller of this request has gone."""

    id: int


class Load(msgspec.Struct, tag_field="type", tag="load", frozen=True):
    """Import the function ahead of the first request."""

    #: Whether the worker tells the outcome by `loaded`.
    answer: bool = False


class Stop(msgspec.Struct, tag_field="type", tag="stop", frozen=True):
    """Finish and exit."""


class Ready(msgspec.Struct, tag_field="type", tag="ready", frozen=True):
    """The worker takes requests."""

    protocol: int
    #: Requests at once, 0 = any number.
    concurrency: int = 0


class Capacity(msgspec.Struct, tag_field="type", tag="capacity", frozen=True):
    """The worker takes another number of requests."""

    #: Requests at once, 0 = any number.
    concurrency: int


class Loaded(msgspec.Struct, tag_field="type", tag="loaded", frozen=True):
    """The function was imported, or could not be: then the body says why."""


class Decline(msgspec.Struct, tag_field="type", tag="decline", frozen=True):
    """The worker returns a request that it has not begun."""

    id: int


class Log(msgspec.Struct, tag_field="type", tag="log", frozen=True):
    """Text that the function logged."""

    id: int
    stream: Literal["logs", "errors"]


class Response(msgspec.Struct, tag_field="type", tag="response", frozen=True):
    """The function's answer.

    `headers` stays JSON until it is read, because most responses have the same headers, whose
    decoded form is cached.
    """

    id: int
    status_code: int = msgspec.field(name="statusCode")
    headers: msgspec.Raw = msgspec.Raw(b"[]")
    failure: Literal["", "timeout"] = ""
    stuck: bool = False


ServerFrame: TypeAlias = Request | Cancel | Load | Stop
WorkerFrame: TypeAlias = Ready | Capacity | Loaded | Decline | Log | Response

_encode_header = msgspec.json.Encoder().encode
_decode_worker_frame: Callable[[bytes], WorkerFrame] = msgspec.json.Decoder(WorkerFrame).decode
_decode_headers: Callable[[bytes], Headers] = msgspec.json.Decoder(
    tuple[tuple[str, str], ...]
).decode


def encode(frame: ServerFrame | WorkerFrame, body: bytes = b"") -> bytes:
    """Return the bytes of one frame. Raises ProtocolError when it is over the limits."""
    header = _encode_header(frame)
    _check_lengths(len(header), len(body))
    return _LENGTHS.pack(len(header), len(body)) + header + body


def decode_worker_frame(header: bytes) -> WorkerFrame:
    """Return the frame of a worker's header. Raises ProtocolError."""
    try:
        return _decode_worker_frame(header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ProtocolError(f"bad frame header: {exc}") from exc


def decode_headers(raw: bytes) -> Headers:
    """Return the headers of a response frame as pairs.

    Raises ProtocolError; too many headers are refused before they are decoded.
    """
    if len(raw) > HEADERS_MAX * _HEADER_BYTES_MIN:
        count = without_escaped_quotes(raw).count(b'"') // 4
        if count > HEADERS_MAX:
            raise ProtocolError(f"{count:,} response headers, the limit is {HEADERS_MAX:,}")
    try:
        return _decode_headers(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ProtocolError(f"bad response headers: {exc}") from exc


class Decoder:
    """Cuts a byte stream, which arrives in pieces of any size, into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = _LENGTHS.size

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (header, body) of each frame that `data` completes.

        The iterator must be consumed before the next `feed`. Raises ProtocolError for a length over
        its limit.
        """
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        start, end = 0, len(data)
        self._needed = _LENGTHS.size
        while end - start >= _LENGTHS.size:
            header_length, body_length = _LENGTHS.unpack_from(data, start)
            _check_lengths(header_length, body_length)
            body_start = start + _LENGTHS.size + header_length
            frame_end = body_start + body_length
            if frame_end > end:
                self._needed = frame_end - start
                break
            yield data[start + _LENGTHS.size : body_start], data[body_start:frame_end]
            start = frame_end
        self._buffer += data[start:]


def _check_lengths(header_length: int, body_length: int) -> None:
    if header_length > HEADER_LIMIT_BYTES:
        raise ProtocolError(
            f"frame header of {header_length} bytes, the limit is {HEADER_LIMIT_BYTES}"
        )
    if body_length > FRAME_BODY_LIMIT_BYTES:
        raise ProtocolError(
            f"frame body of {body_length} bytes, the limit is {FRAME_BODY_LIMIT_BYTES}"
        )
