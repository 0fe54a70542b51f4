"""Targets: functions with their deployments and variables, in memory until a commit."""

import sqlite3
from collections.abc import Callable

import msgspec

from minifn.errors import FunctionNotFound
from minifn.models import Target
from minifn.process_env import merge_variables
from minifn.store import deployments, functions, variables
from minifn.store.database import Database


class Targets:
    """The targets of the functions that were asked for, and news of their changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._targets: dict[str, Target] = {}
        self._generation = 0
        self._listeners: list[Callable[[str], None]] = []
        database.subscribe(self._forget)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Have `listener(function_id)` called after each committed change; "" = every function."""
        self._listeners.append(listener)

    async def of(self, function_id: str) -> Target:
        """Return the target; does not suspend when it is in memory. Raises FunctionNotFound."""
        target = self._targets.get(function_id)
        while target is None:
            generation = self._generation
            target = await self._database.read(_read, function_id)
            if target is None:
                raise FunctionNotFound
            # A change that was committed during the read may be missing from it.
            if generation == self._generation:
                self._targets[function_id] = target
        return target

    def _forget(self, function_ids: set[str]) -> None:
        self._generation += 1
        if "" in function_ids:
            self._targets.clear()
        for function_id in function_ids:
            self._targets.pop(function_id, None)
            for listener in self._listeners:
                listener(function_id)


def _read(conn: sqlite3.Connection, function_id: str) -> Target | None:
    function = functions.get(conn, function_id)
    if function is None:
        return None
    deployment = None
    if function.deployment_id:
        deployment = deployments.get(conn, function_id, function.deployment_id)
    if deployment is not None:
        deployment = msgspec.structs.replace(deployment, build_logs="")
    owned = [
        variable for owner in ("", function_id) for variable in variables.of_function(conn, owner)
    ]
    return Target(function=function, deployment=deployment, variables=merge_variables(owned))
