"""A function that misuses its credentials: its own key and the JWT of its caller."""

import json
from typing import Any

import pytest

from tests.serving import FUNCTIONS, Api, Server, pack

LACKS, EXPIRED, MALFORMED = 401, 401, 401
#: Status of the answer to each attempt: only the function's scope, to execute, works.
VERDICTS = {
    "read functions": LACKS,
    "read proxy/rules": LACKS,
    "read project/variables": LACKS,
    "read functions/credentials/variables": LACKS,
    "read functions/credentials/executions": LACKS,
    "write a function": LACKS,
    "widen its own scopes": LACKS,
    "emit an event": LACKS,
    "another prefix": LACKS,
    "the JWT as a key": EXPIRED,
    "the key as a JWT": MALFORMED,
    "the key as a session": LACKS,
    "both at once": 403,
    "a JWT of the JWT": 404,
    "the JWT as a session": LACKS,
    "the JWT as a cookie": LACKS,
    "the operator's cookie": LACKS,
    "what it is for": 200,
}


@pytest.fixture
def called(server: Server, api: Api) -> Any:
    """The execution of the function, called with a session."""
    settings = {
        "execute": ["users"],
        "scopes": ["executions.write"],
        "timeout": 30,
        "entrypoint": "main.py",
    }
    api.create("credentials", api.runtime("python"), **settings)
    api.deploy("credentials", pack(FUNCTIONS / "credentials"))
    session = api.call("POST", "/account/sessions/anonymous", 201)["secret"]
    # The session came as a cookie, too.
    api.http.cookies.clear()
    with Api(server.endpoint) as user:
        answer = user.http.post(
            "/functions/credentials/executions", json={}, headers={"x-appwrite-session": session}
        ).json()
    assert answer["status"] == "completed", api.call(
        "GET", f"/functions/credentials/executions/{answer['$id']}", 200
    )
    return answer


def test_neither_its_key_nor_its_jwt_becomes_more(api: Api, called: dict[str, str]) -> None:
    found = json.loads(called["responseBody"])
    assert found["seen"] == VERDICTS
    status, queued = found["queued"]
    assert status == 202
    again = api.finished("credentials", queued)
    assert (again["status"], again["errors"]) == ("completed", "")
    assert 0 < int(again["logs"]) <= found["ends"]
