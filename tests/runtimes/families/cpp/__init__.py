"""C++ in the contract."""

from tests.runtimes.contract.table import Answer, Difference, Family, failed

NO_VALUES = "an answer is a RuntimeOutput: another type does not compile"

FAMILY = Family(
    key="cpp",
    entry="main.cc",
    compiled=True,
    differs={
        "missing return": Difference(
            because="any function may lack a return statement, so the error names its place",
            answers=(failed(says=("Return statement missing. return context.res.empty() if",)),),
        ),
        "wrong json": Difference(
            because="bodyJson is a plain member, null for a body that is not JSON, as upstream",
            answers=(Answer(value={"parsed": None}),),
        ),
        "no json": Difference(
            because="bodyJson is a plain member, null for a body that is not JSON, as upstream",
            answers=(Answer(value={"parsed": None}),),
        ),
        "text that is not UTF-8": Difference(
            because="a std::string has the bytes as they came",
            answers=(Answer(body=b"a\xffb"),),
        ),
        "values in logs": Difference(
            because="log takes one text, as upstream",
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
        "an answer without known keys": NO_VALUES,
        "a status as text": NO_VALUES,
        "text returned": NO_VALUES,
        "a number returned": NO_VALUES,
        "second_try": "a static object is made once; a new process starts with an empty TMPDIR",
    },
)
