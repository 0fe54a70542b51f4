"""Environment variables of a function."""

from typing import Annotated

from starlette.types import ASGIApp

from minifn.api import responses
from minifn.api.answers import json_answer, no_content
from minifn.api.formats import Shape
from minifn.api.kinds import QueryTexts
from minifn.api.lists import read_query
from minifn.api.operations import FUNCTIONS_READ, FUNCTIONS_WRITE, Call, Operation
from minifn.api.params import Boolean, CustomId, Id, Params, Text
from minifn.errors import ArgumentInvalid
from minifn.functions import VariableChange
from minifn.store import lists
from minifn.values import new_id

#: How many variables a list holds for clients that know no pages of them.
_PAGE_MAX = 1000


class CreateVariable(Params, frozen=True, kw_only=True):
    """A new variable. Clients before 1.8 know no secret ones; later ones make them secret unless they say otherwise."""

    function_id: Annotated[str, Id()]
    variable_id: Annotated[str, CustomId()] = ""
    key: Annotated[str, Text(255)]
    value: Annotated[str, Text(8192, 0)]
    secret: Annotated[bool, Boolean()] = True


class UpdateVariable(Params, frozen=True, kw_only=True):
    """What to change; what is left out stays."""

    function_id: Annotated[str, Id()]
    variable_id: Annotated[str, Id()]
    key: Annotated[str | None, Text(255)] = None
    value: Annotated[str | None, Text(8192, 0)] = None
    secret: Annotated[bool | None, Boolean()] = None


class ListVariables(Params, frozen=True, kw_only=True):
    """Which variables of a function."""

    function_id: Annotated[str, Id()]
    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    total: Annotated[bool, Boolean(loose=True)] = True


class OneVariable(Params, frozen=True, kw_only=True):
    """Which variable."""

    function_id: Annotated[str, Id()]
    variable_id: Annotated[str, Id()]


async def create(call: Call, params: CreateVariable) -> ASGIApp:
    """Create a variable."""
    created = await call.minifn.functions.create_variable(
        params.function_id,
        params.key,
        params.value,
        secret=params.secret and call.shape >= Shape.V1_8,
        variable_id=params.variable_id or new_id(),
    )
    return json_answer(responses.variable(created, call.shape), 201)


async def list_variables(call: Call, params: ListVariables) -> ASGIApp:
    """List a function's variables: all of them unless the client asks for a page."""
    texts = params.queries if call.shape >= Shape.V1_8 else ()
    query = read_query(texts or (f'{{"method":"limit","values":[{_PAGE_MAX}]}}',), lists.VARIABLES, call.shape)
    found = await call.minifn.functions.page_variables(params.function_id, query, count=params.total)
    items = [responses.variable(item, call.shape) for item in found.items]
    return json_answer(responses.listing("variables", found.total, items))


async def get(call: Call, params: OneVariable) -> ASGIApp:
    """Return a variable."""
    found = await call.minifn.functions.get_variable(params.function_id, params.variable_id)
    return json_answer(responses.variable(found, call.shape))


async def update(call: Call, params: UpdateVariable) -> ASGIApp:
    """Change a variable. Before 1.9 the key had to be given."""
    if params.key is None and call.shape < Shape.V1_9:
        raise ArgumentInvalid.missing("key")
    if params.key is None and params.value is None and params.secret is None:
        raise ArgumentInvalid("At least one of the params `key`, `value` and `secret` is needed.")
    secret = params.secret if call.shape >= Shape.V1_8 else None
    change = VariableChange(key=params.key, value=params.value, secret=secret)
    changed = await call.minifn.functions.update_variable(params.function_id, params.variable_id, change)
    return json_answer(responses.variable(changed, call.shape))


async def delete(call: Call, params: OneVariable) -> ASGIApp:
    """Delete a variable."""
    await call.minifn.functions.delete_variable(params.function_id, params.variable_id)
    return no_content()


OPERATIONS = (
    Operation(
        name="functions.listVariables",
        method="GET",
        path="/functions/{functionId}/variables",
        scopes=FUNCTIONS_READ,
        params=ListVariables,
        handler=list_variables,
    ),
    Operation(
        name="functions.createVariable",
        method="POST",
        path="/functions/{functionId}/variables",
        scopes=FUNCTIONS_WRITE,
        params=CreateVariable,
        handler=create,
    ),
    Operation(
        name="functions.getVariable",
        method="GET",
        path="/functions/{functionId}/variables/{variableId}",
        scopes=FUNCTIONS_READ,
        params=OneVariable,
        handler=get,
    ),
    Operation(
        name="functions.updateVariable",
        method="PUT",
        path="/functions/{functionId}/variables/{variableId}",
        scopes=FUNCTIONS_WRITE,
        params=UpdateVariable,
        handler=update,
    ),
    Operation(
        name="functions.deleteVariable",
        method="DELETE",
        path="/functions/{functionId}/variables/{variableId}",
        scopes=FUNCTIONS_WRITE,
        params=OneVariable,
        handler=delete,
    ),
)
