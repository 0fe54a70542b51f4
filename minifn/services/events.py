"""Events of an app, delivered to the functions that subscribe to them.

A delivery is a queued execution. It is stored before the emitter gets its answer, so an accepted
event reaches its functions even when the server is killed.
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
from minifn.services.targets import Targets
from minifn.store import functions as function_rows
from minifn.store.database import Database

logger = logging.getLogger("minifn.services.events")

#: Longest chain of functions that trigger each other by events; the next one is stored as failed.
DEPTH_MAX = 10
#: Most events written at once: more wait, so that commits stay short for other writes.
WRITES_MAX = 8


class Events:
    """Emits events: finds the subscribed functions in memory and queues an execution of each."""

    def __init__(self, database: Database, targets: Targets, executions: Executions) -> None:
        self._database = database
        self._executions = executions
        #: Event name -> the functions that subscribe to it; None = must be read.
        self._subscribers: dict[str, list[Function]] | None = None
        self._generation = 0
        #: Many events at once cause one read of the subscribers, not one each.
        self._reading = asyncio.Lock()
        self._turns = asyncio.Semaphore(WRITES_MAX)
        targets.on_change(self._forget)

    async def emit(
        self, event: str, payload: Mapping[str, Any] | bytes, *, user_id: str = "", depth: int = 0
    ) -> int:
        """Queue an execution of every function that subscribes to `event`.

        Return how many were queued, once they are safe. `payload` becomes the body of the
        executions: an object, or JSON. `user_id` is the user who caused the event, `depth` the
        length of the chain of events that led to it. Raises ArgumentInvalid and Overloaded.
        """
        if not event_names.is_event(event):
            raise ArgumentInvalid.for_param(
                "event",
                "Value must be the name of one event, such as orders.42.create, and not one of"
                " functions",
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
        """Queue an execution of each function whose share has room; return how many.

        The others get a failed execution. Raises Overloaded when no share has room.
        """
        crowded = await self._executions.crowded(found, request)
        room = [function for function in found if function.id not in crowded]
        # Without room for any, the event is refused as a whole, and can be emitted again.
        stored = await self._executions.enqueue_each(room or found, request)
        full = [function for function in found if function.id in crowded]
        await self._refuse(
            full, request, "as many executions of the function wait as the limit allows."
        )
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
        """Store failed executions that say why the event did not reach these functions."""
        reason = f"The event {request.event} was not delivered: {why}"
        for function in found:
            logger.warning("function %s was not run: %s", function.id, reason)
            with suppress(FunctionNotFound):
                await self._executions.refuse(function, request, reason)


def by_event(listening: list[Function]) -> dict[str, list[Function]]:
    """Return the functions of each subscribed name."""
    subscribers: dict[str, list[Function]] = {}
    for function in listening:
        for name in dict.fromkeys(function.events):
            subscribers.setdefault(name, []).append(function)
    return subscribers
