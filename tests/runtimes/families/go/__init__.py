"""Go in the contract."""

from tests.runtimes.contract.requests import LINE, QUERY, mirrored
from tests.runtimes.contract.table import Answer, Difference, Family, failed

TYPED = "a handler returns a Response, which the compiler checks"

FAMILY = Family(
    key="go",
    entry="main.go",
    compiled=True,
    differs={
        "request line": Difference(
            because="Open Runtimes' server for Go shows the path decoded, and in the query the"
            " first value of a key, decoded",
            answers=(
                mirrored(
                    **{
                        **LINE.value,
                        "path": "/a b/c",
                        "query": {**LINE.value["query"], "a": "b"},
                        "url": f"https://example.com:8443/a b/c?{QUERY}",
                    }
                ),
            ),
        ),
        "text that is not UTF-8": Difference(
            because="strings of Go hold any bytes", answers=(Answer(body=b"a\xffb"),)
        ),
        "values in logs": Difference(
            because="types-for-go logs values in Go's syntax",
            answers=(
                Answer(
                    status=204,
                    logs='text 1 []interface {}{1, map[string]interface {}{"a":"b"}} true\n\n',
                    errors='broken map[string]interface {}{"code":5}\n',
                ),
            ),
        ),
        "raises": Difference(
            because="a panic in an init function ends the process before it takes calls",
            outcome=failed(500, says=("panic: no database", "main.go"), logs=None, failure="start"),
        ),
        "endless": Difference(
            because="an init function that never ends keeps the worker from its start",
            outcome=failed(
                errors="Execution timed out.\nNo worker was started in time.\n", failure="timeout"
            ),
        ),
    },
    cannot={
        "a status as text": TYPED,
        "missing return": TYPED,
        "text returned": TYPED,
        "a number returned": TYPED,
        "second_try": "a package is initialized once for a process",
    },
)
