"""Variables of functions and of the project: the rules for creating and changing them."""

import sqlite3
from collections.abc import AsyncIterator, Mapping

import msgspec

from minifn.change_feed import Action, ChangeFeed
from minifn.errors import VariableCannotUnsetSecret, VariableNotFound
from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.models import Variable
from minifn.services.functions import existing
from minifn.store import functions, variables
from minifn.store.database import Database
from minifn.store.paging import Page
from minifn.store.queries import Query


class VariableChange(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a variable that a client changes; None keeps a field."""

    key: str | None = None
    value: str | None = None
    secret: bool | None = None
    description: str | None = None


class VariableService:
    """Creates, changes and deletes variables. The function id "" stands for the project."""

    def __init__(self, database: Database, changes: ChangeFeed | None = None) -> None:
        self._database = database
        self._changes = changes or ChangeFeed()

    async def create(
        self,
        function_id: str,
        key: str,
        value: str,
        *,
        secret: bool = False,
        variable_id: str = "",
        description: str = "",
    ) -> Variable:
        """Create a variable, with a new id unless one is given.

        Raises FunctionNotFound and VariableAlreadyExists.
        """
        now = now_ms()
        variable = Variable(
            id=variable_id or new_id(),
            created_at=now,
            updated_at=now,
            function_id=function_id,
            key=key,
            value=value,
            secret=secret,
            description=description,
        )
        created = await self._database.write(_create, variable)
        self._changes.tell("create", created)
        return created

    async def set(
        self, function_id: str, values: Mapping[str, str], *, secret: bool = False
    ) -> None:
        """Create variables, or change their values.

        A secret variable stays one. Raises FunctionNotFound.
        """
        if not values:
            return
        changes = await self._database.write(_set, function_id, values, secret, now_ms())
        for action, variable in changes:
            self._changes.tell(action, variable)

    async def __call__(self, function_id: str = "") -> AsyncIterator[Variable]:
        """Yield the variables of a function, or of the project. Raises FunctionNotFound."""
        for variable in await self._database.read(_all, function_id):
            yield variable

    async def get(self, function_id: str, variable_id: str) -> Variable:
        """Return one variable. Raises FunctionNotFound and VariableNotFound."""
        return await self._database.read(_get, function_id, variable_id)

    async def page(self, function_id: str, query: Query, *, count: bool = True) -> Page[Variable]:
        """Return a page of a function's variables. Raises FunctionNotFound."""
        return await self._database.read_list(_page, function_id, query, count)

    async def update(self, function_id: str, variable_id: str, change: VariableChange) -> Variable:
        """Change a variable.

        Raises FunctionNotFound, VariableNotFound, VariableAlreadyExists and
        VariableCannotUnsetSecret.
        """
        variable = await self._database.write(_update, function_id, variable_id, change, now_ms())
        self._changes.tell("update", variable)
        return variable

    async def delete(self, function_id: str, variable_id: str) -> Variable:
        """Delete and return a variable. Raises FunctionNotFound and VariableNotFound."""
        variable = await self._database.write(_delete, function_id, variable_id)
        self._changes.tell("delete", variable)
        return variable


def _check_owner(conn: sqlite3.Connection, function_id: str) -> None:
    if function_id:
        existing(conn, function_id)


def _create(conn: sqlite3.Connection, variable: Variable) -> Variable:
    _check_owner(conn, variable.function_id)
    created = variables.insert(conn, variable)
    functions.mark_stale(conn, variable.function_id)
    return created


def _all(conn: sqlite3.Connection, function_id: str) -> list[Variable]:
    _check_owner(conn, function_id)
    return variables.of_function(conn, function_id)


def _set(
    conn: sqlite3.Connection, function_id: str, values: Mapping[str, str], secret: bool, now: int
) -> list[tuple[Action, Variable]]:
    known = {variable.key: variable for variable in _all(conn, function_id)}
    changes: list[tuple[Action, Variable]] = []
    for key, value in values.items():
        stored = known.get(key)
        if stored is None:
            new = Variable(
                id=new_id(),
                created_at=now,
                updated_at=now,
                function_id=function_id,
                key=key,
                value=value,
                secret=secret,
            )
            changes.append(("create", variables.insert(conn, new)))
        elif stored.value != value or (secret and not stored.secret):
            changed = msgspec.structs.replace(
                stored, value=value, secret=secret or stored.secret, updated_at=now
            )
            variables.update(conn, changed)
            changes.append(("update", changed))
    if changes:
        functions.mark_stale(conn, function_id)
    return changes


def _get(conn: sqlite3.Connection, function_id: str, variable_id: str) -> Variable:
    _check_owner(conn, function_id)
    variable = variables.get(conn, function_id, variable_id)
    if variable is None:
        raise VariableNotFound
    return variable


def _page(conn: sqlite3.Connection, function_id: str, query: Query, count: bool) -> Page[Variable]:
    _check_owner(conn, function_id)
    return variables.page(conn, function_id, query, count=count)


def _update(
    conn: sqlite3.Connection, function_id: str, variable_id: str, change: VariableChange, now: int
) -> Variable:
    stored = _get(conn, function_id, variable_id)
    if stored.secret and change.secret is False:
        raise VariableCannotUnsetSecret
    changes = {
        name: value for name, value in msgspec.structs.asdict(change).items() if value is not None
    }
    variable = msgspec.structs.replace(stored, **changes, updated_at=now)
    variables.update(conn, variable)
    functions.mark_stale(conn, function_id)
    return variable


def _delete(conn: sqlite3.Connection, function_id: str, variable_id: str) -> Variable:
    variable = _get(conn, function_id, variable_id)
    variables.delete(conn, function_id, variable_id)
    functions.mark_stale(conn, function_id)
    return variable
