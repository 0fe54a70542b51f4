"""Spares of the languages whose programs need a build: tests/workers has those of the others."""

import os

import pytest

from tests.runtimes.contract.site import Site
from tests.runtimes.families import families

pytestmark = pytest.mark.usefixtures("bwrap")


@pytest.mark.parametrize(
    "site",
    [pytest.param(one, id=one.key) for one in families() if one.key in ("java", "kotlin")],
    indirect=True,
)
def test_a_worker_takes_the_spare_which_loads_the_function_then(site: Site) -> None:
    async def story() -> None:
        call = await site.caller("prints", own="spare")
        pool = call.pool
        try:
            await call()
            await call.until(lambda: pool.templates.of(call.spec) is not None)
            spare = pool.templates.of(call.spec)
            assert spare is not None
            assert spare.process is not None
            pid = spare.process.pid
            (before,) = (one for one in pool._alive if one.spec.key == call.spec.key)
            os.kill(before.pid, 9)
            await call.until(lambda: before not in pool._alive)
            answer = await call()
            assert (answer.body, answer.logs.splitlines()[-1]) == (b"1", "loaded")
            assert [one.pid for one in pool._alive if one.spec.key == call.spec.key] == [pid]
        finally:
            pool.drop(call.spec.key)

    site.run(story())


@pytest.mark.parametrize(
    "site",
    [pytest.param(one, id=one.key) for one in families() if one.key in ("cpp", "go", "rust")],
    indirect=True,
)
def test_a_compiled_program_has_no_spare(site: Site) -> None:
    """It would run the function's own initializers long before a call."""

    async def story() -> None:
        call = await site.caller(own="spare")
        assert (await call("/text")).status_code == 200
        assert not call.pool.templates.want(call.spec)
        call.pool.drop(call.spec.key)

    site.run(story())
