"""Kotlin in the contract."""

from tests.runtimes.contract.table import Answer, Difference, Family, failed

FAMILY = Family(
    key="kotlin",
    entry="Main.kt",
    compiled=True,
    differs={
        "a header cannot add lines": Difference(
            because="the wrapper refuses a header with such a value",
            answers=(failed(says=("x-bad",)),),
        ),
        "second_try": Difference(
            because="a class that could not be initialized is loaded anew",
            outcome=(failed(503, says=("not yet",)), Answer(body=b"now"), Answer(body=b"now")),
        ),
        "raises": Difference(
            because="the companion object is made when the class is loaded, in the worker",
            outcome=failed(
                503,
                says=("Failed to load module: ", "no database"),
                logs="Native logs detected. Use context.log() or context.error() for better"
                " experience.\nloading\n",
            ),
        ),
    },
    cannot={
        "cookies": "headers are a map, which has each name once",
        "a number as header": "the values of headers are strings",
        "an answer without known keys": "the compiler refuses another type",
        "a status as text": "the compiler refuses another type",
        "missing return": "the compiler refuses null",
        "text returned": "the compiler refuses another type",
        "a number returned": "the compiler refuses another type",
    },
)
