"""Executions as clients of Appwrite 0.7 and 0.8 know them: always asynchronous, listed by offset.

Everything else answers these clients as it answers clients of 1.3, but with executions and errors
in their shape. Functions were programs then, whose output held their answer. So the end of the
answer is stored when such a client creates an execution, and shown after the logs, which are for
API keys alone.
"""

from typing import Annotated

from starlette.types import ASGIApp

from minifn.api.operations.execution_access import Body, permitted, visible
from minifn.api.wire import responses
from minifn.api.wire.answers import json_answer
from minifn.api.wire.operation import EXECUTIONS_READ, EXECUTIONS_WRITE, Call, Operation
from minifn.api.wire.params import Id, Integer, OneOf, Params, Text
from minifn.models import ExecutionRequest
from minifn.store import execution_answers, executions
from minifn.store.queries import Order, Query

#: Most executions that one address may create in a minute.
RATE_LIMIT = 60


class CreateExecution(Params, frozen=True, kw_only=True):
    """The data for the function."""

    function_id: Annotated[str, Id()]
    data: Annotated[bytes, Body(8192)] = b""


class ListExecutions(Params, frozen=True, kw_only=True):
    """A page of a function's executions."""

    function_id: Annotated[str, Id()]
    search: Annotated[str, Text(256, 0)] = ""
    limit: Annotated[int, Integer(0, 100)] = 25
    offset: Annotated[int, Integer(0, 2000)] = 0
    order_type: Annotated[str, OneOf(("ASC", "DESC"))] = "ASC"


async def create(call: Call, params: CreateExecution) -> ASGIApp:
    """Queue an execution."""
    caller = call.caller
    target = await permitted(call, params.function_id)
    request = ExecutionRequest(
        body=params.data,
        user_id=caller.user_id,
        session_id=caller.session_id,
        client_ip=call.client_ip,
        depth=caller.depth,
        keep_answer=True,
    )
    execution = await call.parts.executions.enqueue(target.function, request)
    return json_answer(
        responses.execution(execution, call.shape, privileged=caller.privileged), 201
    )


async def list_executions(call: Call, params: ListExecutions) -> ASGIApp:
    """List a function's executions; a user sees only their own."""
    caller = call.caller
    await visible(call, params.function_id)
    query = Query(
        orders=(Order(descending=params.order_type == "DESC"),),
        limit=params.limit,
        offset=params.offset,
        search=params.search,
    )
    user_id = None if caller.privileged else caller.user_id
    found = await call.parts.database.read_list(
        executions.page, params.function_id, query, user_id=user_id
    )
    kept = await call.parts.database.read(execution_answers.of, found.items)
    items = [
        responses.execution(
            item, call.shape, privileged=caller.privileged, kept=kept.get(item.sequence, "")
        )
        for item in found.items
    ]
    return json_answer({"sum": found.total, "executions": items})


CREATE = Operation(
    name="functions.createExecution",
    method="POST",
    path="/functions/{functionId}/executions",
    scopes=EXECUTIONS_WRITE,
    params=CreateExecution,
    handler=create,
    rate_limit=RATE_LIMIT,
)
LIST = Operation(
    name="functions.listExecutions",
    method="GET",
    path="/functions/{functionId}/executions",
    scopes=EXECUTIONS_READ,
    params=ListExecutions,
    handler=list_executions,
)
