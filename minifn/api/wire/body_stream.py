"""The body of a request as it arrives: in pieces, or whole in memory taken from a budget."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from starlette.types import Message, Receive

from minifn.errors import ArgumentInvalid
from minifn.host.budget import Budget
from minifn.limits import BODY_LIMIT_BYTES

T = TypeVar("T")

#: Bytes of the longest body that is decoded on the event loop; a thread decodes longer ones.
THREAD_BYTES = 256 * 1024


class BodyTooLong(ArgumentInvalid):
    """The request's body is longer than this server accepts."""


class Arrived:
    """The `receive` of a request whose whole body has arrived, within BODY_LIMIT_BYTES."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __call__(self) -> Message:
        return {"type": "http.request", "body": self.body, "more_body": False}


async def chunks(receive: Receive, limit_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body as it arrives.

    Raises BodyTooLong, or ArgumentInvalid when it is cut short.
    """
    total = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ArgumentInvalid("The request's body ended early.")
        body: bytes = message.get("body", b"")
        total += len(body)
        if total > limit_bytes:
            raise BodyTooLong(f"The request's body is longer than {limit_bytes:,} bytes.")
        more = message.get("more_body", False)
        if body:
            yield body


async def read_bytes(
    receive: Receive, limit_bytes: int = BODY_LIMIT_BYTES, budget: Budget | None = None
) -> bytes:
    """Return the whole body. Its memory is taken from `budget`, and the caller gives it back.

    Raises BodyTooLong, Overloaded when the budget is used up, or ArgumentInvalid when the body is
    cut short.
    """
    if isinstance(receive, Arrived):
        if budget is not None:
            budget.take(len(receive.body))
        return receive.body
    parts = []
    taken = 0
    try:
        async for part in chunks(receive, limit_bytes):
            if budget is not None:
                budget.take(len(part))
                taken += len(part)
            parts.append(part)
    except BaseException:
        if budget is not None:
            budget.give(taken)
        raise
    return b"".join(parts)


async def decoded(body: bytes, step: Callable[[], T]) -> T:
    """Return the result of `step`, which decodes `body`; a thread runs it for a long body."""
    return step() if len(body) <= THREAD_BYTES else await asyncio.to_thread(step)
