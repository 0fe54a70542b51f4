"""Node.js in the contract."""

from tests.runtimes.contract.table import Difference, Family, failed

FAMILY = Family(
    key="node",
    entry="main.js",
    differs={
        "a header cannot add lines": Difference(
            because="Node.js refuses a header with such a value, so the answer cannot be sent",
            answers=(failed(says=("x-bad",)),),
        ),
    },
)
