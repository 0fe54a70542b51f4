"""Events: what happens in an app, delivered to the functions that subscribe to it.

A delivery is a queued execution, and is stored before whoever emits is told so: an event that was accepted reaches its
functions even when the server is killed.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from minifn import event_names
from minifn.errors import ArgumentInvalid, FunctionNotFound
from minifn.models import ExecutionRequest, Function
from minifn.services.executions import Executions
from minifn.services.functions import FunctionService
from minifn.store import functions as function_rows
from minifn.store.database import Database

logger = logging.getLogger("minifn.services.events")

#: An execution that so many executions caused by events lie behind is a loop, and is not run.
DEPTH_MAX = 10
#: Events written at once. A storm waits its turn here, so that a commit stays short for everybody else.
WRITES_MAX = 8


class Events:
    """Emits events: finds the functions that listen, in memory, and queues an execution of each."""

    def __init__(
        self, database: Database, functions: FunctionService, executor: Executions
    ) -> None:
        self._database = database
        self._executor = executor
        #: Name -> the functions that subscribe to it, by their names; None until it is read (again).
        self._subscribers: dict[str, list[Function]] | None = None
        self._generation = 0
        #: One reads them for all who wait: a storm must not begin with a read of each of its events.
        self._reading = asyncio.Lock()
        self._turns = asyncio.Semaphore(WRITES_MAX)
        functions.on_change(self._forget)

    async def emit(
        self, event: str, payload: Mapping[str, Any] | bytes, *, user_id: str = "", depth: int = 0
    ) -> int:
        """Queue an execution of every function that subscribes to `event`, and return how many once they are safe.

        `payload` is the body the functions are given: an object that becomes JSON, or JSON already. `user_id` is who
        caused the event, `depth` how many executions caused by events led to it. Raises ArgumentInvalid.
        """
        if not event_names.is_event(event):
            raise ArgumentInvalid.for_param(
                "event",
                "Value must be the name of one event, such as orders.42.create, and not one of functions",
            )
        found = await self._listening(event)
        if not found:
            return 0
        request = ExecutionRequest(
            body=payload if isinstance(payload, bytes) else msgspec.json.encode(payload),
            user_id=user_id,
            event=event,
            depth=depth + 1,
        )
        async with self._turns:
            if depth >= DEPTH_MAX:
                await self._refuse(
                    found, request, f"{DEPTH_MAX} executions caused by events led to it."
                )
                return 0
            return await self._deliver(found, request)

    async def _deliver(self, found: list[Function], request: ExecutionRequest) -> int:
        """Queue an execution of each function; return how many. Raises Overloaded when there is no room for any."""
        crowded = await self._executor.crowded(found, request)
        room = [function for function in found if function.id not in crowded]
        # Without any it is refused as a whole, and can be emitted again.
        stored = await self._executor.enqueue_each(room or found, request)
        full = [function for function in found if function.id in crowded]
        await self._refuse(full, request, "as many executions of the function wait as may.")
        return len(stored)

    async def _listening(self, event: str) -> list[Function]:
        subscribers = self._subscribers
        if subscribers is None:
            async with self._reading:
                while (subscribers := self._subscribers) is None:
                    generation = self._generation
                    read = by_event(await self._database.read(function_rows.listening))
                    if generation == self._generation:
                        self._subscribers = read
        found = [
            function
            for name in event_names.names(event.split("."))
            for function in subscribers.get(name, ())
        ]
        once = {function.id: function for function in found}
        return sorted(once.values(), key=lambda function: (function.name, function.sequence))

    def _forget(self, function_id: str) -> None:
        self._generation += 1
        self._subscribers = None

    async def _refuse(self, found: list[Function], request: ExecutionRequest, why: str) -> None:
        """Store failed executions that say why the event did not reach these functions.

        Such as the end of a loop of functions that cause one another's events.
        """
        reason = f"The event {request.event} was not delivered: {why}"
        for function in found:
            logger.warning("function %s was not run: %s", function.id, reason)
            with suppress(FunctionNotFound):
                await self._executor.refuse(function, request, reason)


def by_event(listening: list[Function]) -> dict[str, list[Function]]:
    """Return the functions of each subscribed name."""
    subscribers: dict[str, list[Function]] = {}
    for function in listening:
        for name in dict.fromkeys(function.events):
            subscribers.setdefault(name, []).append(function)
    return subscribers
