"""Executions of all functions, for a key or an operator."""

from typing import Annotated

from starlette.types import ASGIApp

from minifn.api.wire import list_attributes, responses
from minifn.api.wire.answers import json_answer
from minifn.api.wire.kinds import QueryTexts
from minifn.api.wire.operation import EXECUTIONS_READ, Call, Operation
from minifn.api.wire.params import Boolean, Id, Params, Text
from minifn.api.wire.queries import read_query
from minifn.errors import CursorNotFound, DatabaseTimeout, ExecutionNotFound, QueryInvalid
from minifn.store import executions as store


class ListExecutions(Params, frozen=True, kw_only=True):
    """A page of the executions of all functions."""

    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    search: Annotated[str, Text(256, 0)] = ""
    total: Annotated[bool, Boolean(loose=True)] = True


class OneExecution(Params, frozen=True, kw_only=True):
    """One execution of any function."""

    execution_id: Annotated[str, Id()]


async def list_executions(call: Call, params: ListExecutions) -> ASGIApp:
    """List the executions of all functions; queries may also name `functionId`."""
    query = read_query(params.queries, list_attributes.ALL_EXECUTIONS, call.shape, params.search)
    found = await call.parts.database.read_list(
        store.page_of_all, query, call.caller.reach, count=params.total
    )
    items = [responses.execution(item, call.shape, privileged=True) for item in found.items]
    return json_answer(responses.listing("executions", found.total, items))


async def get(call: Call, params: OneExecution) -> ASGIApp:
    """Return one execution of any function, with its logs and errors."""
    found = await call.parts.database.read(store.find, params.execution_id, call.caller.reach)
    if found is None:
        raise ExecutionNotFound
    return json_answer(responses.execution(found, call.shape, privileged=True))


OPERATIONS = (
    Operation(
        name="minifn.listExecutions",
        method="GET",
        path="/minifn/executions",
        scopes=EXECUTIONS_READ,
        params=ListExecutions,
        handler=list_executions,
        needs_project=False,
        for_restricted=True,
        keys_only=True,
        model="executions",
        errors=(CursorNotFound, DatabaseTimeout, QueryInvalid),
    ),
    Operation(
        name="minifn.getExecution",
        method="GET",
        path="/minifn/executions/{executionId}",
        scopes=EXECUTIONS_READ,
        params=OneExecution,
        handler=get,
        needs_project=False,
        for_restricted=True,
        keys_only=True,
        model="execution",
        errors=(ExecutionNotFound,),
    ),
)
