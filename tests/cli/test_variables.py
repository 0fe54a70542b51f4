"""`minifn vars`: values come back as they went in, and secret ones not at all."""

import io
import json

import pytest
from dotenv import dotenv_values
from hypothesis import given, strategies as st

from minifn.cli.variables import line_of
from tests.cli.conftest import Here
from tests.serving import Api, Server


@pytest.fixture(scope="module")
def function(server: Server) -> str:
    """A function without code."""
    with server.api as api:
        api.create("vars", api.runtime("python"))
    return "vars"


def values(api: Api, function: str) -> dict[str, str]:
    rows = api.call("GET", f"/functions/{function}/variables", 200)["variables"]
    return {row["key"]: row["value"] for row in rows}


def test_variables_are_set_shown_and_removed(here: Here, function: str, api: Api) -> None:
    done = here.run("vars", function, "set", "A=1", "B=x=y", "C=")
    assert (done.stdout, done.stderr) == ("", "vars: A, B, C set\n")
    here.run("vars", function, "set", "A=2")
    assert values(api, function) == {"A": "2", "B": "x=y", "C": ""}
    lines = here.run("vars", function).stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["A", "2"], ["B", "x=y"]]
    assert here.run("vars", function, "unset", "A", "B", "C").stderr == "vars: A, B, C removed\n"
    assert values(api, function) == {}
    assert "vars has no variable A" in here.run("vars", function, "unset", "A", status=1).stderr


def test_a_secret_is_never_shown_and_read_from_standard_input(
    here: Here, function: str, api: Api
) -> None:
    here.run("vars", function, "set", "TOKEN", "--secret", given=b"hush-hush\n")
    for action in ((), ("list",), ("export",), ("--json",)):
        done = here.run("vars", function, *action)
        assert "TOKEN" in done.output
        assert "hush-hush" not in done.output
    # It stays secret.
    here.run("vars", function, "set", "TOKEN=other")
    [row] = api.call("GET", f"/functions/{function}/variables", 200)["variables"]
    assert (row["secret"], row["value"]) == (True, "")
    here.run("vars", function, "unset", "TOKEN")


def test_files_go_in_and_come_out(here: Here, function: str, api: Api) -> None:
    here.file(".env", "# for tests\nexport A=1\nB='two words'\nC=\"x\\ny\"\nD=${A}\n")
    here.run("vars", function, "import", ".env")
    kept = {"A": "1", "B": "two words", "C": "x\ny", "D": "${A}"}
    assert values(api, function) == kept
    exported = here.run("vars", function, "export").stdout
    assert dotenv_values(stream=io.StringIO(exported), interpolate=False) == kept
    rows = [json.loads(line) for line in here.run("vars", function, "--json").stdout.splitlines()]
    assert {row["key"]: row["value"] for row in rows} == kept
    here.run("vars", function, "unset", *kept)
    here.run("vars", function, "import", "-", given=exported.encode())
    assert values(api, function) == kept
    here.run("vars", function, "unset", *kept)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("set",), "vars x set needs names"),
        (("list", "A"), "vars x list takes no names"),
        (("unset", "A", "--secret"), "--secret belongs to set and import"),
        (("sets", "A"), "'sets' is not one of"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], line: str, here: Here) -> None:
    assert line in here.run("vars", "x", *arguments, status=2).stderr


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0")))
def test_every_value_survives_a_file(value: str) -> None:
    text = line_of("KEY", value) + "\nNEXT=1\n"
    read = dotenv_values(stream=io.StringIO(text), interpolate=False)
    assert read == {"KEY": value, "NEXT": "1"}
