"""Functions: create, list, get, update, delete."""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from starlette.types import ASGIApp

from minifn.api.operations import templates
from minifn.api.wire import list_attributes, responses
from minifn.api.wire.answers import json_answer, no_content
from minifn.api.wire.formats import Shape
from minifn.api.wire.kinds import SCOPE_NAMES, Cron, EventName, QueryTexts, Role, SpecificationSlug
from minifn.api.wire.operation import FUNCTIONS_READ, FUNCTIONS_WRITE, Call, Operation
from minifn.api.wire.params import (
    Boolean,
    CustomId,
    Id,
    Integer,
    Limits,
    ListOf,
    OneOf,
    Params,
    Text,
)
from minifn.api.wire.queries import read_query
from minifn.errors import (
    ArgumentInvalid,
    CursorNotFound,
    DatabaseTimeout,
    FunctionAlreadyExists,
    FunctionEntrypointMissing,
    FunctionNotFound,
    InstallationNotFound,
    ProviderRepositoryNotFound,
    QueryInvalid,
    QueryOrderNull,
    UserUnauthorized,
)
from minifn.intervals import MINUTES_MAX
from minifn.models import DEFAULT_SPECIFICATION, Function, Variable
from minifn.services.deployments import Template
from minifn.services.functions import FunctionSettings
from minifn.store import variables
from minifn.store.git_sources import Source


def _runtimes(limits: Limits) -> Iterable[str]:
    return limits.runtimes


def _timeout_max(limits: Limits) -> int:
    return limits.timeout_max_seconds


#: Most characters of a description.
DESCRIPTION_MAX_CHARS = 16_384


class CreateFunction(Params, frozen=True, kw_only=True):
    """Every setting of a function."""

    function_id: Annotated[str, CustomId()]
    name: Annotated[str, Text(128)]
    runtime: Annotated[str, OneOf(_runtimes)]
    execute: Annotated[tuple[str, ...], ListOf(Role())] = ()
    events: Annotated[tuple[str, ...], ListOf(EventName())] = ()
    schedule: Annotated[str, Cron()] = ""
    #: Minutes between runs; 0 for none.
    interval: Annotated[int | None, Integer(0, MINUTES_MAX)] = None
    timeout: Annotated[int, Integer(1, _timeout_max)] = 15
    enabled: Annotated[bool, Boolean()] = True
    logging: Annotated[bool, Boolean()] = True
    entrypoint: Annotated[str, Text(1028, 0)] = ""
    commands: Annotated[str, Text(8192, 0)] = ""
    scopes: Annotated[tuple[str, ...], SCOPE_NAMES] = ()
    installation_id: Annotated[str, Text(128, 0)] = ""
    provider_repository_id: Annotated[str | None, Text(128, 0)] = None
    provider_branch: Annotated[str, Text(128, 0)] = ""
    provider_silent_mode: Annotated[bool, Boolean()] = False
    provider_root_directory: Annotated[str, Text(128, 0)] = ""
    provider_branches: Annotated[tuple[str, ...] | None, ListOf(Text(128))] = None
    provider_paths: Annotated[tuple[str, ...] | None, ListOf(Text(128))] = None
    #: The name of both specifications before 1.9.
    specification: Annotated[str | None, SpecificationSlug()] = None
    build_specification: Annotated[str | None, SpecificationSlug()] = None
    runtime_specification: Annotated[str | None, SpecificationSlug()] = None
    deployment_retention: Annotated[int, Integer(0, 36500)] = 0
    description: Annotated[str | None, Text(DESCRIPTION_MAX_CHARS, 0)] = None
    email_enabled: Annotated[bool, Boolean()] = False


class CreateFromTemplate(CreateFunction, frozen=True, kw_only=True):
    """A new function.

    Clients before 1.7 may name a template to deploy; later ones call createTemplateDeployment.
    """

    template_repository: Annotated[str, Text(128, 0)] = ""
    template_owner: Annotated[str, Text(128, 0)] = ""
    template_root_directory: Annotated[str, Text(128, 0)] = ""
    template_version: Annotated[str, Text(128, 0)] = ""
    #: The name of the version before 1.6.
    template_branch: Annotated[str, Text(128, 0)] = ""


class UpdateFunction(CreateFunction, frozen=True, kw_only=True):
    """Every setting of a function.

    A setting that is left out returns to its default, except runtime, entrypoint, description and
    interval, and for clients since 2.0 the specifications.
    """

    function_id: Annotated[str, Id()]
    runtime: Annotated[str, OneOf(lambda limits: ("", *limits.runtimes))] = ""


class ListFunctions(Params, frozen=True, kw_only=True):
    """A page of functions."""

    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    search: Annotated[str, Text(256, 0)] = ""
    total: Annotated[bool, Boolean(loose=True)] = True


class OneFunction(Params, frozen=True, kw_only=True):
    """A function's id."""

    function_id: Annotated[str, Id()]


def _settings(
    call: Call, params: CreateFunction, runtime: str, default: str | None
) -> FunctionSettings:
    """Return the settings in a request (`settings_of`).

    `runtime` is the runtime that the function will have.
    """
    settings = settings_of(params, call.context.limits, default)
    if call.caller.reach and params.installation_id:
        # The installation's password opens the repositories of other functions too.
        raise UserUnauthorized(
            "An API key that is restricted to functions connects no repositories."
        )
    if call.shape <= Shape.V1_3:
        commands = call.parts.runtimes.old_commands(runtime)
        return msgspec.structs.replace(settings, commands=commands)
    return settings


def settings_of(params: CreateFunction, limits: Limits, default: str | None) -> FunctionSettings:
    """Return the settings in params. Raises ArgumentInvalid for ones that exclude each other.

    `default` is the specification when none is named; None keeps the stored one.
    """
    _check_settings(params)
    old = params.specification or default
    return FunctionSettings(
        name=params.name,
        runtime=params.runtime,
        execute=params.execute,
        enabled=params.enabled,
        logging=params.logging,
        scopes=params.scopes,
        events=params.events,
        schedule=params.schedule,
        interval_minutes=params.interval,
        # Params check the timeout, but not its default, against the limit.
        timeout_seconds=min(params.timeout, limits.timeout_max_seconds),
        entrypoint=params.entrypoint,
        commands=params.commands,
        installation_id=params.installation_id,
        provider_repository_id=params.provider_repository_id,
        provider_branch=params.provider_branch,
        provider_root_directory=params.provider_root_directory,
        provider_silent_mode=params.provider_silent_mode,
        provider_branches=params.provider_branches,
        provider_paths=params.provider_paths,
        build_specification=params.build_specification or old,
        runtime_specification=params.runtime_specification or old,
        deployment_retention_days=params.deployment_retention,
        description=params.description,
    )


def _check_settings(params: CreateFunction) -> None:
    if params.schedule and params.interval:
        raise ArgumentInvalid.for_param(
            "interval", "A function has a schedule or an interval, not both"
        )
    if params.email_enabled:
        raise ArgumentInvalid.for_param("emailEnabled", "This server receives no e-mail")


async def answer(call: Call, function: Function, status: int = 200) -> ASGIApp:
    """Answer with a function and its variables."""
    owned: Iterable[Variable] = await call.parts.database.read(variables.of_function, function.id)
    return json_answer(responses.function(function, owned, call.shape), status)


async def create(call: Call, params: CreateFromTemplate) -> ASGIApp:
    """Create a function."""
    if not call.caller.may_touch(params.function_id):
        raise UserUnauthorized(
            f"This API key is restricted to functions with the IDs {' '.join(call.caller.reach)}:"
            " use such an ID."
        )
    settings = _settings(call, params, params.runtime, default_specification(call.context.limits))
    template = None if call.shape >= Shape.V1_8 else _template(call, params)
    if isinstance(template, Source) and not settings.entrypoint:
        raise FunctionEntrypointMissing
    function = await call.parts.functions.create(params.function_id, settings, call.caller.reach)
    if template is not None:
        await templates.deploy(call, function.id, template, activate=True, kind="manual")
    if function.provider_repository_id:
        await call.parts.git.follow(function)
    return json_answer(responses.function(function, (), call.shape), 201)


def _template(call: Call, params: CreateFromTemplate) -> Template | Source | None:
    """Return the template to deploy, None unless it is named in full."""
    place = (params.template_owner, params.template_repository, params.template_root_directory)
    reference = params.template_version or params.template_branch
    if not (all(place) and reference):
        return None
    wanted = templates.Wanted(
        repository=f"{params.template_owner}/{params.template_repository}",
        root_directory=params.template_root_directory,
        type="tag" if params.template_version else "branch",
        reference=reference,
    )
    return templates.find(call, wanted)


def default_specification(limits: Limits) -> str:
    """Return Appwrite's default specification, or the largest offered one below it."""
    offered = limits.specifications
    return DEFAULT_SPECIFICATION if DEFAULT_SPECIFICATION in offered or not offered else offered[-1]


async def update(call: Call, params: UpdateFunction) -> ASGIApp:
    """Change a function's settings."""
    runtime = params.runtime
    if not runtime and call.shape <= Shape.V1_3:
        runtime = (await call.parts.functions.get(params.function_id)).runtime
    default = None if call.shape is Shape.FULL else default_specification(call.context.limits)
    settings = _settings(call, params, runtime, default)
    before = await call.parts.functions.get(params.function_id)
    function = await call.parts.functions.update(params.function_id, settings)
    if function.provider_repository_id or before.provider_repository_id:
        await call.parts.git.follow(function, before)
    return await answer(call, function)


async def get(call: Call, params: OneFunction) -> ASGIApp:
    """Return a function."""
    return await answer(call, await call.parts.functions.get(params.function_id))


async def list_functions(call: Call, params: ListFunctions) -> ASGIApp:
    """List functions."""
    query = read_query(params.queries, list_attributes.FUNCTIONS, call.shape, params.search)
    found = await call.parts.functions.page(query, call.caller.reach, count=params.total)
    owned = await call.parts.database.read(
        variables.of_functions, [item.id for item in found.items]
    )
    items = [
        responses.function(item, owned[item.id], call.shape, in_list=True) for item in found.items
    ]
    return json_answer(responses.listing("functions", found.total, items))


async def delete(call: Call, params: OneFunction) -> ASGIApp:
    """Delete a function with all that belongs to it."""
    _, deployment_ids = await call.parts.functions.delete(params.function_id)
    await call.parts.deployments.forget(params.function_id, deployment_ids)
    return no_content()


OPERATIONS = (
    Operation(
        name="functions.list",
        method="GET",
        path="/functions",
        scopes=FUNCTIONS_READ,
        params=ListFunctions,
        handler=list_functions,
        for_restricted=True,
        model="functions",
        errors=(CursorNotFound, DatabaseTimeout, QueryInvalid, QueryOrderNull),
    ),
    Operation(
        name="functions.create",
        method="POST",
        path="/functions",
        scopes=FUNCTIONS_WRITE,
        params=CreateFromTemplate,
        handler=create,
        for_restricted=True,
        model="function",
        errors=(
            FunctionAlreadyExists,
            InstallationNotFound,
            ProviderRepositoryNotFound,
            UserUnauthorized,
        ),
    ),
    Operation(
        name="functions.get",
        method="GET",
        path="/functions/{functionId}",
        scopes=FUNCTIONS_READ,
        params=OneFunction,
        handler=get,
        model="function",
        errors=(FunctionNotFound,),
    ),
    Operation(
        name="functions.update",
        method="PUT",
        path="/functions/{functionId}",
        scopes=FUNCTIONS_WRITE,
        params=UpdateFunction,
        handler=update,
        model="function",
        errors=(FunctionNotFound, InstallationNotFound, UserUnauthorized),
    ),
    Operation(
        name="functions.delete",
        method="DELETE",
        path="/functions/{functionId}",
        scopes=FUNCTIONS_WRITE,
        params=OneFunction,
        handler=delete,
        errors=(FunctionNotFound,),
    ),
)
