"""Executions: run a function now or later, and read the results."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from starlette.types import ASGIApp

from minifn.api.operations import executions_v0
from minifn.api.operations.execution_access import Body, permitted, visible
from minifn.api.wire import list_attributes, responses
from minifn.api.wire.answers import json_answer, multipart_answer, no_content
from minifn.api.wire.formats import Shape
from minifn.api.wire.kinds import Instant, QueryTexts, RequestHeaders
from minifn.api.wire.operation import EXECUTIONS_READ, EXECUTIONS_WRITE, Call, Operation
from minifn.api.wire.params import Boolean, Id, OneOf, Params, Text
from minifn.api.wire.queries import read_query
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
from minifn.models import ExecutionRequest, ExecutionResult, Headers, Trigger
from minifn.store import execution_answers, executions as store

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
#: Least milliseconds from now to a scheduled execution.
SCHEDULE_AHEAD_MS = 60_000


class CreateExecution(Params, frozen=True, kw_only=True):
    """The request for the function, and when to send it."""

    function_id: Annotated[str, Id()]
    body: Annotated[bytes, Body()] = b""
    #: The name of the body before 1.4.
    data: Annotated[bytes, Body()] = b""
    later: Annotated[bool, Boolean(loose=True)] = msgspec.field(name="async", default=False)
    path: Annotated[str, Text(2048)] = "/"
    method: Annotated[str, OneOf(METHODS)] = "POST"
    headers: Annotated[Headers, RequestHeaders()] = ()
    scheduled_at: Annotated[int | None, Instant()] = None


class ListExecutions(Params, frozen=True, kw_only=True):
    """A page of a function's executions."""

    function_id: Annotated[str, Id()]
    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    #: Used before 1.7 and ignored since.
    search: Annotated[str, Text(256, 0)] = ""
    total: Annotated[bool, Boolean(loose=True)] = True


class OneExecution(Params, frozen=True, kw_only=True):
    """One execution of a function."""

    function_id: Annotated[str, Id()]
    execution_id: Annotated[str, Id()]


async def create(call: Call, params: CreateExecution) -> ASGIApp:
    """Run a function, or queue it.

    Checks in this order: the schedule, that the function exists and is enabled, that it can run,
    and that the caller may execute it.
    """
    if params.scheduled_at is not None:
        _check_schedule(params.scheduled_at, params.later, call.shape)
    caller = call.caller
    executions = call.parts.executions
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
        execution = await executions.enqueue(
            target.function, request, trigger, params.scheduled_at or 0
        )
        content = responses.execution(execution, call.shape, privileged=caller.privileged)
        encoded = multipart_answer if _wants_multipart(call.headers) else json_answer
        return encoded(content, 202)
    return answered(call, await executions.execute(target, request))


def _check_schedule(at: int, later: bool, shape: Shape) -> None:
    """Raise ArgumentInvalid (before 1.7) or BadRequest for a time that cannot be scheduled."""
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


def answered(call: Call, result: ExecutionResult) -> ASGIApp:
    """Return the answer of a synchronous execution: multipart where the caller accepts it.

    Raises BinaryBody.
    """
    body: str | bytes = result.body
    multipart = _wants_multipart(call.headers)
    if not multipart:
        try:
            body = result.body.decode()
        except UnicodeDecodeError as exc:
            raise BinaryBody from exc
    content = responses.execution(
        result.execution,
        call.shape,
        privileged=call.caller.privileged,
        body=body,
        headers=result.headers,
    )
    return multipart_answer(content, 201) if multipart else json_answer(content, 201)


class BinaryBody(ArgumentInvalid, type="general_unknown"):
    """Failed to parse response: the answer is not text. Accept multipart/form-data for bytes."""


def _wants_multipart(headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether the first type in `accept` that this API can answer with is multipart."""
    accept = headers.get(b"accept", b"")
    if b"multipart/" not in accept:
        return False
    for item in accept.decode("latin-1").split(", "):
        if item.startswith(("application/json", "application/*")):
            return False
        if item.startswith(("multipart/form-data", "multipart/*")):
            return True
    return False


async def list_executions(call: Call, params: ListExecutions) -> ASGIApp:
    """List a function's executions; a user sees only their own."""
    caller = call.caller
    search = params.search if call.shape < Shape.V1_8 else ""
    query = read_query(params.queries, list_attributes.EXECUTIONS, call.shape, search)
    await visible(call, params.function_id)
    user_id = None if caller.privileged else caller.user_id
    found = await call.parts.database.read_list(
        store.page, params.function_id, query, user_id=user_id, count=params.total
    )
    items = [
        responses.execution(item, call.shape, privileged=caller.privileged) for item in found.items
    ]
    return json_answer(responses.listing("executions", found.total, items))


async def get(call: Call, params: OneExecution) -> ASGIApp:
    """Return one execution; a user sees only their own."""
    caller = call.caller
    await visible(call, params.function_id)
    user_id = None if caller.privileged else caller.user_id
    found = await call.parts.database.read(
        store.get, params.function_id, params.execution_id, user_id=user_id
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
    """Delete a finished or scheduled execution.

    Clients have the scope but find no function, as in Appwrite.
    """
    if not call.caller.privileged:
        raise FunctionNotFound
    await visible(call, params.function_id)
    await call.parts.executions.delete(params.function_id, params.execution_id)
    return no_content()


OPERATIONS = (
    Operation(
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
        fast=True,
        before_1_3=executions_v0.CREATE,
    ),
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
        before_1_3=executions_v0.LIST,
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
