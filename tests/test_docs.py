"""The README and the code say the same: every row is checked in both directions."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from starlette.routing import Route

from minifn import Config, Minifn, __version__, errors
from minifn.api import OPERATIONS
from minifn.api.broadcast import channels_of
from minifn.api.wire.operation import Operation
from minifn.change_feed import NAMES, Change
from minifn.cli import main
from minifn.cli.options import FIELDS, OPTIONS, flag
from minifn.config import ENGINES, variable
from minifn.models import Deployment, Execution, Function, Variable
from tests.sdk import install

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LONG_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def section(title: str) -> str:
    """The README's text from a heading to the next of its rank."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of every table row of a section, heads left out."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [
        row
        for row, below in zip(cells, [*cells[1:], [""]], strict=True)
        if "---" not in row[0] + below[0]
    ]


def setting_row(name: str) -> str:
    item = FIELDS[name]
    default = item.metadata.get("shown", item.default)
    shown = {"": "", "()": "", "False": "off"}.get(str(default), str(default))
    option = f"`{flag(name)}`" if name in OPTIONS else ""
    meaning = item.metadata["help"]
    if "choices" in item.metadata:
        meaning += ": " + ", ".join(f"`{choice}`" for choice in item.metadata["choices"])
    return f"| `{variable(item)}` | {option} | {shown} | {meaning} |"


def error_row(kind: str, code: int) -> str:
    return f"| `{kind}` | {code} |"


def error_types() -> set[tuple[str, int]]:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    return {(kind.type, kind.code) for kind in classes if issubclass(kind, errors.MinifnError)}


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield the commands below one that do something, with their full names."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            below = command.get_command(context, child)
            assert below is not None
            yield from commands(below, f"{name} {child}")
    else:
        yield name, command


def options(command: click.Command) -> set[str]:
    shown = [item for item in command.params if isinstance(item, click.Option)]
    return {name for item in shown for name in item.opts if name.startswith("--")} - {"--help"}


def endpoint_row(operation: Operation) -> str:
    scope = f"`{operation.scopes[-1]}`" if operation.scopes else ""
    return f"| {operation.method} | `/v1{operation.path}` | {scope} | {operation.name} |"


def test_settings_table() -> None:
    lines = [line for line in section("Settings").splitlines() if line.startswith("| `")]
    assert lines == [setting_row(name) for name in FIELDS]


def test_commands_table() -> None:
    described = {row[0].strip("`"): row[1] for row in rows("Commands")}
    real = dict(commands(main, "minifn"))
    assert set(described) == set(real)
    for name, command in real.items():
        named = set(LONG_OPTION.findall(described[name]))
        if name == "minifn serve":
            assert named == set()
            assert options(command) == {flag(item) for item in OPTIONS}
        else:
            assert named == options(command), name


def test_options_named_anywhere_exist() -> None:
    known = set().union(*(options(command) for _, command in commands(main, "minifn")))
    shown = {
        word
        for line in README.splitlines()
        if "minifn " in line
        for word in LONG_OPTION.findall(line)
    }
    foreign = {"--endpoint", "--project-id", "--key"}
    assert shown - foreign <= known


def test_endpoints_table() -> None:
    lines = [
        line
        for line in section("Endpoints").splitlines()
        if line.startswith("|") and "`/v1" in line
    ]
    assert lines == [endpoint_row(operation) for operation in OPERATIONS]


def test_every_route_is_an_operation(tmp_path: Path) -> None:
    routes = Minifn(Config(data=tmp_path / "data")).app.routes
    paths = {route.path for route in routes if isinstance(route, Route)}
    assert paths == {f"/v1{operation.path}" for operation in OPERATIONS}


def test_events_table() -> None:
    bracketed: list[Function | Deployment | Execution | Variable] = [
        Function(id="[functionId]", name="", runtime=""),
        Deployment(id="[deploymentId]", function_id="[functionId]"),
        Execution(id="[executionId]", function_id="[functionId]"),
        Variable(id="[variableId]", function_id="[functionId]", key="", value=""),
        Variable(id="[variableId]", function_id="", key="", value=""),
    ]
    described = []
    for record in bracketed:
        name = ".".join(Change(action="update", record=record).event).removesuffix(".update")
        described.append(
            [f"`{name}`", ", ".join(f"`{channel}`" for channel in channels_of(record))]
        )
    assert rows("Events") == described
    assert {type(record) for record in bracketed} == set(NAMES)


def test_clients_that_are_named_are_those_of_the_tests() -> None:
    [named] = [
        text
        for text in README.split("\n\n")
        if text.startswith("Every method of their Functions service")
    ]
    tested = [
        *install.PYTHON_VERSIONS,
        *install.NODE_VERSIONS,
        *install.WEB_VERSIONS,
        *install.CLI_VERSIONS,
    ]
    assert re.findall(r"\d+\.\d+\.\d+", named) == tested


def test_error_types_table() -> None:
    lines = [line for line in section("Errors").splitlines() if line.startswith("| `")]
    assert lines == [error_row(kind, code) for kind, code in sorted(error_types())]


def test_engines_table() -> None:
    assert [row[0].strip("`") for row in rows("Security") if len(row) == 2] == list(ENGINES)


def test_runtimes_table() -> None:
    manifests = [
        json.loads(path.read_text()) for path in (ROOT / "runtimes").glob("*/manifest.json")
    ]
    manifests.sort(key=lambda manifest: int(manifest["order"]))
    assert rows("Runtimes") == [
        [
            f"`{manifest['key']}`",
            manifest["name"],
            ", ".join(manifest["versions"]),
            "yes" if "start" in manifest or "like" in manifest else "not yet",
        ]
        for manifest in manifests
    ]


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    command = section("Try it").split("# test\n")[1].splitlines()[0]
    assert command.endswith(".venv/bin/pytest")
    script = (ROOT / ".ci" / "run").read_text()
    assert "/^# test$/" in script
    assert 'eval "$test_command"' in script
    assert command.split(" && ")[1] in (ROOT / "CONTRIBUTING.md").read_text()


def test_changelog_knows_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{__version__}]" in changelog or "## [Unreleased]" in changelog
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_and_paths_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    paths = re.findall(r"`((?:minifn|tests|runtimes|examples)/[\w./-]*)`", text)
    paths += [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert missing == []
