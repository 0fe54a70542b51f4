"""Requests to the pool and its responses."""

import re
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import msgspec

from minifn.change_feed import ChangeFeed
from minifn.hooks import nothing_async
from minifn.models import Execution, Headers, Target
from minifn.sandbox.command import Command
from minifn.workers.protocol import decode_headers

#: Most bytes of `logs`, and of `errors`, that are kept of a call. Open Runtimes' executor cuts its
#: log files at the same size.
LOG_LIMIT_BYTES = 5 * 1024 * 1024
#: Most bytes that are kept of all calls of a worker together.
CALLS_LOG_BYTES = 32 * 1024 * 1024
#: Bytes above which a call that logs them is ended with its worker.
FLOOD_LIMIT_BYTES = 64 * 1024 * 1024
#: Seconds within which a worker that sends FLOOD_LIMIT_BYTES outside any call is killed.
FLOOD_SECONDS = 10.0
TIMED_OUT = "Execution timed out.\n"
#: A feed without watchers.
UNHEARD = ChangeFeed()

#: "" the function answered; `timeout` it ran out of time; `start` no worker could be started;
#: `died` its process ended before it answered; `stopped` the server stops; `overloaded` too many
#: calls wait already; `declined` the worker returned the call before it began, for the pool alone.
Failure = Literal["", "timeout", "start", "died", "stopped", "overloaded", "declined"]

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CACHED_HEADERS_BYTES = 512


def always() -> bool:
    """Return True."""
    return True


class WorkerFailed(Exception):
    """A worker could not be started; the message says why, for the function's owner."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSpec:
    """The recipe for the workers of one deployment."""

    #: The deployment's id.
    key: str
    command: Command
    #: The function's id: workers of all its deployments count towards the function's limit.
    group: str = ""
    #: Most requests that one worker gets at once, if its wrapper allows as many.
    concurrency: int = 64
    #: Target of the description; another machine describes it itself.
    target: Target | None = field(default=None, compare=False)
    #: Whether the wrapper can be a template, whose forks are workers.
    forks: bool = False
    #: Whether a process may wait as a spare; it imports the function with its first request.
    waits: bool = False
    #: Awaited before each start of a process. Raises WorkerFailed.
    prepare: Callable[[], Awaitable[None]] = field(default=nothing_async, compare=False)
    #: Told how the function's import ended, when it was imported ahead of requests: why it failed,
    #: "" for success. A process that ends is told as well. None when nothing asks.
    on_load: Callable[[str], None] | None = field(default=None, compare=False)
    #: Whether a new process would run the same code. Otherwise the running ones get no more.
    is_current: Callable[[], bool] = field(default=always, compare=False)

    @property
    def owner(self) -> str:
        """The id under which workers are counted."""
        return self.group or self.key

    def tell_load(self, problem: str) -> None:
        """Call `on_load`, if there is one."""
        if self.on_load is not None:
            self.on_load(problem)


class FunctionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a function."""

    method: str = "POST"
    scheme: str = "http"
    host: str = "localhost"
    port: int = 80
    #: Raw, with a leading `/`.
    path: str = "/"
    #: Raw, without `?`.
    query: str = ""
    #: By lower-case name.
    headers: dict[str, str] = {}
    body: bytes = b""
    timeout_seconds: float = 15
    logging: bool = True
    #: The execution that the call belongs to, None for one without a record.
    execution: Execution | None = None
    #: Hears of lines as they are logged.
    changes: ChangeFeed = UNHEARD


class FunctionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a call, also when the function failed."""

    status_code: int
    #: Lower-case names, complete.
    headers: Headers = ()
    body: bytes = b""
    logs: str = ""
    errors: str = ""
    failure: Failure = ""
    #: Whether a worker got the request, so that the function may have begun to run.
    delivered: bool = False
    duration_seconds: float = 0.0


def failed(failure: Failure, errors: str) -> FunctionResponse:
    """Return the response to a request that no worker got."""
    return FunctionResponse(
        status_code=500, headers=response_headers(b"[]"), errors=errors, failure=failure
    )


async def answered(response: FunctionResponse) -> FunctionResponse:
    """Return a response in place of a worker that gives it later."""
    return response


def lasting_since(response: FunctionResponse, began: float) -> FunctionResponse:
    """Return a response whose duration counts from `began`, on the monotonic clock."""
    return msgspec.structs.replace(response, duration_seconds=time.monotonic() - began)


def response_headers(raw: bytes) -> Headers:
    """Return the complete headers for those of a response frame. Raises ProtocolError.

    Open Runtimes' rules: names are lower-case, `x-open-runtimes-*` is dropped, and there is always
    a content type, with a charset unless it is multipart. Headers that HTTP cannot carry are
    dropped, and the execution's id.
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
        if name == "x-appwrite-execution-id":
            # The server tells it.
            continue
        if _CONTROL.search(value):
            continue
        yield name, value


def _content_type(value: str) -> str:
    lower = value.lower()
    if lower.startswith("multipart/") or "charset=" in lower:
        return value
    return f"{lower}; charset=utf-8"
