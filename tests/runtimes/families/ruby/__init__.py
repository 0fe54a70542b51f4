"""Ruby in the contract."""

from tests.runtimes.contract.table import Answer, Difference, Family

FAMILY = Family(
    key="ruby",
    entry="main.rb",
    differs={
        "text that is not UTF-8": Difference(
            because="Ruby's strings are bytes, and `body_text` is the body as it came",
            answers=(Answer(body=b"a\xffb"),),
        ),
    },
    cannot={
        "32 waiting calls overlap": "a worker runs one call at a time; more workers start instead",
    },
)
