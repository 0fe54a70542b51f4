"""A whole server under hostile requests, most without a key: it answers each, and all others."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.serving import PROJECT, Server

EXECUTIONS = "/functions/unknown/executions"
JSON = {"content-type": "application/json"}
MULTIPART = {"content-type": "multipart/form-data; boundary=XX"}
#: Unterminated texts; a parser may search for the end of each one anew.
UNENDED = b'{"a":' + b'"\\' * 200_001
#: Deeper nesting than any decoder follows.
NESTED = "[" * 65_000
#: Most seconds for the request and for another one beside it; an idle machine takes milliseconds.
PATIENCE_SECONDS = 10


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@dataclass(frozen=True)
class Attack:
    """A request, and the status and type of the answer it must have."""

    status: int
    kind: str
    path: str = EXECUTIONS
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    #: Whether it has an API key.
    knows_key: bool = False


INVALID = (400, "general_argument_invalid")
ATTACKS = {
    "texts without an end": Attack(*INVALID, headers=JSON, body=UNENDED),
    "texts without an end as text": Attack(
        *INVALID, headers={"content-type": "text/plain"}, body=UNENDED
    ),
    "texts without an end without a type": Attack(
        *INVALID, "/account/sessions/email", body=UNENDED
    ),
    "headers that nest": Attack(
        *INVALID, headers=JSON, body=json.dumps({"headers": NESTED}).encode()
    ),
    "a body that nests": Attack(*INVALID, headers=JSON, body=b'{"headers":' + NESTED.encode()),
    "a form with headers that nest": Attack(
        *INVALID,
        headers={"content-type": "application/x-www-form-urlencoded"},
        body=f"headers={NESTED}".encode(),
    ),
    "a JWT that nests": Attack(
        401, "user_jwt_invalid", headers={"x-appwrite-jwt": f"{encoded(NESTED)}.e30.x"}
    ),
    "a key that nests": Attack(
        401, "api_key_expired", headers={"x-appwrite-key": f"dynamic_{encoded(NESTED)}.e30.x"}
    ),
    "a session that nests": Attack(
        404,
        "function_not_found",
        headers={
            "x-appwrite-session": encoded(
                json.dumps({"id": "a", "secret": f"{encoded(NESTED)}.e30.x"})
            ),
        },
    ),
    "cookies that nest": Attack(404, "function_not_found", headers={"x-fallback-cookies": NESTED}),
    "an event that nests": Attack(
        *INVALID,
        "/events",
        JSON,
        b'{"event":"orders.1.create","payload":{"a":'
        + NESTED.encode()
        + b"]" * len(NESTED)
        + b"}}",
        knows_key=True,
    ),
    "a form that does not begin": Attack(*INVALID, headers=MULTIPART, body=b"--YY\r\n\r\n"),
    "a form with a wrong header": Attack(
        *INVALID, headers=MULTIPART, body=b"--XX\r\n\x00: x\r\n\r\nx\r\n--XX--\r\n"
    ),
    "a form that does not end": Attack(*INVALID, headers=MULTIPART, body=b"--XX\r\nX: y\r\n"),
    "a form that nearly ends": Attack(
        *INVALID,
        headers=MULTIPART,
        body=b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"\r\n--XXx" * 20_000,
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for all attacks; its log mentions none of them."""
    with TemporaryDirectory(prefix="minifn-") as folder:
        Path(folder).chmod(0o711)
        with Server(Path(folder) / "data", access_log="false") as server:
            yield server
        assert "WARNING" not in server.log_tail()
        assert "Traceback" not in server.log_tail()


@pytest.mark.parametrize("name", ATTACKS)
def test_a_request_of_a_stranger(server: Server, name: str) -> None:
    attack = ATTACKS[name]
    headers = {"x-appwrite-project": PROJECT, **attack.headers}
    if attack.knows_key:
        headers["x-appwrite-key"] = server.key
    beside: list[tuple[int, bool]] = []
    over = threading.Event()

    def call_beside() -> None:
        with httpx.Client(trust_env=False, timeout=PATIENCE_SECONDS) as guest:
            while not (over.is_set() and beside):
                began = time.monotonic()
                found = guest.get(f"{server.endpoint}/health/version")
                beside.append((found.status_code, time.monotonic() - began < PATIENCE_SECONDS))

    caller = threading.Thread(target=call_beside)
    caller.start()
    try:
        answer = httpx.post(
            f"{server.endpoint}{attack.path}",
            headers=headers,
            content=attack.body,
            timeout=PATIENCE_SECONDS,
            trust_env=False,
        )
    finally:
        over.set()
        caller.join()
    assert (answer.status_code, answer.json()["type"]) == (attack.status, attack.kind), answer.text[
        :500
    ]
    assert set(beside) == {(200, True)}
