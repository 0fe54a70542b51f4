"""Functions and their variables: the rules of creating and changing them, and what an execution must know at once."""

import sqlite3
from collections.abc import Callable, Collection

import msgspec

from minifn.change_feed import Action, ChangeFeed
from minifn.errors import (
    ArgumentInvalid,
    FunctionNotFound,
    InstallationNotFound,
    VariableCannotUnsetSecret,
    VariableNotFound,
)
from minifn.git_names import folder, is_reference, is_repository
from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.models import Function, Target, Variable
from minifn.store import deployments, functions, usage, variables
from minifn.store.database import Database
from minifn.store.paging import Page
from minifn.store.queries import Query


class FunctionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a client sets on a function. In an update "" keeps the runtime and the entrypoint; None keeps."""

    name: str
    runtime: str = ""
    description: str | None = None
    execute: tuple[str, ...] = ()
    enabled: bool = True
    logging: bool = True
    scopes: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    schedule: str = ""
    #: None keeps the interval of a function that gets no schedule.
    interval_minutes: int | None = None
    timeout_seconds: int = 15
    entrypoint: str = ""
    commands: str = ""
    installation_id: str = ""
    provider_repository_id: str | None = None
    provider_branch: str = ""
    provider_root_directory: str = ""
    provider_silent_mode: bool = False
    provider_branches: tuple[str, ...] | None = None
    provider_paths: tuple[str, ...] | None = None
    build_specification: str | None = None
    runtime_specification: str | None = None
    deployment_retention_days: int = 0


class VariableChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a client changes on a variable; None keeps."""

    key: str | None = None
    value: str | None = None
    secret: bool | None = None
    description: str | None = None


#: Settings whose change makes the active deployment differ from what the function says.
_BUILT_FROM = ("name", "entrypoint", "commands", "provider_root_directory", "runtime")

#: What a function's connection to a repository is made of; disconnecting clears it.
_CONNECTION = (
    "installation_id",
    "provider_branch",
    "provider_root_directory",
    "provider_silent_mode",
)


class FunctionService:
    """Creates, changes and deletes functions and variables; keeps `Target`s in memory until a commit touches them.

    `installations`: the git installations that may be named.
    """

    def __init__(
        self,
        database: Database,
        *,
        installations: Collection[str] = (),
        changes: ChangeFeed | None = None,
    ) -> None:
        self._database = database
        self._installations = installations
        self._changes = changes or ChangeFeed()
        self._targets: dict[str, Target] = {}
        self._generation = 0
        self._listeners: list[Callable[[str], None]] = []
        database.subscribe(self._forget)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Have `listener(function_id)` called after each committed change; "" stands for every function."""
        self._listeners.append(listener)

    def cached_target(self, function_id: str) -> Target | None:
        """Return the target if it is in memory."""
        return self._targets.get(function_id)

    async def target(self, function_id: str) -> Target:
        """Return the target; does not suspend when it is in memory. Raises FunctionNotFound."""
        target = self._targets.get(function_id)
        while target is None:
            generation = self._generation
            target = await self._database.read(_target, function_id)
            if target is None:
                raise FunctionNotFound
            if generation == self._generation:
                self._targets[function_id] = target
        return target

    async def create(self, function_id: str, settings: FunctionSettings) -> Function:
        """Create a function; `unique()` makes an id.

        Raises InstallationNotFound, ArgumentInvalid and FunctionAlreadyExists.
        """
        self._check_provider(settings)
        now = now_ms()
        fields = {
            name: value
            for name, value in msgspec.structs.asdict(settings).items()
            if value is not None
        }
        function = Function(id=_given_id(function_id), created_at=now, updated_at=now, **fields)
        return await self._told("create", await self._database.write(functions.insert, function))

    async def get(self, function_id: str) -> Function:
        """Return one function. Raises FunctionNotFound."""
        target = self._targets.get(function_id)
        function = (
            target.function if target else await self._database.read(functions.get, function_id)
        )
        if function is None:
            raise FunctionNotFound
        return function

    async def update(self, function_id: str, settings: FunctionSettings) -> Function:
        """Change every setting of a function. Raises FunctionNotFound, InstallationNotFound and ArgumentInvalid."""
        stored = await self.get(function_id)
        self._check_provider(settings)
        if settings.runtime_specification not in (None, stored.runtime_specification):
            # What ran so far is counted with the memory it ran with.
            await usage.catch_up(self._database)
        return await self._told(
            "update", await self._database.write(_update, function_id, settings, now_ms())
        )

    async def delete(self, function_id: str) -> tuple[Function, list[str]]:
        """Delete a function; return it and the ids of its deployments, whose files the caller removes.

        Raises FunctionNotFound.
        """
        function, deployment_ids = await self._database.write(_delete, function_id)
        self._changes.tell("delete", function)
        return function, deployment_ids

    async def page(self, query: Query, *, count: bool = True) -> Page[Function]:
        """Return a page of the functions."""
        return await self._database.read_list(functions.page, query, count=count)

    async def activate(self, function_id: str, deployment_id: str) -> Function:
        """Make a ready deployment of the function its active one.

        Raises FunctionNotFound, DeploymentNotFound and BuildNotReady.
        """
        return await self._database.write(
            deployments.activate, function_id, deployment_id, now_ms()
        )

    async def create_variable(
        self,
        function_id: str,
        key: str,
        value: str,
        *,
        secret: bool = False,
        variable_id: str = "unique()",
        description: str = "",
    ) -> Variable:
        """Create a variable; function id "" means the project. Raises FunctionNotFound and VariableAlreadyExists."""
        now = now_ms()
        variable = Variable(
            id=_given_id(variable_id),
            created_at=now,
            updated_at=now,
            function_id=function_id,
            key=key,
            value=value,
            secret=secret,
            description=description,
        )
        created = await self._database.write(_create_variable, variable)
        self._changes.tell("create", created)
        return created

    async def get_variable(self, function_id: str, variable_id: str) -> Variable:
        """Return one variable. Raises FunctionNotFound and VariableNotFound."""
        return await self._database.read(_get_variable, function_id, variable_id)

    async def list_variables(self, function_id: str) -> list[Variable]:
        """Return all variables of a function in order of creation. Raises FunctionNotFound."""
        return await self._database.read(_list_variables, function_id)

    async def page_variables(
        self, function_id: str, query: Query, *, count: bool = True
    ) -> Page[Variable]:
        """Return a page of a function's variables. Raises FunctionNotFound."""
        return await self._database.read_list(_page_variables, function_id, query, count)

    async def update_variable(
        self, function_id: str, variable_id: str, change: VariableChange
    ) -> Variable:
        """Change a variable.

        Raises FunctionNotFound, VariableNotFound, VariableAlreadyExists and VariableCannotUnsetSecret.
        """
        variable = await self._database.write(
            _update_variable, function_id, variable_id, change, now_ms()
        )
        self._changes.tell("update", variable)
        return variable

    async def delete_variable(self, function_id: str, variable_id: str) -> Variable:
        """Delete and return a variable. Raises FunctionNotFound and VariableNotFound."""
        variable = await self._database.write(_delete_variable, function_id, variable_id)
        self._changes.tell("delete", variable)
        return variable

    async def _told(self, action: Action, function: Function) -> Function:
        """Say what was done to a function, and return it."""
        if self._changes.heard:
            owned = await self._database.read(variables.of_function, function.id)
            self._changes.tell(action, function, variables=tuple(owned))
        return function

    def _check_provider(self, settings: FunctionSettings) -> None:
        if settings.installation_id and settings.installation_id not in self._installations:
            raise InstallationNotFound
        if settings.provider_repository_id and not (
            settings.installation_id and settings.provider_branch
        ):
            raise ArgumentInvalid(
                "When connecting to VCS (Version Control System), you need to provide"
                ' "installationId" and "providerBranch".'
            )
        if settings.provider_repository_id and not is_repository(settings.provider_repository_id):
            raise ArgumentInvalid.for_param(
                "providerRepositoryId", "Value must be a path such as owner/name"
            )
        if settings.provider_branch and not is_reference(settings.provider_branch):
            raise ArgumentInvalid.for_param("providerBranch", "Value must be the name of a branch")
        if folder(settings.provider_root_directory) is None:
            raise ArgumentInvalid.for_param(
                "providerRootDirectory", "Value must be a folder inside the repository"
            )

    def _forget(self, function_ids: set[str]) -> None:
        self._generation += 1
        if "" in function_ids:
            self._targets.clear()
        for function_id in function_ids:
            self._targets.pop(function_id, None)
            for listener in self._listeners:
                listener(function_id)


def _given_id(given: str) -> str:
    return new_id() if given == "unique()" else given


def _target(conn: sqlite3.Connection, function_id: str) -> Target | None:
    function = functions.get(conn, function_id)
    if function is None:
        return None
    deployment = (
        deployments.get(conn, function_id, function.deployment_id)
        if function.deployment_id
        else None
    )
    merged = {
        variable.key: variable.value
        for owner in ("", function_id)
        for variable in variables.of_function(conn, owner)
    }
    if deployment is not None:
        deployment = msgspec.structs.replace(deployment, build_logs="")
    return Target(function=function, deployment=deployment, variables=merged)


def _existing(conn: sqlite3.Connection, function_id: str) -> Function:
    function = functions.get(conn, function_id)
    if function is None:
        raise FunctionNotFound
    return function


def _update(
    conn: sqlite3.Connection, function_id: str, settings: FunctionSettings, now: int
) -> Function:
    stored = _existing(conn, function_id)
    changes = {
        name: value for name, value in msgspec.structs.asdict(settings).items() if value is not None
    }
    kept: tuple[str, ...] = ("runtime", "entrypoint")
    if stored.provider_repository_id and settings.provider_repository_id is None:
        kept = (*kept, *_CONNECTION)
    elif stored.provider_repository_id and not settings.provider_repository_id:
        changes.update(dict.fromkeys(_CONNECTION, ""), provider_silent_mode=False)
    for name in kept:
        changes[name] = changes[name] or getattr(stored, name)
    changes["live"] = all(changes[name] == getattr(stored, name) for name in _BUILT_FROM)
    if changes["schedule"]:
        changes.setdefault("interval_minutes", 0)
    function = msgspec.structs.replace(stored, **changes, updated_at=now)
    if (function.schedule, function.interval_minutes) != (stored.schedule, stored.interval_minutes):
        function = msgspec.structs.replace(function, schedule_next=0)
    functions.update(conn, function)
    return function


def _delete(conn: sqlite3.Connection, function_id: str) -> tuple[Function, list[str]]:
    function = _existing(conn, function_id)
    deployment_ids = deployments.of_function(conn, function_id)
    functions.delete(conn, function_id)
    return function, deployment_ids


def _owner(conn: sqlite3.Connection, function_id: str) -> None:
    if function_id:
        _existing(conn, function_id)


def _create_variable(conn: sqlite3.Connection, variable: Variable) -> Variable:
    _owner(conn, variable.function_id)
    created = variables.insert(conn, variable)
    functions.mark_stale(conn, variable.function_id)
    return created


def _get_variable(conn: sqlite3.Connection, function_id: str, variable_id: str) -> Variable:
    _owner(conn, function_id)
    variable = variables.get(conn, function_id, variable_id)
    if variable is None:
        raise VariableNotFound
    return variable


def _list_variables(conn: sqlite3.Connection, function_id: str) -> list[Variable]:
    _owner(conn, function_id)
    return variables.of_function(conn, function_id)


def _page_variables(
    conn: sqlite3.Connection, function_id: str, query: Query, count: bool
) -> Page[Variable]:
    _owner(conn, function_id)
    return variables.page(conn, function_id, query, count=count)


def _update_variable(
    conn: sqlite3.Connection, function_id: str, variable_id: str, change: VariableChange, now: int
) -> Variable:
    stored = _get_variable(conn, function_id, variable_id)
    if stored.secret and change.secret is False:
        raise VariableCannotUnsetSecret
    changes = {
        name: value for name, value in msgspec.structs.asdict(change).items() if value is not None
    }
    variable = msgspec.structs.replace(stored, **changes, updated_at=now)
    variables.update(conn, variable)
    functions.mark_stale(conn, function_id)
    return variable


def _delete_variable(conn: sqlite3.Connection, function_id: str, variable_id: str) -> Variable:
    variable = _get_variable(conn, function_id, variable_id)
    variables.delete(conn, function_id, variable_id)
    functions.mark_stale(conn, function_id)
    return variable
