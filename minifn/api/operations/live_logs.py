"""Live logs: the calls of functions and their output, as a stream of events."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Annotated, Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp

from minifn.api.wire import responses
from minifn.api.wire.event_stream import CONTENT_TYPE, EventStream, Outbox, encoded
from minifn.api.wire.formats import Shape
from minifn.api.wire.operation import EXECUTIONS_READ, Call, Operation
from minifn.api.wire.params import Boolean, Id, Limits, Params
from minifn.change_feed import Begun, Change, News, Printed
from minifn.errors import FunctionNotFound, Overloaded
from minifn.instants import format_instant
from minifn.models import Execution


class OptionalId(Id):
    """An id, or "" for any. A parameter with it may be repeated."""

    def check(self, value: Any, limits: Limits) -> str:
        return "" if value == "" else super().check(value, limits)

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {**super().schema(limits), "pattern": "^([A-Za-z0-9][A-Za-z0-9._-]{0,35})?$"}


class FollowLogs(Params, frozen=True, kw_only=True):
    """The executions to follow: all, or those of the functions and executions that are named."""

    function_id: Annotated[str, OptionalId()] = ""
    execution_id: Annotated[str, OptionalId()] = ""
    #: Only the ends of failed executions, which have their logs and errors.
    failed: Annotated[bool, Boolean(loose=True)] = False


class SharedEvents:
    """Encodes an event once for all readers, which hear of it one after the other."""

    def __init__(self) -> None:
        self._news: News | None = None
        self._messages: dict[Shape | None, bytes] = {}

    def encode(
        self, news: News, event: str, content: Callable[[], Any], shape: Shape | None = None
    ) -> bytes:
        """Return the event that tells of `news`; `shape` is that of its content, if it has one."""
        if news is not self._news:
            self._news, self._messages = news, {}
        if shape not in self._messages:
            self._messages[shape] = encoded(event, content())
        return self._messages[shape]


_shared = SharedEvents()


class LogFollower:
    """Turns news of executions into events for one reader, as far as its key may see them."""

    def __init__(self, call: Call, outbox: Outbox, *, failed: bool) -> None:
        self._call = call
        self._outbox = outbox
        self._failed = failed
        self._function_ids = _named(call, "functionId")
        self._execution_ids = _named(call, "executionId")

    def hear(self, news: News) -> None:
        """Take news of the feed."""
        if self._outbox.ended:
            return
        if isinstance(news, Printed):
            if not self._failed and self._wants(news.execution_id, news.function_id):
                self._outbox.add(_shared.encode(news, "log", lambda: printed(news)))
        elif isinstance(news, Begun):
            execution = news.execution
            if not self._failed and self._wants(execution.id, execution.function_id):
                self._outbox.add(_shared.encode(news, "begin", lambda: begun(execution)))
        elif isinstance(news, Change) and isinstance(news.record, Execution):
            self._hear_end(news, news.record)

    def _hear_end(self, news: Change, execution: Execution) -> None:
        statuses = ("failed",) if self._failed else ("completed", "failed")
        if (
            news.action != "delete"
            and execution.status in statuses
            and self._wants(execution.id, execution.function_id)
        ):
            shape = self._call.shape
            content = functools.partial(responses.execution, execution, shape, privileged=True)
            self._outbox.add(_shared.encode(news, "end", content, shape))

    def _wants(self, execution_id: str, function_id: str) -> bool:
        return (
            (not self._function_ids or function_id in self._function_ids)
            and (not self._execution_ids or execution_id in self._execution_ids)
            and self._call.caller.may_touch(function_id)
        )


def printed(news: Printed) -> dict[str, Any]:
    """Return the event of lines that a function printed."""
    return {
        "executionId": news.execution_id,
        "functionId": news.function_id,
        "stream": news.stream,
        "text": news.text,
    }


def begun(execution: Execution) -> dict[str, Any]:
    """Return the event of an execution that begins to run."""
    return {
        "executionId": execution.id,
        "functionId": execution.function_id,
        "trigger": execution.trigger,
        "method": execution.request_method,
        "path": execution.request_path,
        "at": format_instant(execution.updated_at),
    }


def _named(call: Call, name: str) -> frozenset[str]:
    """Return every value of a parameter of the query, which may be repeated."""
    pairs = parse_qsl(call.scope["query_string"].decode("latin-1"))
    return frozenset(value for key, value in pairs if key.removesuffix("[]") == name and value)


async def follow(call: Call, params: FollowLogs) -> ASGIApp:
    """Follow executions: `begin`, `log` as lines are printed, `end` with the whole execution."""
    for function_id in _named(call, "functionId"):
        if not call.caller.may_touch(function_id):
            raise FunctionNotFound

    @contextlib.contextmanager
    def source(outbox: Outbox) -> Iterator[None]:
        follower = LogFollower(call, outbox, failed=params.failed)
        with call.parts.changes.watched(follower.hear):
            yield

    return EventStream(call, source)


OPERATIONS = (
    Operation(
        name="minifn.followLogs",
        method="GET",
        path="/minifn/logs",
        scopes=EXECUTIONS_READ,
        params=FollowLogs,
        handler=follow,
        needs_project=False,
        for_restricted=True,
        keys_only=True,
        content_types=(CONTENT_TYPE,),
        errors=(FunctionNotFound, Overloaded),
    ),
)
