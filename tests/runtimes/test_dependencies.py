"""Functions of compiled languages that have more than their own package, without network."""

import pytest

from tests.runtimes.contract.site import Site
from tests.runtimes.contract.table import Answer, failed
from tests.runtimes.families import go, rust


@pytest.mark.parametrize("site", [go.FAMILY], indirect=True, ids=["go"])
def test_vendored_modules_and_a_replaced_one(site: Site) -> None:
    async def check() -> None:
        call = await site.caller("vendored")
        Answer(body=b"vendored and local").check(await call(), site.family.programs())

    site.run(check())


# Cargo compiles the shared crates once more for the function.
@pytest.mark.slow
@pytest.mark.parametrize("site", [rust.FAMILY], indirect=True, ids=["rust"])
def test_a_crate_of_the_upload(site: Site) -> None:
    async def check() -> None:
        call = await site.caller("own_crate")
        entry = site.family.programs() / "own_crate" / "main.rs"
        Answer(body=b"near").check(await call(), entry)
        failed(says=("went wrong",), at="went wrong").check(await call("/raise"), entry)

    site.run(check())
