"""Environment variables, of a function or of the whole project."""

from typing import Annotated, ClassVar

from starlette.types import ASGIApp

from minifn.api.operations.functions import DESCRIPTION_MAX_CHARS
from minifn.api.wire import list_attributes, responses
from minifn.api.wire.answers import json_answer, no_content
from minifn.api.wire.formats import Shape
from minifn.api.wire.kinds import (
    VARIABLE_KEY_RULE,
    QueryTexts,
    VariableKey,
    is_variable_key,
)
from minifn.api.wire.operation import (
    FUNCTIONS_READ,
    FUNCTIONS_WRITE,
    PROJECT_READ,
    PROJECT_WRITE,
    Call,
    Operation,
)
from minifn.api.wire.params import Boolean, CustomId, Id, Params, Text
from minifn.api.wire.queries import read_query
from minifn.errors import (
    ArgumentInvalid,
    CursorNotFound,
    DatabaseTimeout,
    FunctionNotFound,
    QueryInvalid,
    VariableAlreadyExists,
    VariableCannotUnsetSecret,
    VariableNotFound,
)
from minifn.ids import new_id
from minifn.services.functions import VariableChange

#: Queries of a list without any: clients before 1.9 expect all variables, not a page.
_ALL = ('{"method":"limit","values":[1000]}',)


class NewVariable(Params, frozen=True, kw_only=True):
    """A new variable, secret by default since 1.8; before there are no secret variables."""

    variable_id: Annotated[str, CustomId()] = ""
    key: Annotated[str, VariableKey()]
    value: Annotated[str, Text(8192, 0)]
    secret: Annotated[bool, Boolean()] = True
    description: Annotated[str, Text(DESCRIPTION_MAX_CHARS, 0)] = ""


class ChangedVariable(Params, frozen=True, kw_only=True):
    """Changes of a variable; a value that is left out stays."""

    variable_id: Annotated[str, Id()]
    key: Annotated[str | None, Text(255)] = None
    value: Annotated[str | None, Text(8192, 0)] = None
    secret: Annotated[bool | None, Boolean()] = None
    description: Annotated[str | None, Text(DESCRIPTION_MAX_CHARS, 0)] = None


class SomeVariables(Params, frozen=True, kw_only=True):
    """A page of variables."""

    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    total: Annotated[bool, Boolean(loose=True)] = True


class OneVariable(Params, frozen=True, kw_only=True):
    """A variable's id."""

    variable_id: Annotated[str, Id()]


class CreateVariable(NewVariable, frozen=True, kw_only=True):
    """A new variable of a function."""

    function_id: Annotated[str, Id()]


class UpdateVariable(ChangedVariable, frozen=True, kw_only=True):
    """Changes of a function's variable."""

    function_id: Annotated[str, Id()]


class ListVariables(SomeVariables, frozen=True, kw_only=True):
    """A page of a function's variables."""

    function_id: Annotated[str, Id()]


class FunctionVariable(OneVariable, frozen=True, kw_only=True):
    """A variable of a function."""

    function_id: Annotated[str, Id()]


class CreateProjectVariable(NewVariable, frozen=True, kw_only=True):
    """A new variable of the project."""

    function_id: ClassVar[str] = ""


class UpdateProjectVariable(ChangedVariable, frozen=True, kw_only=True):
    """Changes of the project's variable."""

    function_id: ClassVar[str] = ""


class ListProjectVariables(SomeVariables, frozen=True, kw_only=True):
    """A page of the project's variables."""

    function_id: ClassVar[str] = ""


class ProjectVariable(OneVariable, frozen=True, kw_only=True):
    """A variable of the project."""

    function_id: ClassVar[str] = ""


async def create(call: Call, params: CreateVariable | CreateProjectVariable) -> ASGIApp:
    """Create a variable."""
    created = await call.parts.functions.create_variable(
        params.function_id,
        params.key,
        params.value,
        secret=params.secret and call.shape >= Shape.V1_8,
        variable_id=params.variable_id or new_id(),
        description=params.description,
    )
    return json_answer(responses.variable(created, call.shape), 201)


async def list_variables(call: Call, params: ListVariables | ListProjectVariables) -> ASGIApp:
    """List variables: all of them unless queries ask for a page."""
    query = read_query(params.queries or _ALL, list_attributes.VARIABLES, call.shape)
    found = await call.parts.functions.page_variables(params.function_id, query, count=params.total)
    items = [responses.variable(item, call.shape) for item in found.items]
    return json_answer(responses.listing("variables", found.total, items))


async def get(call: Call, params: FunctionVariable | ProjectVariable) -> ASGIApp:
    """Return a variable."""
    found = await call.parts.functions.get_variable(params.function_id, params.variable_id)
    return json_answer(responses.variable(found, call.shape))


async def update(call: Call, params: UpdateVariable | UpdateProjectVariable) -> ASGIApp:
    """Change a variable. Before 1.9 the key is required."""
    if params.key is None and call.shape < Shape.V1_9:
        raise ArgumentInvalid.missing("key")
    if (
        params.key is None
        and params.value is None
        and params.secret is None
        and params.description is None
    ):
        raise ArgumentInvalid(
            "At least one of the params `key`, `value`, `secret` and `description` is needed."
        )
    if params.key is not None and not is_variable_key(params.key):
        await _check_kept(call, params, params.key)
    secret = params.secret if call.shape >= Shape.V1_8 else None
    change = VariableChange(
        key=params.key, value=params.value, secret=secret, description=params.description
    )
    changed = await call.parts.functions.update_variable(
        params.function_id, params.variable_id, change
    )
    return json_answer(responses.variable(changed, call.shape))


async def _check_kept(call: Call, params: UpdateVariable | UpdateProjectVariable, key: str) -> None:
    """Raise ArgumentInvalid unless the variable already has this key.

    Older versions accepted any key, and such a variable must stay changeable.
    """
    try:
        stored = await call.parts.functions.get_variable(params.function_id, params.variable_id)
    except (FunctionNotFound, VariableNotFound):
        stored = None
    if stored is None or stored.key != key:
        raise ArgumentInvalid.for_param("key", VARIABLE_KEY_RULE)


async def delete(call: Call, params: FunctionVariable | ProjectVariable) -> ASGIApp:
    """Delete a variable."""
    await call.parts.functions.delete_variable(params.function_id, params.variable_id)
    return no_content()


_OF_FUNCTION = "/functions/{functionId}/variables"
_OF_PROJECT = "/project/variables"

OPERATIONS = (
    Operation(
        name="functions.listVariables",
        method="GET",
        path=_OF_FUNCTION,
        scopes=FUNCTIONS_READ,
        params=ListVariables,
        handler=list_variables,
        model="variables",
        errors=(FunctionNotFound, CursorNotFound, DatabaseTimeout, QueryInvalid),
    ),
    Operation(
        name="functions.createVariable",
        method="POST",
        path=_OF_FUNCTION,
        scopes=FUNCTIONS_WRITE,
        params=CreateVariable,
        handler=create,
        model="variable",
        errors=(FunctionNotFound, VariableAlreadyExists),
    ),
    Operation(
        name="functions.getVariable",
        method="GET",
        path=f"{_OF_FUNCTION}/{{variableId}}",
        scopes=FUNCTIONS_READ,
        params=FunctionVariable,
        handler=get,
        model="variable",
        errors=(FunctionNotFound, VariableNotFound),
    ),
    Operation(
        name="functions.updateVariable",
        method="PUT",
        path=f"{_OF_FUNCTION}/{{variableId}}",
        scopes=FUNCTIONS_WRITE,
        params=UpdateVariable,
        handler=update,
        model="variable",
        errors=(
            FunctionNotFound,
            VariableNotFound,
            VariableAlreadyExists,
            VariableCannotUnsetSecret,
        ),
    ),
    Operation(
        name="functions.deleteVariable",
        method="DELETE",
        path=f"{_OF_FUNCTION}/{{variableId}}",
        scopes=FUNCTIONS_WRITE,
        params=FunctionVariable,
        handler=delete,
        errors=(FunctionNotFound, VariableNotFound),
    ),
    Operation(
        name="project.listVariables",
        method="GET",
        path=_OF_PROJECT,
        scopes=PROJECT_READ,
        params=ListProjectVariables,
        handler=list_variables,
        model="variables",
        errors=(CursorNotFound, DatabaseTimeout, QueryInvalid),
    ),
    Operation(
        name="project.createVariable",
        method="POST",
        path=_OF_PROJECT,
        scopes=PROJECT_WRITE,
        params=CreateProjectVariable,
        handler=create,
        model="variable",
        errors=(VariableAlreadyExists,),
    ),
    Operation(
        name="project.getVariable",
        method="GET",
        path=f"{_OF_PROJECT}/{{variableId}}",
        scopes=PROJECT_READ,
        params=ProjectVariable,
        handler=get,
        model="variable",
        errors=(VariableNotFound,),
    ),
    Operation(
        name="project.updateVariable",
        method="PUT",
        path=f"{_OF_PROJECT}/{{variableId}}",
        scopes=PROJECT_WRITE,
        params=UpdateProjectVariable,
        handler=update,
        model="variable",
        errors=(VariableNotFound, VariableAlreadyExists, VariableCannotUnsetSecret),
    ),
    Operation(
        name="project.deleteVariable",
        method="DELETE",
        path=f"{_OF_PROJECT}/{{variableId}}",
        scopes=PROJECT_WRITE,
        params=ProjectVariable,
        handler=delete,
        errors=(VariableNotFound,),
    ),
)
