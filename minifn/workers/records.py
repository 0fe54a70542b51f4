"""What the pool is asked and what it answers."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import msgspec

from minifn.models import Headers
from minifn.sandbox.command import Command
from minifn.workers.protocol import decode_headers

#: Of `logs` and of `errors` so much is collected; Open Runtimes' executor cuts its log files at the same size.
LOG_LIMIT_BYTES = 5 * 1024 * 1024
#: And so much of all the calls that a worker has in flight.
CALLS_LOG_BYTES = 32 * 1024 * 1024
#: A call that logs more than this altogether is ended with its worker.
FLOOD_LIMIT_BYTES = 64 * 1024 * 1024
#: The same within so many seconds is what a worker may send that belongs to no call.
FLOOD_SECONDS = 10.0
TIMED_OUT = "Execution timed out.\n"

#: "" the function answered; `timeout` it ran out of time; `start` no worker could be started; `died` its process ended
#: before it answered; `stopped` the server stops; `overloaded` too many calls wait already; `declined` the worker gave
#: it back before it began, which the pool deals with.
Failure = Literal["", "timeout", "start", "died", "stopped", "overloaded", "declined"]

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CACHED_HEADERS_BYTES = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSpec:
    """How to start the workers of one deployment."""

    #: The deployment's id.
    key: str
    command: Command
    #: The function's id: workers of all its deployments count towards the function's limit.
    group: str = ""
    #: Requests one worker is given at once, if it takes that many.
    concurrency: int = 64


class FunctionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a function."""

    method: str = "POST"
    scheme: str = "http"
    host: str = "localhost"
    port: int = 80
    #: Raw, begins with `/`.
    path: str = "/"
    #: Raw, without `?`.
    query: str = ""
    #: Lower-case names; `x-open-runtimes-*` are not passed on.
    headers: Headers = ()
    body: bytes = b""
    timeout_seconds: float = 15
    logging: bool = True


class FunctionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a call, also when the function failed."""

    status_code: int
    #: Lower-case names, complete.
    headers: Headers = ()
    body: bytes = b""
    logs: str = ""
    errors: str = ""
    failure: Failure = ""
    #: Whether a worker was given the request, so that the function may have begun to run.
    delivered: bool = False
    duration_seconds: float = 0.0


def failed(failure: Failure, errors: str) -> FunctionResponse:
    """Return the answer to a request that no worker was given."""
    return FunctionResponse(
        status_code=500, headers=response_headers(b"[]"), errors=errors, failure=failure
    )


def response_headers(raw: bytes) -> Headers:
    """Return the complete headers for those of a response frame. Raises ProtocolError.

    Open Runtimes' rules: names lower-case, no `x-open-runtimes-*`, a content type always, with a charset unless it is
    multipart. What HTTP could not carry is left out.
    """
    return _cached_headers(raw) if len(raw) <= _CACHED_HEADERS_BYTES else _complete_headers(raw)


def _complete_headers(raw: bytes) -> Headers:
    kept = list(_sendable(decode_headers(raw)))
    types = [value for name, value in kept if name == "content-type"]
    others = (item for item in kept if item[0] != "content-type")
    return (("content-type", _content_type(types[-1] if types else "text/plain")), *others)


_cached_headers: Callable[[bytes], Headers] = lru_cache(maxsize=256)(_complete_headers)


def _sendable(headers: Headers) -> Iterable[tuple[str, str]]:
    for name, value in headers:
        name = name.lower()
        if name.startswith("x-open-runtimes-") or not _HEADER_NAME.fullmatch(name):
            continue
        if _CONTROL.search(value):
            continue
        yield name, value


def _content_type(value: str) -> str:
    lower = value.lower()
    if lower.startswith("multipart/") or "charset=" in lower:
        return value
    return f"{lower}; charset=utf-8"
