"""PHP in the contract."""

from tests.runtimes.contract.answers import JSON
from tests.runtimes.contract.requests import JSON_TYPE, mirrored
from tests.runtimes.contract.table import Answer, Difference, Family

OBJECTS = "Open Runtimes' `json()` for PHP makes objects of all arrays (JSON_FORCE_OBJECT)"

FAMILY = Family(
    key="php",
    entry="index.php",
    differs={
        "json over a given type": Difference(
            because=OBJECTS,
            answers=(
                Answer(
                    status=201,
                    value={"text": "é", "list": {"0": "a", "1": None, "2": True}, "empty": {}},
                    headers=(JSON,),
                ),
            ),
        ),
        "json body": Difference(
            because=OBJECTS,
            answers=(
                mirrored(
                    body={"a": {"0": "b", "1": True}},
                    bodyText='{"a":["b",true]}',
                    headers=JSON_TYPE,
                ),
            ),
        ),
        "text that is not UTF-8": Difference(
            because="PHP's strings are bytes, and `bodyText` is the body as it came",
            answers=(Answer(body=b"a\xffb"),),
        ),
        "values in logs": Difference(
            because="values other than arrays and objects are logged by strval()",
            answers=(
                Answer(
                    status=204,
                    logs='text 1 [1,{"a":"b"}] 1\n\n',
                    errors='broken {"code":5}\n',
                ),
            ),
        ),
    },
    cannot={
        "32 waiting calls overlap": "a worker runs one call at a time; more workers start instead",
    },
)
