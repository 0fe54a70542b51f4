"""Calls from lower parts to higher ones: one record, filled by `parts.py` and handed down."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from minifn.models import Deployment, Function


def nothing(*_: object) -> None:
    """Do nothing: the call of a part that stands alone."""


async def nothing_async(*_: object) -> None:
    """Do nothing, as a coroutine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """The upward calls. The defaults do nothing."""

    #: A deployment waits for its build.
    build: Callable[[], None] = nothing
    #: The build of this deployment ends, if it runs, and leaves nothing behind.
    interrupt: Callable[[str], Awaitable[None]] = nothing_async
    #: The workers of this deleted deployment stop.
    retire: Callable[[str], Awaitable[None]] = nothing_async
    #: A worker starts for a function's newly active deployment.
    prewarm: Callable[[Function, Deployment], None] = nothing
    #: An execution was stored that is due later.
    scheduled: Callable[[], None] = nothing
