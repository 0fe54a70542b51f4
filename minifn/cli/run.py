"""`minifn run`: one call of a function; its body alone is standard output."""

import io
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import python_multipart

from minifn.cli.connecting import FunctionId, Session, note, with_server
from minifn.cli.finding import Found
from minifn.cli.options import fail
from minifn.cli.remote import Remote, RemoteError
from minifn.cli.words import duration
from minifn.ids import is_id
from minifn.log_text import json_line, printable
from minifn.tokens import Tokens, UserClaims

#: Seconds to wait for an answer: the server ends a call earlier.
CALL_SECONDS = 1000.0
#: Seconds that the token of `--user` works.
TOKEN_SECONDS = 60
#: Fields of an execution that a multipart answer has as JSON or numbers.
LISTS = ("$permissions", "requestHeaders", "responseHeaders")


@dataclass(frozen=True, kw_only=True)
class FunctionCall:
    """The request of an execution."""

    body: bytes = b""
    path: str = "/"
    method: str = "POST"
    headers: Mapping[str, str]
    later: bool = False


@click.command()
@click.argument("function_id", metavar="FUNCTION", type=FunctionId())
@click.argument("body", metavar="[BODY | @FILE | -]", default="")
@click.option("--path", default="/", show_default=True, help="path and query of the request")
@click.option("--method", default="POST", show_default=True, help="method of the request")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME: VALUE", help="a header")
@click.option("--async", "later", is_flag=True, help="queue it, and print its ID")
@click.option("--user", metavar="ID", help="call as a user of the app, not with the key")
@click.option("-v", "--verbose", is_flag=True, help="show status, headers and logs on stderr")
@with_server
def run(
    session: Session,
    function_id: str,
    body: str,
    path: str,
    method: str,
    headers: tuple[str, ...],
    later: bool,
    user: str | None,
    verbose: bool,
) -> None:
    """Call a function and print its body.

    The exit code is 1 when the function fails or answers with a status of 400 or more.
    """
    call = FunctionCall(
        body=read_body(body),
        path=path,
        method=method.upper(),
        headers=dict(_header(text) for text in headers),
        later=later,
    )
    execution = _executed(session, function_id, call, user)
    if session.as_json:
        text = execution["responseBody"].decode(errors="replace")
        click.echo(json_line({**execution, "responseBody": text}))
    elif later:
        click.echo(execution["$id"])
    else:
        show_body(execution["responseBody"])
    if verbose:
        _show(call, execution)
    if not later and failed(execution):
        _explain(execution, verbose)
        sys.exit(1)


def _executed(
    session: Session, function_id: str, call: FunctionCall, user: str | None
) -> dict[str, Any]:
    """Run a function with the key, or as a user of the app."""
    owner = f"/functions/{function_id}"
    if user is None:
        return execute(session.remote, owner, call)
    found = session.found
    with Remote(found.url, found.project, "") as remote:
        execution = execute(remote, owner, call, _token(found, user))
    # A user may not read logs.
    kept = session.remote.call("GET", f"{owner}/executions/{execution['$id']}")
    return {**execution, **{name: kept[name] for name in ("logs", "errors")}}


def execute(remote: Remote, owner: str, call: FunctionCall, token: str = "") -> dict[str, Any]:
    """Run a function or deployment and return its execution, whose body is bytes.

    `owner` is its path, such as `/functions/ID`. With `token`, the JWT of a user, the call has no
    key. Raises RemoteError.
    """
    fields: dict[str, Any] = {
        "path": call.path,
        "method": call.method,
        "headers": dict(call.headers),
        "async": call.later,
    }
    options: dict[str, Any] = {"headers": {"accept": "multipart/form-data"}}
    if token:
        options["headers"] |= {"x-appwrite-jwt": token}
    try:
        options["json"] = {**fields, "body": call.body.decode()}
    except UnicodeDecodeError:
        named = {f"headers[{name}]": value for name, value in call.headers.items()}
        texts = {"path": call.path, "method": call.method, "async": str(call.later).lower()}
        parts = {name: (None, value) for name, value in {**texts, **named}.items()}
        options["files"] = {**parts, "body": (None, call.body)}
    answer = remote.request("POST", f"{owner}/executions", timeout=CALL_SECONDS, **options)
    return _execution(answer)


def read_body(given: str) -> bytes:
    """Return the body that a command line names. A file that cannot be read ends the process."""
    if given == "-":
        return sys.stdin.buffer.read()
    if not given.startswith("@"):
        return given.encode(errors="surrogateescape")
    try:
        return Path(given[1:]).read_bytes()
    except OSError as error:
        fail(f"the body cannot be read: {error}")


def show_body(body: bytes) -> None:
    """Print a body: its bytes; on a terminal its text, without control characters."""
    if not sys.stdout.isatty():
        click.echo(body, nl=False)
        return
    try:
        text = printable(body.decode())
    except UnicodeDecodeError:
        note(f"minifn: the body is {len(body)} bytes that are not text: send them to a file")
        return
    click.echo(text, nl=bool(text) and not text.endswith("\n"))


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    if not separator or not name.strip():
        fail(f"-H must be like 'name: value', not {text!r}", status=2)
    return name.strip().lower(), value.strip()


def _token(found: Found, user: str) -> str:
    """Return the JWT of a user. The process ends when it cannot be signed."""
    if not is_id(user):
        fail(f"--user must be an ID, not {user!r}", status=2)
    secret = os.environ.get("MINIFN_JWT_SECRET", "")
    if not secret and found.data is not None and found.data.jwt_secret.exists():
        secret = found.data.jwt_secret.read_text().strip()
    if not secret:
        fail("--user needs the secret that signs tokens: set MINIFN_JWT_SECRET, or MINIFN_DATA")
    claims = UserClaims(user_id=user, exp=int(time.time()) + TOKEN_SECONDS)
    return Tokens(secret, found.project).mint_user(claims)


def _execution(answer: httpx.Response) -> dict[str, Any]:
    """Return the execution of a multipart answer."""
    execution: dict[str, Any] = {}

    def take(field: Any) -> None:
        execution[field.field_name.decode()] = field.value or b""

    headers = {"Content-Type": answer.headers["content-type"].encode()}
    python_multipart.parse_form(headers, io.BytesIO(answer.content), take, None)
    if "responseBody" not in execution:
        raise RemoteError("the server did not answer with an execution")
    body = execution.pop("responseBody")
    texts = {name: value.decode(errors="replace") for name, value in execution.items()}
    return {
        **texts,
        **{name: json.loads(texts[name]) for name in LISTS if texts.get(name)},
        "responseStatusCode": int(texts["responseStatusCode"] or 0),
        "duration": float(texts["duration"] or 0),
        "responseBody": body,
    }


def failed(execution: Mapping[str, Any]) -> bool:
    """Tell whether an execution failed, or answered with a status of 400 or more."""
    return bool(execution["status"] == "failed" or execution["responseStatusCode"] >= 400)


def _show(call: FunctionCall, execution: Mapping[str, Any]) -> None:
    """Show all but the body on stderr."""
    note(f"> {call.method} {call.path}")
    took = duration(execution["duration"])
    note(f"< {execution['responseStatusCode']}  {execution['status']}  {took}  {execution['$id']}")
    for header in execution["responseHeaders"] or ():
        note(f"< {header['name']}: {header['value']}")
    for name in ("logs", "errors"):
        if execution[name]:
            note(f"{name}:\n{execution[name].rstrip()}")


def _explain(execution: Mapping[str, Any], verbose: bool) -> None:
    """Say on stderr why a call counts as failed."""
    if execution["errors"] and not verbose:
        note(execution["errors"].rstrip())
    status = execution["responseStatusCode"]
    note(f"minifn: the execution {execution['$id']} {execution['status']} with status {status}")
