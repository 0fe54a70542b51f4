"""Deno in the contract; its programs are those of Bun."""

from tests.runtimes.contract.table import Difference, Family, failed

FAMILY = Family(
    key="deno",
    entry="main.ts",
    differs={
        "a header cannot add lines": Difference(
            because="as in Node.js: a header with such a value is refused",
            answers=(failed(says=("x-bad",)),),
        ),
    },
)
