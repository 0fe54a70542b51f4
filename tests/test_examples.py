"""Every example is deployed over the public API and called."""

import dataclasses
import hashlib
import hmac
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from minifn.cli.examples import example, examples, examples_root
from minifn.cli.remote import Remote, RemoteError
from minifn.cli.uploading import deploy as deployed
from tests.patience import patient
from tests.processes import killed_at_end
from tests.serving import PROJECT, Api, Server, free_port, wait_until

EXAMPLES = {entry["$id"]: entry for entry in examples()}
#: Deadline of a build: a first one of a compiled language makes the caches of the machine.
BUILD_SECONDS = 300
#: Beginnings of the names of examples in compiled languages.
COMPILED = ("go-", "cpp-")
#: Event sent to the examples that subscribe to events.
EVENT = {"event": "users.42.create", "payload": {"name": "Ada", "email": "ada@example.com"}}
#: Body that the webhooks get, signed with the secret of their entry.
WEBHOOK = '{"repository": {"full_name": "ada/site"}}'
#: Order that the invoices are made of.
ORDER = '{"number": "7", "to": "Ada", "items": [{"text": "Tea", "count": 2, "price": 3.5}]}'
#: Command that the chat bots get, with the token of their entry.
COMMAND = "token=change+me&text=2d6&user_name=ada"
#: Example -> the body of its request.
BODIES = {
    "python-hello": "Ada",
    "python-qrcode": "minifn",
    "node-hello": "Ada",
    "node-markdown": "*Hello* **Ada**",
    "python-webhook": WEBHOOK,
    "node-webhook": WEBHOOK,
    "go-webhook": WEBHOOK,
    "python-invoice": ORDER,
    "node-invoice": ORDER,
    "cpp-invoice": ORDER,
    "python-chatbot": COMMAND,
    "node-chatbot": COMMAND,
    "go-chatbot": COMMAND,
}


def signed_headers(entry: Mapping[str, Any], body: str) -> dict[str, str]:
    """Return the headers of a webhook with this body, none for another example."""
    secrets = {one["key"]: one["value"] for one in entry.get("vars", ())}
    if "WEBHOOK_SECRET" not in secrets:
        return {}
    digest = hmac.new(secrets["WEBHOOK_SECRET"].encode(), body.encode(), hashlib.sha256)
    return {
        "content-type": "application/json",
        "x-github-event": "push",
        "x-hub-signature-256": f"sha256={digest.hexdigest()}",
    }


def here(api: Api, entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of an example with a runtime of this machine; skips without one."""
    family = entry["runtime"].partition("-")[0]
    try:
        return {**entry, "runtime": api.runtime(family)}
    except LookupError as missing:
        pytest.skip(str(missing))


def deploy(server: Server, entry: dict[str, Any]) -> dict[str, Any]:
    with Remote(server.url, PROJECT, server.key) as remote:
        # The function may have an id of its own.
        (name,) = (name for name, one in EXAMPLES.items() if one["path"] == entry["path"])
        code = dataclasses.replace(example(name, entry["runtime"]), id=entry["$id"])
        return deployed(remote, code, time.monotonic() + BUILD_SECONDS)


def direct(server: Server, function_id: str, **request: Any) -> httpx.Response:
    """Call a function on its own domain, as a guest."""
    host = {"host": f"{function_id}.functions.localhost:{server.port}"}
    path, headers = request.pop("path", "/"), {**request.pop("headers", {}), **host}
    return httpx.request(
        "POST", f"{server.url}{path}", headers=headers, trust_env=False, timeout=30, **request
    )


def greets(answer: httpx.Response) -> None:
    assert answer.json() == {"message": "Hello, Ada!", "method": "POST", "path": "/"}


def draws(answer: httpx.Response) -> None:
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.text.startswith("<?xml")
    assert "<svg" in answer.text


def shows_a_page(answer: httpx.Response) -> None:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "You asked for <code>/</code>" in answer.text


def takes_a_webhook(answer: httpx.Response) -> None:
    assert answer.json() == {"event": "push", "repository": "ada/site"}


def renders(answer: httpx.Response) -> None:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text == "<p><em>Hello</em> <strong>Ada</strong></p>\n"


def makes_an_invoice(answer: httpx.Response) -> None:
    assert answer.headers["content-type"].startswith("application/pdf")
    pdf = answer.content
    assert (pdf[:9], pdf[-6:]) == (b"%PDF-1.4\n", b"%%EOF\n")
    found = re.search(rb"startxref\n(\d+)\n", pdf)
    assert found is not None
    table = pdf[int(found[1]) :]
    assert table.startswith(b"xref\n0 6\n0000000000 65535 f \n")
    offsets = [int(offset) for offset in re.findall(rb"(\d{10}) 00000 n \n", table)]
    assert len(offsets) == 5
    for number, offset in enumerate(offsets, 1):
        assert pdf[offset:].startswith(b"%d 0 obj\n" % number)
    for line in (b"(Invoice 7)", b"(To Ada)", b"(2 x Tea: 7.00)", b"(Total: 7.00)"):
        assert line in pdf


def rolls_dice(answer: httpx.Response) -> None:
    told = answer.json()
    found = re.fullmatch(r"ada rolls 2d6: ([1-6]), ([1-6]), together (\d+)\.", told["text"])
    assert found is not None, told
    assert int(found[1]) + int(found[2]) == int(found[3])
    assert told["response_type"] == "in_channel"


#: Example -> what its answer to its body must be.
ANSWERS: dict[str, Callable[[httpx.Response], None]] = {
    "python-hello": greets,
    "python-qrcode": draws,
    "python-page": shows_a_page,
    "node-hello": greets,
    "node-markdown": renders,
    "python-webhook": takes_a_webhook,
    "node-webhook": takes_a_webhook,
    "go-webhook": takes_a_webhook,
    "python-invoice": makes_an_invoice,
    "node-invoice": makes_an_invoice,
    "cpp-invoice": makes_an_invoice,
    "python-chatbot": rolls_dice,
    "node-chatbot": rolls_dice,
    "go-chatbot": rolls_dice,
}


def test_every_folder_of_examples_is_tried() -> None:
    folders = {path.name for path in examples_root().iterdir() if path.is_dir()}
    # Tests that ran before have left the last one.
    assert folders - {"__pycache__"} == {*EXAMPLES, "embedding"}
    assert {*ANSWERS, "python-welcome", "python-clock"} == set(EXAMPLES)


def named(end: str = "") -> list[Any]:
    """Return a parameter for each example whose name ends so; those that compile are slow."""
    return [
        pytest.param(name, marks=pytest.mark.slow if name.startswith(COMPILED) else ())
        for name in ANSWERS
        if name.endswith(end)
    ]


@pytest.mark.parametrize("name", named())
def test_example(name: str, server: Server, api: Api) -> None:
    entry = here(api, EXAMPLES[name])
    deployment = deploy(server, entry)
    assert deployment["status"] == "ready", deployment["buildLogs"]
    body = BODIES.get(name, "")
    headers = signed_headers(entry, body)
    answer = direct(server, name, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    ANSWERS[name](answer)
    execution = api.execute(name, body=body, headers=headers)
    assert (execution["status"], execution["responseStatusCode"]) == ("completed", 200), execution[
        "errors"
    ]


@pytest.mark.parametrize("name", named("-webhook"))
def test_a_webhook_with_another_signature_is_refused(name: str, server: Server, api: Api) -> None:
    entry = here(api, {**EXAMPLES[name], "$id": f"{name}-2"})
    deployment = deploy(server, entry)
    assert deployment["status"] == "ready", deployment["buildLogs"]
    other = {**entry, "vars": [{"key": "WEBHOOK_SECRET", "value": "another"}]}
    right = signed_headers(entry, WEBHOOK)
    refused: list[tuple[dict[str, str], str]] = [
        ({}, WEBHOOK),
        (signed_headers(other, WEBHOOK), WEBHOOK),
        ({**right, "x-hub-signature-256": "sha256=é".encode().decode("latin-1")}, WEBHOOK),
        # The same JSON in other bytes.
        (right, WEBHOOK.replace(" ", "")),
    ]
    for headers, body in refused:
        raw = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
        answer = direct(server, f"{name}-2", content=body, headers=dict(raw))
        assert (answer.status_code, answer.text) == (401, "The signature is wrong.\n"), headers
    for body in ("", "[]", "{", '{"repository": {}}'):
        answer = direct(server, f"{name}-2", content=body, headers=signed_headers(entry, body))
        assert (answer.status_code, answer.text) == (400, "The body names no repository.\n"), body
    path = f"/functions/{name}-2/variables"
    (variable,) = api.call("GET", path, 200)["variables"]
    api.call("DELETE", f"{path}/{variable['$id']}", 204)
    execution = api.execute(f"{name}-2", body=WEBHOOK, headers=right)
    assert execution["responseStatusCode"] == 500
    assert "WEBHOOK_SECRET" in execution["errors"]


@pytest.mark.parametrize("name", named("-invoice"))
def test_a_malformed_order_gets_no_invoice(name: str, server: Server, api: Api) -> None:
    deployment = deploy(server, here(api, {**EXAMPLES[name], "$id": f"{name}-2"}))
    assert deployment["status"] == "ready", deployment["buildLogs"]
    head = '{"number": 1, "to": "x"'
    item = '"items": [{"text": "a", "count": "x", "price": 1}]'
    for body in (
        "",
        "{",
        "5",
        "[]",
        "{}",
        head + "}",
        head + ', "items": [{}]}',
        f"{head}, {item}}}",
    ):
        answer = direct(server, f"{name}-2", content=body)
        assert (answer.status_code, answer.text[:9]) == (400, "The order"), body
    # Signs of the format in a line, and a letter beyond ASCII.
    order = ORDER.replace("Tea", "Tée (5\\\\ 6)")
    answer = direct(server, f"{name}-2", content=order.encode())
    assert b"(2 x T\xe9e \\(5\\\\ 6\\): 7.00) Tj" in answer.content


@pytest.mark.parametrize("name", named("-chatbot"))
def test_a_command_needs_the_token(name: str, server: Server, api: Api) -> None:
    deployment = deploy(server, here(api, {**EXAMPLES[name], "$id": f"{name}-2"}))
    assert deployment["status"] == "ready", deployment["buildLogs"]
    for body in ("", "text=2d6", "token=other&text=2d6", "token=change+me+&text=2d6"):
        answer = direct(server, f"{name}-2", content=body)
        assert (answer.status_code, answer.text) == (401, "The token is wrong.\n"), body
    for text in ("", "help", "0d6", "2d0", "101d6", "2d1001", "2d6x"):
        told = direct(server, f"{name}-2", content=f"token=change+me&text={text}").json()
        assert (told["response_type"], told["text"][:7]) == ("ephemeral", "Say how"), text
    told = direct(server, f"{name}-2", content="token=change+me&text=3d1").json()
    assert told["text"] == "A player rolls 3d1: 1, 1, 1, together 3."


def executed(api: Api, name: str, seconds: float, trigger: str) -> Any:
    """Wait for an execution that `trigger` started, and return it finished."""
    path = f"/functions/{name}/executions"

    def found() -> Any:
        return next(
            (row for row in api.pages(path, "executions") if row["trigger"] == trigger), None
        )

    return api.finished(
        name, wait_until(found, seconds, f"an execution of {name} by {trigger}")["$id"]
    )


def test_the_example_that_an_event_calls(server: Server, api: Api) -> None:
    entry = EXAMPLES["python-welcome"]
    deployment = deploy(server, {**entry, "runtime": api.runtime("python")})
    assert deployment["status"] == "ready", deployment["buildLogs"]
    assert api.call("POST", "/events", 202, json=EVENT) == {"total": 1}
    execution = executed(api, "python-welcome", 10, trigger="event")
    assert (execution["status"], execution["trigger"]) == ("completed", "event"), execution[
        "errors"
    ]
    assert execution["logs"].strip() == "users.42.create: a welcome goes to Ada <ada@example.com>"
    assert api.execute("python-welcome")["responseStatusCode"] == 400


@pytest.mark.slow
def test_the_example_that_a_schedule_calls(server: Server, api: Api) -> None:
    entry = EXAMPLES["python-clock"]
    deployment = deploy(server, {**entry, "runtime": api.runtime("python")})
    assert deployment["status"] == "ready", deployment["buildLogs"]
    execution = api.execute("python-clock")
    assert execution["logs"].startswith("http at ")
    assert execution["status"] == "completed", execution["errors"]
    execution = executed(api, "python-clock", 70, trigger="schedule")
    assert re.fullmatch(
        r"schedule at \d\d:\d\d:0[01], [01] s into the minute", execution["logs"].strip()
    )
    assert execution["status"] == "completed", execution["errors"]
    # It would tick on beside every later test.
    api.call("DELETE", "/functions/python-clock", 204)


def test_deploying_names_what_the_server_said(server: Server) -> None:
    with pytest.raises(RemoteError, match=r"Invalid `runtime` param: .*"):
        deploy(server, {**EXAMPLES["python-welcome"], "runtime": "python-0"})


@pytest.fixture
def embedding(data: Path) -> Iterator[str]:
    """The embedding example under uvicorn: its URL."""
    port = free_port()
    app = [
        "-m",
        "uvicorn",
        "app:app",
        "--app-dir",
        str(examples_root() / "embedding"),
        "--port",
        str(port),
    ]
    environ = {**os.environ, "MINIFN_DATA": str(data)}
    url = f"http://127.0.0.1:{port}"
    uvicorn = subprocess.Popen([sys.executable, *app], env=environ, stderr=subprocess.DEVNULL)
    with killed_at_end(uvicorn) as process:
        try:
            wait_until(lambda: process.poll() is not None or _answers(url), 20, "the app answers")
            yield url
        finally:
            process.terminate()
            process.wait(patient(20))


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_embedding(embedding: str) -> None:
    assert httpx.get(embedding, trust_env=False).text == "This page is the app's own.\n"
    answer = httpx.post(f"{embedding}/greet", content="Ada", trust_env=False)
    assert answer.json() == {"message": "Hello, Ada!", "method": "POST", "path": "/greet"}
