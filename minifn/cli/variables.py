"""`minifn vars`: the variables of a function. The value of a secret one is never shown."""

import io
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from dotenv import dotenv_values

from minifn.cli.connecting import FunctionId, Session, note, with_server
from minifn.cli.options import fail
from minifn.cli.tables import Column, show_table
from minifn.cli.uploading import save_variable
from minifn.cli.words import ago
from minifn.log_text import printable

ACTIONS = ("list", "set", "unset", "import", "export")
COLUMNS = (
    Column(heading="variable"),
    Column(heading="value", cut=20),
    Column(heading="changed", drop=1),
)
#: The text instead of the value of a secret variable.
SECRET = "(secret)"
#: Values that need no quotes in a file.
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")


@click.command("vars")
@click.argument("function_id", metavar="FUNCTION", type=FunctionId())
@click.argument(
    "action",
    metavar="[list | set K=V... | unset K... | import FILE | export]",
    type=click.Choice(ACTIONS),
    default="list",
)
@click.argument("words", nargs=-1, metavar="")
@click.option("--secret", is_flag=True, help="hide the values of set and import from now on")
@with_server
def variables(
    session: Session, function_id: str, action: str, words: tuple[str, ...], secret: bool
) -> None:
    """List, set, remove, import or export a function's variables.

    `set K` without a value asks for it, or reads it from standard input: a command line is seen by
    every user of the machine. FILE has lines of K=V, - is standard input; `export` prints such
    lines.
    """
    if secret and action not in ("set", "import"):
        fail("--secret belongs to set and import", status=2)
    if bool(words) != (action in ("set", "unset", "import")):
        needed = "needs names" if not words else "takes no names"
        fail(f"vars {function_id} {action} {needed}: see `minifn vars --help`", status=2)
    path = f"/functions/{function_id}/variables"
    known = {one["key"]: one for one in session.remote.pages(path, "variables")}
    if action in ("list", "export"):
        _show(session, known.values(), action)
        return
    if action == "unset":
        _unset(session, path, known, words)
        return
    given = _given(words) if action == "set" else _imported(words)
    for key, value in given.items():
        wanted = {"key": key, "value": value, "secret": secret}
        save_variable(session.remote, path, known.get(key), wanted)
    _tell(session, function_id, given, "set")


def _given(words: Iterable[str]) -> dict[str, str]:
    """Return the variables of `set`."""
    given = {}
    for word in words:
        key, separator, value = word.partition("=")
        if separator:
            given[key] = value
        elif sys.stdin.isatty():
            given[key] = click.prompt(f"value of {key}", hide_input=True, err=True)
        else:
            given[key] = sys.stdin.read().removesuffix("\n")
    return given


def _imported(words: tuple[str, ...]) -> dict[str, str]:
    """Return the variables in files with lines of K=V."""
    given: dict[str, str] = {}
    for name in words:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{name} cannot be read: {error}")
        read = dotenv_values(stream=io.StringIO(text), interpolate=False)
        given |= {key: value or "" for key, value in read.items()}
    return given


def _unset(
    session: Session, path: str, known: Mapping[str, Mapping[str, Any]], keys: Iterable[str]
) -> None:
    keys = tuple(dict.fromkeys(keys))
    missing = [key for key in keys if key not in known]
    function_id = path.split("/")[2]
    if missing:
        fail(f"{function_id} has no variable {missing[0]}")
    for key in keys:
        session.remote.call("DELETE", f"{path}/{known[key]['$id']}")
    _tell(session, function_id, keys, "removed")


def _tell(session: Session, function_id: str, keys: Iterable[str], done: str) -> None:
    if session.as_json:
        session.show([{"functionId": function_id, done: list(keys)}])
    else:
        note(f"{function_id}: {', '.join(keys)} {done}")


def _show(session: Session, rows: Iterable[Mapping[str, Any]], action: str) -> None:
    rows = sorted(rows, key=lambda row: str(row["key"]))
    if session.as_json:
        session.show([dict(row) for row in rows])
    elif action == "list":
        shown = [
            [row["key"], SECRET if row["secret"] else row["value"], ago(row["$updatedAt"])]
            for row in rows
        ]
        show_table(COLUMNS, shown)
    else:
        for row in rows:
            if row["secret"]:
                note(f"minifn: {row['key']} is left out: its value is secret")
            else:
                line = line_of(row["key"], row["value"])
                click.echo(printable(line) if sys.stdout.isatty() else line)


def line_of(key: str, value: str) -> str:
    """Return a variable as a line of a file, quoted when it needs to be."""
    if _PLAIN.fullmatch(value):
        return f"{key}={value}"
    # Single quotes keep lines and all other characters as they are.
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"
