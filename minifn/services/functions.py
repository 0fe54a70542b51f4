"""Functions: the rules for creating, changing and deleting them."""

import sqlite3
from collections.abc import AsyncIterator, Collection

import msgspec

from minifn.change_feed import Action, ChangeFeed
from minifn.errors import ArgumentInvalid, FunctionNotFound, InstallationNotFound
from minifn.git_names import folder, is_reference, is_repository
from minifn.instants import now_ms
from minifn.models import Function
from minifn.store import deployments, functions, usage, variables
from minifn.store.database import Database
from minifn.store.paging import Page
from minifn.store.queries import Query


class FunctionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a function that a client sends.

    In an update None keeps a setting, and "" keeps the runtime and the entrypoint.
    """

    name: str
    runtime: str = ""
    description: str | None = None
    execute: tuple[str, ...] = ()
    enabled: bool = True
    logging: bool = True
    scopes: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    schedule: str = ""
    #: None keeps the interval, unless a schedule replaces it.
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


#: Settings of which the active deployment has a copy: changing one makes the function not live.
_BUILT_FROM = ("name", "entrypoint", "commands", "provider_root_directory", "runtime")

#: The settings of a function's connection to a repository, cleared by disconnecting.
_CONNECTION = (
    "installation_id",
    "provider_branch",
    "provider_root_directory",
    "provider_silent_mode",
)


class FunctionService:
    """Creates, changes and deletes functions, which may name one of the git `installations`."""

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

    async def create(
        self, function_id: str, settings: FunctionSettings, reach: tuple[str, ...] = ()
    ) -> Function:
        """Create a function, whose own key is restricted to `reach`.

        Raises InstallationNotFound, ArgumentInvalid and FunctionAlreadyExists.
        """
        self._check_provider(settings)
        now = now_ms()
        fields = {
            name: value
            for name, value in msgspec.structs.asdict(settings).items()
            if value is not None
        }
        function = Function(id=function_id, created_at=now, updated_at=now, reach=reach, **fields)
        return await self._told("create", await self._database.write(functions.insert, function))

    async def get(self, function_id: str) -> Function:
        """Return one function. Raises FunctionNotFound."""
        return await self._database.read(existing, function_id)

    async def __call__(self) -> AsyncIterator[Function]:
        """Yield every function in order of creation."""
        for function in await self._database.read(functions.every):
            yield function

    async def update(self, function_id: str, settings: FunctionSettings) -> Function:
        """Change the settings of a function.

        Raises FunctionNotFound, InstallationNotFound and ArgumentInvalid.
        """
        stored = await self.get(function_id)
        self._check_provider(settings)
        if settings.runtime_specification not in (None, stored.runtime_specification):
            # Earlier executions are counted with the memory that they ran with.
            await usage.catch_up(self._database)
        return await self._told(
            "update", await self._database.write(_update, function_id, settings, now_ms())
        )

    async def delete(self, function_id: str) -> tuple[Function, list[str]]:
        """Delete a function; return it and the ids of its deployments.

        The caller removes their files. Raises FunctionNotFound.
        """
        function, deployment_ids = await self._database.write(_delete, function_id)
        self._changes.tell("delete", function)
        return function, deployment_ids

    async def confine(self, function_id: str, reach: tuple[str, ...]) -> None:
        """Give a function's own key the restriction of the key that changes the function.

        Otherwise that key's owner could have the function touch others. It lasts as long as the
        function, because its code does.
        """
        await self._database.write(functions.confine, function_id, reach)

    async def page(
        self, query: Query, reach: tuple[str, ...] = (), *, count: bool = True
    ) -> Page[Function]:
        """Return a page of the functions within `reach`."""
        return await self._database.read_list(functions.page, query, reach, count=count)

    async def _told(self, action: Action, function: Function) -> Function:
        """Publish a change of a function, and return the function."""
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


def existing(conn: sqlite3.Connection, function_id: str) -> Function:
    """Return a function. Raises FunctionNotFound."""
    function = functions.get(conn, function_id)
    if function is None:
        raise FunctionNotFound
    return function


def _update(
    conn: sqlite3.Connection, function_id: str, settings: FunctionSettings, now: int
) -> Function:
    stored = existing(conn, function_id)
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
    function = existing(conn, function_id)
    deployment_ids = deployments.of_function(conn, function_id)
    functions.delete(conn, function_id)
    return function, deployment_ids
