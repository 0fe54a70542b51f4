"""The contract of handlers in every language of this machine, by one table."""

import dataclasses

import httpx
import pytest

from minifn.models import Deployment
from tests.runtimes.contract.requests import LARGE
from tests.runtimes.contract.rows import ROWS
from tests.runtimes.contract.site import Site
from tests.runtimes.contract.table import CONTRACT, Answer, Broken, Case, Load
from tests.runtimes.families import families
from tests.workers.harness import Caller


def rows() -> list[object]:
    """Return a parameter for each family, entry and row that it can have."""
    found: list[object] = []
    for family in families():
        for row in ROWS:
            if row.name not in family.cannot:
                # What all functions of a compiler share takes it up to a minute of processor time.
                slow = family.compiled or row.slow or row.name in family.slow
                marks = pytest.mark.slow if slow else ()
                label = f"{family.key}-{row.name}"
                found.append(pytest.param(family, row, "", id=label, marks=marks))
                found.extend(
                    pytest.param(family, row, entry, id=f"{label}, {entry}", marks=marks)
                    for entry, names in family.entries.items()
                    if row.name in names
                )
    return found


@pytest.mark.parametrize(("site", "row", "entry"), rows(), indirect=["site"])
def test_contract(site: Site, row: Case | Load, entry: str) -> None:
    """A row comes out as the table says; `entry` is another entry of the program, "" for its."""
    site.run(play(site, row, entry) if isinstance(row, Case) else play_load(site, row))


@pytest.mark.parametrize(
    "site",
    [
        pytest.param(one, id=f"{one.key}-17 MB", marks=pytest.mark.slow if one.compiled else ())
        for one in families()
    ],
    indirect=True,
)
def test_large_bodies_by_a_domain(site: Site) -> None:
    async def send() -> None:
        host = f"http://{CONTRACT}.{site.server.config.functions_domain}"
        transport = httpx.ASGITransport(site.server.app)
        async with httpx.AsyncClient(transport=transport, base_url=host, timeout=30) as client:
            answer = await client.put("/body-binary", content=LARGE)
            same = answer.content == LARGE
            assert (answer.status_code, same) == (200, True), answer.text[:500]

    site.run(site.built(CONTRACT))
    site.run(send())


def test_families_speak_of_rows() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    for family in families():
        told = {*family.differs, *family.cannot, *family.slow}
        told |= {name for names in family.entries.values() for name in names}
        assert told <= set(names), (family.key, told - set(names))


async def play(site: Site, case: Case, entry: str) -> None:
    """Play a row; workers of its own end with it."""
    if case.confined and site.server.engine.name == "none":
        pytest.skip("the engine none confines nothing")
    variables = dict(case.variables)
    if entry:
        variables["OPEN_RUNTIMES_ENTRYPOINT"] = f"src/{entry}"
    own = f"{case.name} {entry}" if variables or not case.shared else ""
    call = await site.caller(own=own, variables=variables)
    try:
        if case.story is not None:
            await case.story(call)
        await check_calls(site, case, call, entry or site.family.entry)
    finally:
        if own:
            call.pool.drop(call.spec.key)


async def check_calls(site: Site, case: Case, call: Caller, entry: str) -> None:
    difference = site.family.differs.get(case.name)
    others = difference.answers if difference else ()
    file = site.family.programs() / CONTRACT / "src" / entry
    for number, one in enumerate(case.calls):
        other = others[number] if number < len(others) else None
        (other or one.answer).check(await call(one.path, **one.request), file)


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
    if load.prewarmed:
        call.pool.prewarm(call.spec)
    seen = []
    for expected in outcome if isinstance(outcome, tuple) else 3 * (outcome,):
        seen.append(await call(seconds=0.5 if expected.failure == "timeout" else 10))
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
    """Return the lines of a build's log, without times and the deployment's own path."""
    log = deployment.build_logs.replace(deployment.id, "deployment")
    return [line.partition("] ")[2] or line for line in log.splitlines()]
