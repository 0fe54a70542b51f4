"""Deno in the contract; its programs are those of Bun."""

from tests.runtimes.contract.table import Broken, Difference, Family, failed

CACHED = "the build runs `deno cache`, which parses the modules that it looks for"

FAMILY = Family(
    key="deno",
    entry="main.ts",
    differs={
        "a header cannot add lines": Difference(
            because="the wrapper is that of Node.js, which refuses a header with such a value",
            answers=(failed(says=("x-bad",)),),
        ),
        "missing entry": Difference(because=CACHED, outcome=Broken(says=("{entry}",))),
        "syntax": Difference(because=CACHED, outcome=Broken(says=("{entry}:1:5",))),
        "broken_sibling": Difference(because=CACHED, outcome=Broken(says=("sibling.ts:1:5",))),
        "missing_module": Difference(because=CACHED, outcome=Broken(says=("notthereatall",))),
    },
)
