"""Python in the contract."""

from tests.runtimes.contract.requests import LINE, QUERY, mirrored
from tests.runtimes.contract.table import Answer, Difference, Family, failed

DECODED = QUERY.replace("%41+", "A ")

FAMILY = Family(
    key="python",
    entry="main.py",
    entries={
        "main_async.py": (
            "32 waiting calls overlap",
            "200 callers",
            "a canceled call frees its slot",
            "a fast call overtakes a slow one",
            "an exception with file and line",
            "busy loop",
            "soft timeout",
            "soft timeout beside another call",
        )
    },
    differs={
        "request line": Difference(
            because="Open Runtimes' server for Python shows path and query decoded",
            answers=(
                mirrored(
                    **{
                        **LINE.value,
                        "path": "/a b/c",
                        "queryString": DECODED,
                        "query": {**LINE.value["query"], "a": "A "},
                        "url": f"https://example.com:8443/a b/c?{DECODED}",
                    }
                ),
            ),
        ),
        "text that is not UTF-8": Difference(
            because="Python's decoding is strict",
            answers=(failed(says=("UnicodeDecodeError",)),),
        ),
        "values in logs": Difference(
            because="values other than lists and objects are logged by str()",
            answers=(
                Answer(
                    status=204,
                    logs='text 1 [1,{"a":"b"}] True\n\n',
                    errors='broken {"code":5}\n',
                ),
            ),
        ),
    },
)
