"""Bun in the contract; its programs are in TypeScript."""

from tests.runtimes.contract.table import Difference, Family, failed

FAMILY = Family(
    key="bun",
    entry="main.ts",
    differs={
        "a header cannot add lines": Difference(
            because="the wrapper is that of Node.js, which refuses a header with such a value",
            answers=(failed(says=("x-bad",)),),
        ),
    },
)
