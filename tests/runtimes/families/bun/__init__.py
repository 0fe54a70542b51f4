"""Bun in the contract; its programs are in TypeScript."""

from tests.runtimes.contract.table import Difference, Family, failed

FAMILY = Family(
    key="bun",
    entry="main.ts",
    differs={
        "a header cannot add lines": Difference(
            because="as in Node.js: a header with such a value is refused",
            answers=(failed(says=("x-bad",)),),
        ),
    },
)
