"""Executions: run a function now or later, and see what came of it."""

from typing import Annotated, Any

import msgspec
from starlette.types import ASGIApp

from minifn.api.wire import responses
from minifn.api.wire.answers import json_answer, multipart_answer, no_content
from minifn.api.wire.formats import Shape
from minifn.api.wire.kinds import Instant, QueryTexts, RequestHeaders
from minifn.api.wire.lists import read_query
from minifn.api.wire.operation import EXECUTIONS_READ, EXECUTIONS_WRITE, Call, Operation
from minifn.api.wire.params import Boolean, Id, Limits, OneOf, Params, Text
from minifn.errors import (
    ArgumentInvalid,
    BadRequest,
    BuildNotReady,
    CursorNotFound,
    DatabaseTimeout,
    DeploymentNotFound,
    ExecutionInProgress,
    ExecutionNotFound,
    FunctionNotFound,
    FunctionSynchronousTimeout,
    Overloaded,
    QueryInvalid,
    UserUnauthorized,
)
from minifn.instants import now_ms
from minifn.models import ExecutionRequest, ExecutionResult, Function, Headers, Target, Trigger
from minifn.store import execution_answers, executions, lists

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
#: Characters of a body; multipart bodies count bytes.
BODY_MAX_CHARS = 10_485_760
#: A scheduled execution lies at least this far ahead, milliseconds.
SCHEDULE_AHEAD_MS = 60_000


class Body:
    """The body for a function: text, or bytes when the request is multipart. Returned as bytes."""

    def __init__(self, maximum: int = BODY_MAX_CHARS) -> None:
        self._maximum = maximum

    def check(self, value: Any, limits: Limits) -> bytes:
        if isinstance(value, str | bytes) and len(value) <= self._maximum:
            return value.encode() if isinstance(value, str) else value
        raise ValueError(f"Value must be a valid string and no longer than {self._maximum} chars")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "maxLength": self._maximum}


class CreateExecution(Params, frozen=True, kw_only=True):
    """What to call the function with, and when."""

    function_id: Annotated[str, Id()]
    body: Annotated[bytes, Body()] = b""
    #: What clients before 1.4 call the body.
    data: Annotated[bytes, Body()] = b""
    later: Annotated[bool, Boolean(loose=True)] = msgspec.field(name="async", default=False)
    path: Annotated[str, Text(2048)] = "/"
    method: Annotated[str, OneOf(METHODS)] = "POST"
    headers: Annotated[Headers, RequestHeaders()] = ()
    scheduled_at: Annotated[int | None, Instant()] = None


class ListExecutions(Params, frozen=True, kw_only=True):
    """Which executions of a function."""

    function_id: Annotated[str, Id()]
    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    #: Only of clients before 1.7: later there is none, and what is sent counts for nothing.
    search: Annotated[str, Text(256, 0)] = ""
    total: Annotated[bool, Boolean(loose=True)] = True


class OneExecution(Params, frozen=True, kw_only=True):
    """Which execution."""

    function_id: Annotated[str, Id()]
    execution_id: Annotated[str, Id()]


async def create(call: Call, params: CreateExecution) -> ASGIApp:
    """Run a function, or queue it.

    Order of checks: the schedule, whether the function exists and is enabled, whether it can run, who may execute it.
    """
    if params.scheduled_at is not None:
        _check_schedule(params.scheduled_at, params.later, call.shape)
    caller = call.caller
    executor = call.parts.executions
    target = await permitted(call, params.function_id)
    request = ExecutionRequest(
        method=params.method,
        path=params.path,
        headers=params.headers,
        body=params.data if call.shape <= Shape.V1_3 and params.data else params.body,
        user_id=caller.user_id,
        session_id=caller.session_id,
        user_ends=caller.ends,
        client_ip=call.client_ip,
        depth=caller.depth,
    )
    if params.later:
        trigger: Trigger = "schedule" if params.scheduled_at else "http"
        execution = await executor.enqueue(
            target.function, request, trigger, params.scheduled_at or 0
        )
        return _encoded(
            call, responses.execution(execution, call.shape, privileged=caller.privileged), 202
        )
    return _answer(call, await executor.execute(target, request))


def _check_schedule(at: int, later: bool, shape: Shape) -> None:
    """Check when to run: a parameter's rule up to 1.7, the handler's own since."""
    problem = ""
    if at % 60_000:
        problem = "Seconds and milliseconds must be zero"
    elif at <= now_ms() + SCHEDULE_AHEAD_MS:
        problem = "Value must be more than 60 seconds in the future"
    if problem and shape < Shape.V1_8:
        raise ArgumentInvalid.for_param("scheduledAt", problem)
    if not later:
        raise BadRequest("Scheduled executions must run asynchronously: set `async` to true.")
    if problem:
        raise BadRequest(f"Invalid scheduledAt: {problem}")


async def permitted(call: Call, function_id: str) -> Target:
    """Return what is needed to run a function that the caller may execute.

    Raises FunctionNotFound, DeploymentNotFound, BuildNotReady and UserUnauthorized, in this order.
    """
    caller = call.caller
    await visible(call, function_id)
    target = await call.parts.executions.ready(function_id)
    if not caller.privileged and caller.roles.isdisjoint(target.function.execute):
        raise UserUnauthorized(
            "No permissions provided for action 'execute': the function's execute access excludes you."
        )
    return target


async def visible(call: Call, function_id: str) -> Function:
    """Return the function. Raises FunctionNotFound when there is none, and to clients when it is disabled."""
    function = (await call.parts.targets.of(function_id)).function
    if not function.enabled and not call.caller.privileged:
        raise FunctionNotFound
    return function


def _answer(call: Call, result: ExecutionResult) -> ASGIApp:
    body: str | bytes = result.body
    if not _wants_multipart(call.header(b"accept")):
        try:
            body = result.body.decode()
        except UnicodeDecodeError as exc:
            raise BinaryBody from exc
    content = responses.execution_result(
        result, body, call.shape, privileged=call.caller.privileged
    )
    return _encoded(call, content, 201)


def _encoded(call: Call, content: dict[str, Any], status: int) -> ASGIApp:
    return (multipart_answer if _wants_multipart(call.header(b"accept")) else json_answer)(
        content, status
    )


class BinaryBody(ArgumentInvalid):
    """Failed to parse response: the function answered with bytes that are not text; accept multipart/form-data."""

    type = "general_unknown"


def _wants_multipart(accept: str) -> bool:
    """Tell whether the first type in `accept` that can be answered is multipart; with none it is JSON."""
    for item in accept.split(", ") if "multipart/" in accept else ():
        if item.startswith(("application/json", "application/*")):
            return False
        if item.startswith(("multipart/form-data", "multipart/*")):
            return True
    return False


async def list_executions(call: Call, params: ListExecutions) -> ASGIApp:
    """List a function's executions; a user's own only."""
    caller = call.caller
    search = params.search if call.shape < Shape.V1_8 else ""
    query = read_query(params.queries, lists.EXECUTIONS, call.shape, search)
    await visible(call, params.function_id)
    user_id = None if caller.privileged else caller.user_id
    found = await call.parts.database.read_list(
        executions.page, params.function_id, query, user_id=user_id, count=params.total
    )
    items = [
        responses.execution(item, call.shape, privileged=caller.privileged) for item in found.items
    ]
    return json_answer(responses.listing("executions", found.total, items))


async def get(call: Call, params: OneExecution) -> ASGIApp:
    """Return one execution; a user's own only."""
    caller = call.caller
    await visible(call, params.function_id)
    user_id = None if caller.privileged else caller.user_id
    found = await call.parts.database.read(
        executions.get, params.function_id, params.execution_id, user_id=user_id
    )
    if found is None:
        raise ExecutionNotFound
    kept = (
        await call.parts.database.read(execution_answers.of, [found])
        if call.shape < Shape.V1_3
        else {}
    )
    return json_answer(
        responses.execution(
            found, call.shape, privileged=caller.privileged, kept=kept.get(found.sequence, "")
        )
    )


async def delete(call: Call, params: OneExecution) -> ASGIApp:
    """Delete a finished or scheduled execution. Clients have the scope but see no function here, as in Appwrite."""
    if not call.caller.privileged:
        raise FunctionNotFound
    await visible(call, params.function_id)
    await call.parts.executions.delete(params.function_id, params.execution_id)
    return no_content()


CREATE = Operation(
    name="functions.createExecution",
    method="POST",
    path="/functions/{functionId}/executions",
    scopes=EXECUTIONS_WRITE,
    params=CreateExecution,
    handler=create,
    statuses=(201, 202),
    model="execution",
    errors=(
        FunctionNotFound,
        DeploymentNotFound,
        BuildNotReady,
        UserUnauthorized,
        BadRequest,
        FunctionSynchronousTimeout,
        Overloaded,
    ),
)
OPERATIONS = (
    CREATE,
    Operation(
        name="functions.getExecution",
        method="GET",
        path="/functions/{functionId}/executions/{executionId}",
        scopes=EXECUTIONS_READ,
        params=OneExecution,
        handler=get,
        model="execution",
        errors=(FunctionNotFound, ExecutionNotFound),
    ),
    Operation(
        name="functions.listExecutions",
        method="GET",
        path="/functions/{functionId}/executions",
        scopes=EXECUTIONS_READ,
        params=ListExecutions,
        handler=list_executions,
        model="executions",
        errors=(FunctionNotFound, CursorNotFound, DatabaseTimeout, QueryInvalid),
    ),
    Operation(
        name="functions.deleteExecution",
        method="DELETE",
        path="/functions/{functionId}/executions/{executionId}",
        scopes=EXECUTIONS_WRITE,
        params=OneExecution,
        handler=delete,
        errors=(FunctionNotFound, ExecutionNotFound, ExecutionInProgress),
    ),
)
