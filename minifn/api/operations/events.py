"""Events of an app outside: the functions that subscribe to them run."""

import contextlib
from typing import Annotated, Any

import msgspec
from starlette.types import ASGIApp

from minifn import event_names
from minifn.api.wire.answers import json_answer
from minifn.api.wire.operation import EVENTS_WRITE, Call, Operation
from minifn.api.wire.params import Limits, Params, Text
from minifn.errors import Overloaded

#: Most characters of an event's name.
_NAME_MAX_CHARS = 256


class HappenedEvent:
    """The name of one event, without wildcards."""

    def check(self, value: Any, limits: Limits) -> str:
        if isinstance(value, str) and len(value) <= _NAME_MAX_CHARS and event_names.is_event(value):
            return value
        raise ValueError(
            "Value must be the name of an event without wildcards, and not one of functions"
        )

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "maxLength": _NAME_MAX_CHARS, "example": "orders.42.create"}


class JsonObject:
    """An object, returned as JSON for the functions."""

    def check(self, value: Any, limits: Limits) -> bytes:
        if isinstance(value, dict):
            # Encoding can nest a few frames deeper than the decoding that succeeded.
            with contextlib.suppress(RecursionError):
                return msgspec.json.encode(value)
        raise ValueError("Value must be a valid JSON object that does not nest too deep")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "object"}


class CreateEvent(Params, frozen=True, kw_only=True):
    """An event's name and payload, and the user who caused it."""

    event: Annotated[str, HappenedEvent()]
    payload: Annotated[bytes, JsonObject()] = b"{}"
    user_id: Annotated[str, Text(36, 0)] = ""


async def create(call: Call, params: CreateEvent) -> ASGIApp:
    """Queue an execution of every function that subscribes to the event."""
    total = await call.parts.events.emit(
        params.event, params.payload, user_id=params.user_id, depth=call.caller.depth
    )
    return json_answer({"total": total}, 202)


OPERATIONS = (
    Operation(
        name="events.create",
        method="POST",
        path="/events",
        scopes=EVENTS_WRITE,
        params=CreateEvent,
        handler=create,
        statuses=(202,),
        errors=(Overloaded,),
    ),
)
