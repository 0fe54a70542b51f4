"""One call of the function: its `context`, its answer and its printed output.

The names and rules are those of Open Runtimes (runtimes/python/versions/latest/src,
function_types.py and logger.py).
"""

from __future__ import annotations

import contextvars
import io
import json
import os
import time

from minifn_url import decode_path, decode_query

BODY_LIMIT_BYTES = 20 * 1024 * 1024
#: Most bytes of headers; escaped in a frame's header they may take six times as many.
HEADERS_LIMIT_BYTES = 128 * 1024
HEADERS_MAX = 1000
#: Bytes that JSON adds to a name and a value.
PAIR_BYTES = 8
#: Most encoded headers that are kept, and their bytes each: most answers have the same ones.
KEPT_HEADERS_MAX, KEPT_HEADERS_BYTES = 64, 512
LOG_LIMIT_CHARS = 8000
LOAD_LOG_LIMIT_CHARS = 1_000_000
NATIVE_NOTICE = (
    "Native logs detected. Use context.log() or context.error() for better experience.\n"
)
OWN_FOLDER = os.path.join(os.path.dirname(__file__), "")
TIMED_OUT = "Execution timed out."
NO_RETURN = "Return statement missing. return context.res.empty() if no response is expected."

dump_json = json.JSONEncoder(separators=(",", ":")).encode
_encoded: dict[tuple[tuple[str, str], ...], str] = {}
current: contextvars.ContextVar = contextvars.ContextVar("call", default=None)


class Request:
    """`context.req`."""

    def __init__(self, frame: dict, body: bytes) -> None:
        self.body_binary = body
        self.headers = frame["headers"]
        self.method = frame["method"]
        self.scheme = frame["scheme"]
        self.host = frame["host"]
        self.port = frame["port"]
        self.path = decode_path(frame["path"])
        self.query_string = decode_query(frame["query"])

    @property
    def url(self) -> str:
        port = "" if self.port == (443 if self.scheme == "https" else 80) else f":{self.port}"
        query = f"?{self.query_string}" if self.query_string else ""
        return f"{self.scheme}://{self.host}{port}{self.path}{query}"

    @property
    def query(self) -> dict[str, str]:
        pairs = (part.partition("=") for part in self.query_string.split("&"))
        return {name: value for name, _, value in pairs if name}

    @property
    def body_text(self) -> str:
        return self.body_binary.decode("utf-8")

    @property
    def body_raw(self) -> str:
        return self.body_text

    @property
    def body_json(self) -> object:
        return json.loads(self.body_text)

    @property
    def body(self) -> object:
        if self.headers.get("content-type", "").lower().startswith("application/json"):
            return self.body_json if self.body_binary else {}
        return self.body_text


class Response:
    """`context.res`; the argument names are those of Open Runtimes."""

    def binary(self, bytes, statusCode=200, headers=None) -> dict:
        return {"body": bytes, "statusCode": statusCode, "headers": headers or {}}

    def text(self, body, statusCode=200, headers=None) -> dict:
        return {"body": body.encode("utf-8"), "statusCode": statusCode, "headers": headers or {}}

    def send(self, body, statusCode=200, headers=None) -> dict:
        return self.binary(body, statusCode, headers)

    def json(self, obj, statusCode=200, headers=None) -> dict:
        kept = (
            {name: value for name, value in headers.items() if name.lower() != "content-type"}
            if headers
            else {}
        )
        kept["content-type"] = "application/json"
        return {"body": dump_json(obj).encode(), "statusCode": statusCode, "headers": kept}

    def empty(self) -> dict:
        return {"body": b"", "statusCode": 204, "headers": {}}

    def redirect(self, url, statusCode=301, headers=None) -> dict:
        return {
            "body": b"",
            "statusCode": statusCode,
            "headers": {**(headers or {}), "location": url},
        }


class Context:
    """The function's argument, and the state of one call."""

    res = Response()

    def __init__(self, worker, frame: dict, body: bytes) -> None:
        self.req = Request(frame, body)
        self._id = frame["id"]
        self._worker = worker
        self._logging = frame["logging"]
        self._deadline = time.monotonic() + frame["timeout"] if frame["timeout"] else float("inf")
        self._native_line = ""
        self._native_seen = False
        self._task = None

    def log(self, *messages: object) -> None:
        self._log("logs", messages)

    def error(self, *messages: object) -> None:
        self._log("errors", messages)

    def _log(self, stream: str, messages: tuple) -> None:
        if self._logging:
            self._send_log(stream, cut(" ".join([as_text(message) for message in messages])) + "\n")

    def _send_log(self, stream: str, text: str) -> None:
        if self._logging and self._id in self._worker.calls:
            header = f'{{"type":"log","id":{self._id},"stream":"{stream}"}}'
            self._worker.channel.send(header, text.encode("utf-8", "replace"))

    def _native(self, text: str) -> None:
        """Log printed text line by line, after one notice."""
        lines = (self._native_line + text).split("\n")
        self._native_line = lines.pop()[: LOG_LIMIT_CHARS + 1]
        if lines:
            notice = "" if self._native_seen else NATIVE_NOTICE
            self._native_seen = True
            self._send_log("logs", notice + "".join([cut(line) + "\n" for line in lines]))

    def _finish(self, output: object) -> None:
        """Answer with the function's result."""
        if output is None:
            return self._fail(NO_RETURN)
        try:
            status, headers, body = normalize(output)
        except Exception as exc:
            return self._fail(f"Response invalid: {type(exc).__name__}: {exc}")
        self._answer(status, headers, body)

    def _fail(self, message: str, status: int = 500) -> None:
        self._answer(status, error=message)

    def _time_out(self, stuck: bool) -> None:
        more = ',"failure":"timeout"' + (',"stuck":true' if stuck else "")
        self._answer(500, error=TIMED_OUT, more=more)

    def _answer(
        self, status: int, headers: str = "[]", body: bytes = b"", error: str = "", more: str = ""
    ) -> None:
        if self._native_line:
            self._native("\n")
        # Popping the call decides who answers: its thread or the watcher; neither after a cancel.
        if self._worker.calls.pop(self._id, None) is None:
            if self._worker.forked:
                os._exit(0)
            return
        if error and self._logging:
            self._worker.channel.send(
                f'{{"type":"log","id":{self._id},"stream":"errors"}}',
                (cut(error) + "\n").encode("utf-8", "replace"),
                True,
            )
        header = (
            f'{{"type":"response","id":{self._id},"statusCode":{status},"headers":{headers}{more}}}'
        )
        self._worker.channel.send(header, body, self._worker.may_wait(self))


def cut(text: str) -> str:
    if len(text) <= LOG_LIMIT_CHARS:
        return text
    notice = f"... Log truncated due to size limit ({LOG_LIMIT_CHARS} characters)"
    return text[:LOG_LIMIT_CHARS] + notice


def as_text(message: object) -> str:
    if type(message) is str:
        return message
    return dump_json(message) if isinstance(message, (dict, list, tuple)) else str(message)


def normalize(output: object) -> tuple[int, str, bytes]:
    """Return status, headers as JSON and body. Raises TypeError or ValueError for other results."""
    if not isinstance(output, dict):
        raise TypeError(
            f"the function returned {type(output).__name__}, not what context.res gives"
        )
    body = output.get("body")
    if body is None:
        body = b""
    elif isinstance(body, str):
        body = body.encode("utf-8")
    elif not isinstance(body, bytes):
        if not isinstance(body, (bytearray, memoryview)):
            raise TypeError(f"the body is {type(body).__name__}, not text or bytes")
        body = bytes(body)
    if len(body) > BODY_LIMIT_BYTES:
        raise ValueError(f"the body has {len(body)} bytes, the limit is {BODY_LIMIT_BYTES}")
    status = output.get("statusCode")
    status = 200 if status is None else int(status)
    if not 100 <= status <= 999:
        raise ValueError(f"the status code is {status}, not within 100 to 999")
    pairs: list[tuple[str, str]] = []
    for name, value in (output.get("headers") or {}).items():
        values = value if isinstance(value, (list, tuple)) else (value,)
        pairs += [(str(name), str(each)) for each in values if each is not None]
    return status, encode_headers(pairs) if pairs else "[]", body


def encode_headers(pairs: list[tuple[str, str]]) -> str:
    """Return the headers as JSON. Raises ValueError above the limits of a frame."""
    key = tuple(pairs)
    known = _encoded.get(key)
    if known is not None:
        return known
    if len(pairs) > HEADERS_MAX:
        raise ValueError(f"there are {len(pairs)} headers, the limit is {HEADERS_MAX}")
    size = len("".join([name + value for name, value in pairs]).encode("utf-8"))
    size += PAIR_BYTES * len(pairs)
    if size > HEADERS_LIMIT_BYTES:
        raise ValueError(f"the headers have {size} bytes, the limit is {HEADERS_LIMIT_BYTES}")
    text = dump_json(pairs)
    if size <= KEPT_HEADERS_BYTES and len(_encoded) < KEPT_HEADERS_MAX:
        _encoded[key] = text
    return text


def describe(exc: BaseException) -> str:
    """Return the stack trace without the frames of this file and of the import system."""
    trace = exc.__traceback__
    while trace and trace.tb_frame.f_code.co_filename.startswith((OWN_FOLDER, "<frozen ")):
        trace = trace.tb_next
    try:
        import traceback

        text = "".join(traceback.format_exception(type(exc), exc, trace)).rstrip()
    except Exception:  # the user's own traceback module, or no descriptor left for the import
        try:
            return f"{type(exc).__name__}: {exc}"
        except Exception:  # an exception that cannot be shown
            return type(exc).__name__
    # The error itself comes last in a trace.
    return text if len(text) <= LOG_LIMIT_CHARS else f"...{text[3 - LOG_LIMIT_CHARS :]}"


class Load:
    """Replaces the call while the function is imported ahead of requests, and keeps its output."""

    def __init__(self) -> None:
        self.printed = ""

    def _native(self, text: str) -> None:
        self.printed = (self.printed + text)[:LOAD_LOG_LIMIT_CHARS]


class Native(io.TextIOBase):
    """`sys.stdout` and `sys.stderr`: output belongs to the call of the printing thread or task."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, worker, fd: int) -> None:
        self._worker = worker
        self._fd = fd
        self.buffer = NativeBytes(self)

    def write(self, text: str) -> int:
        call = current.get() or self._worker.only_call()
        if call is None:
            os.write(self._fd, text.encode("utf-8", "replace"))
        else:
            call._native(text)
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd


class NativeBytes(io.RawIOBase):
    """`sys.stdout.buffer`."""

    def __init__(self, text: Native) -> None:
        self._text = text

    def write(self, data) -> int:
        self._text.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._text.fileno()
