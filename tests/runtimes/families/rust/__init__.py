"""Rust in the contract."""

from tests.runtimes.contract.requests import LINE, mirrored
from tests.runtimes.contract.table import Answer, Difference, Family

TYPED = "a handler returns a Response, which the compiler checks"
NOT_LOADED = "nothing of a crate runs before its handler is called"
#: The type of bytes without another one.
BYTES = ("content-type", "application/octet-stream; charset=utf-8")

FAMILY = Family(
    key="rust",
    entry="main.rs",
    compiled=True,
    differs={
        "request line": Difference(
            because="Open Runtimes' server for Rust decodes the values of the query",
            answers=(mirrored(**{**LINE.value, "query": {**LINE.value["query"], "a": "A+"}}),),
        ),
        "binary": Difference(
            because="types-for-rust gives bytes a type",
            answers=(Answer(body=bytes(range(256)), headers=(BYTES,)),),
        ),
        "send": Difference(
            because="types-for-rust's send has no status", answers=(Answer(body=b"sent"),)
        ),
        "values in logs": Difference(
            because="log takes one value",
            answers=(
                Answer(
                    status=204,
                    logs='text\n1\n[1,{"a":"b"}]\ntrue\n\n',
                    errors='broken\n{"code":5}\n',
                ),
            ),
        ),
    },
    cannot={
        "a status as text": TYPED,
        "missing return": TYPED,
        "text returned": TYPED,
        "a number returned": TYPED,
        "raises": NOT_LOADED,
        "endless": NOT_LOADED,
        "prints": NOT_LOADED,
        "prints before the first call": NOT_LOADED,
        "second_try": NOT_LOADED,
    },
)
