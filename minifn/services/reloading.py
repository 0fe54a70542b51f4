"""Replaces running workers by ones with the present code of a folder."""

import asyncio

from minifn.languages import RuntimeUnavailable
from minifn.models import Target
from minifn.workers.pool import Pool
from minifn.workers.specs import WorkerSpecs

#: Seconds that the import of a function may take.
LOAD_SECONDS = 60.0


async def reload(pool: Pool, specs: WorkerSpecs, target: Target) -> str:
    """Have a target's workers replaced once one with the present code has imported the function.

    The target has a deployment that is in `specs.live`. Calls in flight end in the old workers.
    Return why the code does not load, "" for success; without success the old workers go on.
    """
    assert target.deployment is not None
    live = specs.live[target.deployment.id]
    live.is_current = False
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def tell(text: str) -> None:
        if not outcome.done():
            outcome.set_result(text)

    try:
        old = specs.of(target)
        spec = specs.renewed(target, tell)
    except RuntimeUnavailable as exc:
        return str(exc)
    if not pool.prewarm(spec):
        return "No worker was started, because the server is short of memory."
    try:
        problem = await asyncio.wait_for(outcome, LOAD_SECONDS)
    except TimeoutError:
        problem = f"The function was not imported within {LOAD_SECONDS:g} s."
    if problem:
        pool.drop(spec.key)
        return problem
    specs.renew(target, spec)
    live.is_current = True
    pool.drop(old.key)
    return ""
