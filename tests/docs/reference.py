"""Writes the reference pages of the documentation from the declarations: `python -m tests.docs.reference`.

`tests/test_docs.py` fails while a page in `minifn/docs` differs from what this makes.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from minifn import errors
from minifn.api import OPERATIONS
from minifn.api.broadcast import channels_of
from minifn.api.wire.operation import Operation
from minifn.api.wire.params import Field, Limits, fields_of
from minifn.change_feed import Change
from minifn.cli import main as cli
from minifn.cli.options import FIELDS, OPTIONS, flag
from minifn.config import variable
from minifn.event_names import CATALOGUE, Resource
from minifn.languages.manifest import load_families
from minifn.models import (
    DEFAULT_SPECIFICATION,
    SPECIFICATIONS,
    Deployment,
    Execution,
    Function,
    Variable,
)
from tests.docs.limits import limits

PAGES = Path(__file__).parents[2] / "minifn" / "docs"

SETTINGS = """\
# Settings

Every setting is an environment variable. All but the three secrets are also an option of `minifn serve`; an option
overrides its variable. A wrong value ends the command with one line that names the setting, and exit code 2. An empty
variable counts as unset. An empty option is a wrong value: leave it out for the default.

Lists are separated by commas. In Python, each setting is a field of `minifn.Config`: `MINIFN_SYNC_TIMEOUT` is
`Config(sync_timeout=...)`.
"""
COMMANDS = """\
# Commands

A command ends with exit code 0 when it is done, 1 when it failed, and 2 when it was called wrongly. `keys`, `token`,
`backup` and `doctor` work on the data directory: the server may run or not, and a running server notices new keys.
"""
HTTP = """\
# HTTP operations

All paths are below `/v1`. Requests and answers are Appwrite's; `x-appwrite-response-format` selects the version, from
0.7 to 2.7, and without it an answer has the keys of every version. `GET /v1/openapi.json` returns the same reference
as an OpenAPI 3.1 document.

- `x-appwrite-project` names the project. Operations marked *no project* do not need it.
- An API key is sent in `x-appwrite-key`. It needs the scope of the operation.
- A user is known by `x-appwrite-jwt`, by a session cookie, or by `x-appwrite-session`. A request with none of these
  comes from a guest.
- Parameters are sent as JSON, as a form or as multipart; with `GET`, in the query string.
- Operations below `/minifn` are minifn's own. They are for API keys and operators.
- Lists take `queries[]` in Appwrite's syntax, such as `{"method":"limit","values":[10]}`.

An error is JSON: `{"message", "code", "type", "version"}`. [Errors](errors.md) lists the types.
"""
EVENTS = """\
# Event names

[Events and realtime](events.md) explains how a function subscribes and how an app reports an event.

## minifn's own events

Clients hear these through realtime. Functions cannot subscribe to them. Each name ends with `.create`, `.update` or
`.delete`, and the payload is the record as the API answers it.

"""
CATALOGUE_TITLE = """
## Appwrite's event types

A name of one of these types is checked against this list. `*` stands for any id when a function subscribes. Names of
any other type are your app's own: letters, digits, `-` and `_`, one to three pairs of a type and an id, then an action.

"""
ERRORS = """\
# Errors

An error is JSON: `{"message", "code", "type", "version"}`. The types and codes are Appwrite's. Outside `/v1`, browsers
get a page instead. Clients before 1.3 get no `type`. [Troubleshooting](troubleshooting.md) has remedies.

| type | code | meaning |
|---|---|---|
"""
#: Titles of operations that are not their name with a capital.
TITLES = {"vcs": "Repositories", "openapi": "OpenAPI", "proxy": "Domains", "minifn": "minifn's own"}
RUNTIMES = """\
# Runtimes

A function names its runtime as `<family>-<version>`, such as `python-3.12` or `node-22`. Every runtime below can be
named, so that a whole project can be moved here. Families marked *yes* run where their programs are installed;
`minifn doctor` lists those found, and the commands that install the others.

minifn uses the interpreters of the machine: the named version, otherwise the next newer one, otherwise the next older
one. The build log names the version. Interpreters are searched on `PATH` and where pyenv, uv, asdf, mise, nvm, fnm,
volta and n put them, in the server's own virtual environment and `node_modules`, and in the directories of
`MINIFN_RUNTIME_PATHS`. A family that is installed later appears without a restart. The build of a function whose family is
missing fails with one line that says what would install it.

Each interpreter is asked for its version once: all servers and commands of a user keep the answers in
`~/.cache/minifn/versions.json` (or below `XDG_CACHE_HOME`) until the program's file changes.

| family | language | versions | runs |
|---|---|---|---|
"""
SIZES = """
## Specifications

A specification bounds the processor and memory of a function's worker and of its builds. The default is
`{default}`. `MINIFN_CPUS` and `MINIFN_MEMORY` remove the larger ones.

| specification | CPUs | memory, MB |
|---|---|---|
"""


def row(*cells: object) -> str:
    """Return one line of a table."""
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def settings() -> str:
    """Return the page of settings."""
    lines = [SETTINGS, "\n", row("variable", "option", "default", "meaning"), "|---|---|---|---|\n"]
    for name, item in FIELDS.items():
        default = item.metadata.get("shown", item.default)
        shown = {"": "", "()": "", "False": "off"}.get(str(default), str(default))
        meaning = item.metadata["help"]
        if "choices" in item.metadata:
            meaning += ": " + ", ".join(f"`{choice}`" for choice in item.metadata["choices"])
        lines.append(
            row(f"`{variable(item)}`", f"`{flag(name)}`" if name in OPTIONS else "", shown, meaning)
        )
    return "".join(lines)


def each_command(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield the commands below one that do something, with their full names."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            below = command.get_command(context, child)
            assert below is not None
            yield from each_command(below, f"{name} {child}")
    else:
        yield name, command


def commands() -> str:
    """Return the page of commands."""
    return COMMANDS + "".join(
        _command(name, command) for name, command in each_command(cli, "minifn")
    )


def _command(name: str, command: click.Command) -> str:
    arguments = [
        item.make_metavar(click.Context(command))
        for item in command.params
        if isinstance(item, click.Argument)
    ]
    # Python 3.13 and newer keep docstrings without their indentation.
    text = f"\n## `{' '.join([name, *arguments])}`\n\n{inspect.cleandoc(command.help or '')}\n"
    options = [item for item in command.params if isinstance(item, click.Option)]
    if name == "minifn serve":
        return text + "\nEvery [setting](settings.md) except a secret is an option.\n"
    if not options:
        return text
    text += "\n" + row("option", "meaning") + "|---|---|\n"
    for item in options:
        value = "" if item.is_flag else f" {item.make_metavar(click.Context(command))}"
        repeated = " (may be repeated)" if item.multiple else ""
        text += row(
            f"`{'`, `'.join(item.opts)}{value}`", (item.help or "").replace("  [", " [") + repeated
        )
    return text


def http() -> str:
    """Return the page of HTTP operations."""
    lines = [HTTP, "\n## Overview\n\n", row("operation", "request"), "|---|---|\n"]
    for item in OPERATIONS:
        anchor = re.sub(r"[^\w-]", "", item.name.lower())
        lines.append(row(f"[{item.name}](#{anchor})", f"`{item.method} {item.path}`"))
    groups: dict[str, list[Operation]] = {}
    for item in OPERATIONS:
        groups.setdefault(item.name.partition(".")[0], []).append(item)
    return "".join(lines) + "".join(
        f"\n## {TITLES.get(name, name.capitalize())}\n" + "".join(map(_operation, items))
        for name, items in groups.items()
    )


def _operation(item: Operation) -> str:
    limit = (
        f" At most {item.rate_limit} calls a minute from one address." if item.rate_limit else ""
    )
    facts = [f"`{item.method} /v1{item.path}`"]
    facts += (
        [f"scope {' or '.join(f'`{scope}`' for scope in reversed(item.scopes))}"]
        if item.scopes
        else []
    )
    facts += [] if item.needs_project else ["no project"]
    summary = (item.handler.__doc__ or "").partition("\n")[0]
    text = f"\n### {item.name}\n\n{', '.join(facts)}\n\n{summary}{limit}\n"
    fields = fields_of(item.params)
    if fields or item.upload:
        text += "\n" + row("parameter", "type", "default") + "|---|---|---|\n"
        text += "".join(
            row(f"`{field.wire_name}`", _shape(field), _default(field)) for field in fields
        )
        text += row("`code`", "file, .tar.gz", "*required*") if item.upload else ""
    if item.errors:
        text += f"\nErrors: {', '.join(f'`{error.type}`' for error in item.errors)}.\n"
    return text


def _shape(field: Field) -> str:
    limits = Limits(specifications=(DEFAULT_SPECIFICATION,), runtimes=frozenset({"python-3.12"}))
    return _kind(field.kind.schema(limits))


def _kind(schema: dict[str, Any]) -> str:
    """Return a schema in words."""
    if "enum" in schema and len(schema["enum"]) > 1:
        return "one of " + ", ".join(f"`{one}`" for one in schema["enum"])
    if schema["type"] == "array":
        return (
            f"list of at most {schema['maxItems']}: {_kind(schema['items'])}"
            if "maxItems" in schema
            else "list"
        )
    words = str(schema["type"])
    if "maxLength" in schema:
        words += f", at most {schema['maxLength']:,} characters"
    if "minimum" in schema:
        words += f", {schema['minimum']:,} to {schema['maximum']:,}"
    if "pattern" in schema and "maxLength" not in schema:
        words = "id"
    return words


def _default(field: Field) -> str:
    if field.required:
        return "*required*"
    if field.default in ((), None, "", b""):
        return ""
    return f"`{msgspec.json.encode(field.default).decode()}`"


def event_names() -> str:
    """Return the page of event names."""
    bracketed: list[Function | Deployment | Execution | Variable] = [
        Function(id="[functionId]", name="", runtime=""),
        Deployment(id="[deploymentId]", function_id="[functionId]"),
        Execution(id="[executionId]", function_id="[functionId]"),
        Variable(id="[variableId]", function_id="[functionId]", key="", value=""),
        Variable(id="[variableId]", function_id="", key="", value=""),
    ]
    lines = [EVENTS, row("event", "channels"), "|---|---|\n"]
    for record in bracketed:
        name = ".".join(Change(action="update", record=record).event).removesuffix(".update")
        lines.append(row(f"`{name}`", ", ".join(f"`{channel}`" for channel in channels_of(record))))
    lines += [CATALOGUE_TITLE, row("type", "actions"), "|---|---|\n"]
    lines += [
        row(f"`{name}`", ", ".join(actions)) for name, actions in _types("", CATALOGUE.items())
    ]
    return "".join(lines)


def _types(
    above: str, resources: Iterable[tuple[str, Resource]]
) -> Iterator[tuple[str, list[str]]]:
    for name, resource in resources:
        path = f"{above}{name}.[id]"
        yield (
            path,
            [
                shown
                for action, attributes in sorted(resource.actions.items())
                for shown in (
                    f"`{action}`",
                    *(f"`{action}.{attribute}`" for attribute in sorted(attributes)),
                )
            ],
        )
        yield from _types(f"{path}.", resource.inside.items())


def error_page() -> str:
    """Return the page of errors."""
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    kinds = {kind.type: kind for kind in classes if issubclass(kind, errors.MinifnError)}
    shown = [
        row(f"`{name}`", kinds[name].code, kinds[name].default_message()) for name in sorted(kinds)
    ]
    return ERRORS + "".join(shown)


def runtimes() -> str:
    """Return the page of runtimes and specifications."""
    lines = [RUNTIMES]
    root = PAGES.parents[1] / "runtimes"
    ordered = sorted(load_families(root).values(), key=lambda family: family.order)
    for family in ordered:
        runs = "yes" if family.start or family.like else "not yet"
        lines.append(row(f"`{family.key}`", family.name, ", ".join(family.versions), runs))
    lines += [f"\n{shown}" for family in ordered if (shown := language(root / family.key))]
    lines.append(SIZES.format(default=DEFAULT_SPECIFICATION))
    lines += [row(f"`{size.slug}`", f"{size.cpus:g}", size.memory_mb) for size in SPECIFICATIONS]
    return "".join(lines)


def language(folder: Path) -> str:
    """Return the text about a language, "" for a family without one."""
    page = folder / "README.md"
    return page.read_text(encoding="utf-8") if page.is_file() else ""


#: Page -> what makes it.
REFERENCE = {
    "settings": settings,
    "commands": commands,
    "http": http,
    "event-names": event_names,
    "errors": error_page,
    "limits": limits,
    "runtimes": runtimes,
}


def main(names: Sequence[str] = tuple(REFERENCE)) -> None:
    """Write the pages."""
    for name in names:
        (PAGES / f"{name}.md").write_text(REFERENCE[name]())


if __name__ == "__main__":
    main()
