"""Checks that executions of every version share: the body, and which functions a caller may run."""

from typing import Any

from minifn.api.wire.operation import Call
from minifn.api.wire.params import Limits
from minifn.errors import FunctionNotFound, UserUnauthorized
from minifn.models import Target
from minifn.services.executions import check_ready

#: Most characters of a body; bytes in multipart requests.
BODY_MAX_CHARS = 10_485_760


class Body:
    """A body for a function, returned as bytes: text, or bytes in a multipart request."""

    def __init__(self, maximum: int = BODY_MAX_CHARS) -> None:
        self._maximum = maximum

    def check(self, value: Any, limits: Limits) -> bytes:
        if isinstance(value, str | bytes) and len(value) <= self._maximum:
            return value.encode() if isinstance(value, str) else value
        raise ValueError(f"Value must be a valid string and no longer than {self._maximum} chars")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "maxLength": self._maximum}


async def visible(call: Call, function_id: str) -> Target:
    """Return a function with what it needs to run.

    Raises FunctionNotFound, for clients also when the function is disabled.
    """
    target = await call.parts.functions.target(function_id)
    if not target.function.enabled and not call.caller.privileged:
        raise FunctionNotFound
    return target


async def permitted(call: Call, function_id: str) -> Target:
    """Return a function that can run and that the caller may execute.

    Raises FunctionNotFound, DeploymentNotFound, BuildNotReady and UserUnauthorized, in this order.
    """
    target = await visible(call, function_id)
    check_ready(target)
    caller = call.caller
    if not caller.privileged and caller.roles.isdisjoint(target.function.execute):
        raise UserUnauthorized(
            "No permissions provided for action 'execute': the function's execute access excludes"
            " you."
        )
    return target
