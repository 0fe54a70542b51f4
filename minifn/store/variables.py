"""Environment variables of functions, and of the project (function id "").

Records have plain values; rows have them encrypted, by the SQL functions of `cipher.equip`.
"""

import dataclasses
import sqlite3

import msgspec

from minifn.errors import VariableAlreadyExists
from minifn.models import Variable
from minifn.store.cipher import VariablesKeyError
from minifn.store.conditions import Condition
from minifn.store.paging import Page, page as list_page
from minifn.store.plans import Scope
from minifn.store.queries import Query
from minifn.store.table import Table

TABLE = Table("variables", Variable)


def insert(conn: sqlite3.Connection, variable: Variable) -> Variable:
    """Insert and return `variable` with its sequence.

    Raises VariableAlreadyExists for a taken id or key.
    """
    try:
        inserted = TABLE.insert(conn, _sealed(conn, variable))
    except sqlite3.IntegrityError as exc:
        raise VariableAlreadyExists from exc
    return msgspec.structs.replace(variable, sequence=inserted.sequence)


def get(conn: sqlite3.Connection, function_id: str, variable_id: str) -> Variable | None:
    """Return one variable of a function."""
    variable = TABLE.first(conn, "id = ? AND function_id = ?", variable_id, function_id)
    return None if variable is None else _opened(conn, variable)


def update(conn: sqlite3.Connection, variable: Variable) -> bool:
    """Overwrite a variable's row; return False if it does not exist.

    Raises VariableAlreadyExists for a taken key.
    """
    try:
        return TABLE.update(conn, _sealed(conn, variable))
    except sqlite3.IntegrityError as exc:
        raise VariableAlreadyExists from exc


def delete(conn: sqlite3.Connection, function_id: str, variable_id: str) -> bool:
    """Delete one variable of a function; return False if it does not exist."""
    sql = "DELETE FROM variables WHERE id = ? AND function_id = ?"
    return conn.execute(sql, (variable_id, function_id)).rowcount > 0


def of_function(conn: sqlite3.Connection, function_id: str) -> list[Variable]:
    """Return every variable of a function in order of creation."""
    return [
        _opened(conn, one)
        for one in TABLE.all(conn, "function_id = ? ORDER BY sequence", function_id)
    ]


def of_functions(conn: sqlite3.Connection, function_ids: list[str]) -> dict[str, list[Variable]]:
    """Return the variables of several functions at once, by function."""
    found: dict[str, list[Variable]] = {function_id: [] for function_id in function_ids}
    marks = ", ".join("?" * len(function_ids))
    for variable in TABLE.all(conn, f"function_id IN ({marks}) ORDER BY sequence", *function_ids):
        found[variable.function_id].append(_opened(conn, variable))
    return found


def page(
    conn: sqlite3.Connection, function_id: str, query: Query, *, count: bool = True
) -> Page[Variable]:
    """Return a page of a function's variables."""
    scope = Scope(Condition("function_id = ?", (function_id,)))
    found = list_page(conn, TABLE, query, scope, count=count)
    return dataclasses.replace(found, items=tuple(_opened(conn, one) for one in found.items))


def _sealed(conn: sqlite3.Connection, variable: Variable) -> Variable:
    (value,) = conn.execute("SELECT seal(?, ?)", (variable.value, variable.id)).fetchone()
    return msgspec.structs.replace(variable, value=value)


def _opened(conn: sqlite3.Connection, variable: Variable) -> Variable:
    (value,) = conn.execute("SELECT unseal(?, ?)", (variable.value, variable.id)).fetchone()
    if value is None:
        raise VariablesKeyError(
            f"the variable {variable.id} cannot be decrypted: another program changed its row"
        )
    return msgspec.structs.replace(variable, value=value)
