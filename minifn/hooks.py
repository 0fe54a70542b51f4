"""Calls from lower parts to higher ones: one record, filled by `parts.py` and handed down."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from minifn.models import Deployment, Function


def nothing(*_: object) -> None:
    """Do nothing: the hook of a part that runs without the others."""


async def nothing_async(*_: object) -> None:
    """Do nothing, as a coroutine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """The upward calls. The defaults do nothing."""

    #: Called when a deployment waits for its build.
    build: Callable[[], None] = nothing
    #: Ends the build of this deployment, if it runs, and removes its files.
    interrupt: Callable[[str], Awaitable[None]] = nothing_async
    #: Stops the workers of this deleted deployment.
    retire: Callable[[str], Awaitable[None]] = nothing_async
    #: Removes what the nodes of a cluster keep for this deleted function.
    forget: Callable[[str], None] = nothing
    #: Starts a worker for a function's newly active deployment.
    prewarm: Callable[[Function, Deployment], None] = nothing
    #: Called when an execution was stored that is due later.
    scheduled: Callable[[], None] = nothing
