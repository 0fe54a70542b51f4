"""The functions of a project: both generations of Appwrite's file, and folders without one."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from minifn.api.operations.functions import CreateFunction
from minifn.api.wire.params import fields_of
from minifn.cli.project_file import SETTINGS, ProjectError, ProjectFile, bare, chosen, id_for
from minifn.ids import is_id
from tests.languages.test_entry_files import written

RUNTIMES = {"python": "python-3.12", "node": "node-22"}
NEW: dict[str, Any] = {
    "$id": "orders",
    "name": "Orders",
    "runtime": "node-22",
    "buildSpecification": "s-1vcpu-1gb",
    "runtimeSpecification": "s-0.5vcpu-512mb",
    "execute": ["any"],
    "deploymentRetention": 3,
    "ignore": ["tests", "!.env"],
    "path": "functions/orders",
}
OLD: dict[str, Any] = {
    "$id": "mail",
    "name": "Mail",
    "runtime": "python-3.12",
    "specification": "s-1vcpu-512mb",
    "vars": [{"key": "FROM", "value": "ada@example.com"}],
    "ignore": "tests\n*.log",
    "path": "functions/mail",
}


def project(folder: Path, *entries: dict[str, Any], name: str = "appwrite.config.json") -> Path:
    for entry in entries:
        (folder / entry["path"]).mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({"projectId": "minifn", "functions": entries}))
    return folder


def ids(names: list[str], start: Path, **options: bool) -> list[str]:
    return [entry.id for entry in chosen(names, start, runtimes=RUNTIMES, **options)]


def test_every_setting_of_the_api_is_read() -> None:
    known = {field.wire_name for field in fields_of(CreateFunction)} - {
        "functionId",
        "emailEnabled",
    }
    assert set(SETTINGS) == known


@pytest.mark.parametrize("name", ["appwrite.config.json", "appwrite.json"])
def test_both_generations_of_fields_are_read(name: str, tmp_path: Path) -> None:
    found = ProjectFile.find(project(tmp_path, NEW, OLD, name=name) / "functions")
    assert found is not None
    orders, mail = found.functions()
    assert orders.settings == {key: NEW[key] for key in NEW if key not in ("$id", "ignore", "path")}
    assert (orders.folder, orders.ignore) == (
        tmp_path / "functions/orders",
        (".env", "tests", "!.env"),
    )
    assert mail.settings["specification"] == "s-1vcpu-512mb"
    assert (mail.variables, mail.ignore) == (
        ({"secret": False, "key": "FROM", "value": "ada@example.com"},),
        (".env", "tests", "*.log"),
    )


def test_the_oldest_variables_are_an_object(tmp_path: Path) -> None:
    entry = {"$id": "a", "path": "a", "variables": {"DEPTH": 3}}
    [found] = chosen(["a"], project(tmp_path, entry), runtimes=RUNTIMES)
    assert found.variables == ({"secret": False, "key": "DEPTH", "value": "3"},)


def test_the_newer_name_wins(tmp_path: Path) -> None:
    project(tmp_path, OLD, name="appwrite.json")
    assert ids([], project(tmp_path, NEW)) == ["orders"]


def test_functions_in_a_file_of_their_own(tmp_path: Path) -> None:
    written(
        tmp_path,
        {
            "appwrite.config.json": '{"includes": {"functions": "parts/functions.json"}}',
            "parts/functions.json": json.dumps([{"$id": "a", "path": "a"}]),
            "parts/a/main.py": "",
        },
    )
    file = ProjectFile(tmp_path / "appwrite.config.json")
    assert file.functions()[0].folder == tmp_path / "parts/a"
    file.put({"$id": "b", "path": "b"})
    listed = json.loads((tmp_path / "parts/functions.json").read_text())
    assert [one["$id"] for one in listed] == ["a", "b"]
    (tmp_path / "appwrite.config.json").write_text('{"includes": {"functions": "../x.json"}}')
    with pytest.raises(ProjectError, match="outside of the project"):
        ProjectFile(tmp_path / "appwrite.config.json")


def test_functions_are_named_by_id_and_folder(tmp_path: Path) -> None:
    start = project(tmp_path, NEW, OLD)
    written(start, {"alone/main.py": "", "alone/deep/notes": ""})
    assert ids(["mail", "functions/orders", "alone"], start) == ["mail", "orders", "alone"]
    assert ids([], start / "functions/orders") == ["orders"]
    assert ids([], start, everything=True) == ["orders", "mail"]
    with pytest.raises(ProjectError, match="name one of orders, mail, or --all"):
        ids([], start)
    with pytest.raises(ProjectError, match="nobody is neither a folder nor a function: the func"):
        ids(["nobody"], start)


def test_a_bare_folder_has_the_settings_of_its_entry_file(tmp_path: Path) -> None:
    folder = written(tmp_path / "My Shop!", {"main.py": ""})
    entry = bare(folder, RUNTIMES)
    assert (entry.id, entry.file) == ("My-Shop", None)
    assert entry.settings == {
        "name": "My Shop!",
        "runtime": "python-3.12",
        "entrypoint": "main.py",
    }
    with pytest.raises(ProjectError, match=r"main\.py \(python\), which cannot run here"):
        bare(folder, {})
    with pytest.raises(ProjectError, match="`minifn init` makes one"):
        bare(written(tmp_path / "empty", {"notes": ""}), RUNTIMES)


def test_writing_keeps_the_rest_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "appwrite.config.json"
    path.write_text(
        '{\n  "projectId": "p",\n  "sites": [],\n  "functions": [\n    {"$id": "a", "x": "é"}\n'
        "  ]\n}\n"
    )
    ProjectFile(path).put({"$id": "b", "path": "b"})
    ProjectFile(path).put({"$id": "b", "path": "c"})
    assert path.read_text() == (
        '{\n  "projectId": "p",\n  "sites": [],\n  "functions": [\n'
        '    {\n      "$id": "a",\n      "x": "é"\n    },\n'
        '    {\n      "$id": "b",\n      "path": "c"\n    }\n  ]\n}\n'
    )
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "must hold an object"),
        ('{"functions": {}}', "must be a list of objects"),
        ('{"functions": [{"path": "x"}]}', "the \\$id None of a function is not an id"),
        ('{"functions": [{"$id": "a"}]}', "the function a has no path"),
        ('{"functions": [{"$id": "a", "path": "a", "vars": ["A=1"]}]}', "vars of a must be a list"),
    ],
)
def test_a_bad_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "appwrite.config.json").write_text(text)
    with pytest.raises(ProjectError, match=message) as caught:
        ids([], tmp_path)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_every_name_of_a_folder_makes_an_id(name: str) -> None:
    assert is_id(id_for(name))
    if is_id(name) and name == name.rstrip("._-"):
        assert id_for(name) == name
