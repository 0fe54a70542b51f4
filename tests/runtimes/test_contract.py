"""The contract of handlers in every language of this machine, by one table."""

import dataclasses

import pytest

from minifn.models import Deployment
from tests.runtimes.contract.rows import ROWS
from tests.runtimes.contract.site import Site
from tests.runtimes.contract.table import CONTRACT, Answer, Broken, Case, Load
from tests.runtimes.families import families
from tests.workers.harness import Caller


def rows() -> list[object]:
    """Return a parameter for each family and row that it can have."""
    found: list[object] = []
    for family in families():
        for row in ROWS:
            if row.name not in family.cannot:
                slow = row.name in family.slow or row.slow
                marks = pytest.mark.slow if slow else ()
                found.append(pytest.param(family, row, id=f"{family.key}-{row.name}", marks=marks))
    return found


@pytest.mark.parametrize(("site", "row"), rows(), indirect=["site"])
def test_contract(site: Site, row: Case | Load) -> None:
    site.run(play(site, row) if isinstance(row, Case) else play_load(site, row))


async def play(site: Site, case: Case) -> None:
    """Play a row; workers of its own end with it."""
    own = case.name if case.variables or not case.shared else ""
    call = await site.caller(own=own, variables=case.variables)
    try:
        if case.story is not None:
            await case.story(call)
        await check_calls(site, case, call)
    finally:
        if own:
            call.pool.drop(call.spec.key)


async def check_calls(site: Site, case: Case, call: Caller) -> None:
    difference = site.family.differs.get(case.name)
    others = difference.answers if difference else ()
    entry = site.family.programs() / CONTRACT / site.family.entry_of(CONTRACT)
    for number, one in enumerate(case.calls):
        other = others[number] if number < len(others) else None
        (other or one.answer).check(await call(one.path, **one.request), entry)


async def play_load(site: Site, load: Load) -> None:
    """Build a program twice, or call it three times: the outcome is the same."""
    family, program = site.family, load.program or load.name
    entry = f"{load.entry}.{family.suffix}" if load.entry else ""
    shown = entry or family.entry_of(program)
    difference = family.differs.get(load.name)
    outcome = load.compiled if family.compiled else load.outcome
    outcome = (difference and difference.outcome) or outcome
    if isinstance(outcome, Broken):
        builds = [await site.built(program, entry), await site.build_again(program, entry)]
        for one in builds:
            assert one.status == "failed", one.build_logs
            for text in outcome.says:
                assert text.replace("{entry}", shown) in one.build_logs, one.build_logs
        assert explanation(builds[0]) == explanation(builds[1])
        return
    call = await site.caller(program, entry, own=load.name)
    seen = []
    for expected in outcome if isinstance(outcome, tuple) else 3 * (outcome,):
        seen.append(await call(seconds=1 if expected.failure == "timeout" else 10))
        told = dataclasses.replace(
            expected,
            errors=expected.errors.replace("{entry}", shown),
            says=tuple(text.replace("{entry}", shown) for text in expected.says),
        )
        told.check(seen[-1], family.programs() / program / shown)
    call.pool.drop(call.spec.key)
    if isinstance(outcome, Answer):
        assert len({answer.errors for answer in seen}) == 1


def explanation(deployment: Deployment) -> list[str]:
    """Return the lines of a build's log, without times."""
    return [line.partition("] ")[2] or line for line in deployment.build_logs.splitlines()]
