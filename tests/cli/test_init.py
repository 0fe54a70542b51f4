"""`minifn init`: a starter that deploys as it is, and its entry."""

import json

import pytest

from tests.cli.conftest import Here
from tests.serving import Api


def entries(here: Here, name: str = "appwrite.config.json") -> list[dict[str, object]]:
    return list(json.loads((here.folder / name).read_text())["functions"])


def test_a_starter_deploys_and_runs_as_it_is(here: Here, api: Api) -> None:
    done = here.run("init", "init-hello")
    assert done.stdout.endswith(
        "Deploy it by `minifn deploy init-hello`, or try it by `minifn dev`.\n"
    )
    here.run("deploy", "init-hello")
    assert here.run("run", "init-hello", "--path", "/ping").stdout == "Pong"
    [entry] = entries(here)
    assert entry["runtime"] == api.runtime("python")
    assert entry["path"] == "init-hello"
    assert "has a function init-hello already" in here.run("init", "init-hello", status=1).stderr


def test_a_starter_has_types_for_editors(here: Here) -> None:
    """Python's need the package in the editor alone, those of the others are a file beside it."""
    here.run("init", "py")
    code = (here.folder / "py/src/main.py").read_text()
    assert 'def main(context: "Context") -> "Result":' in code
    done = here.run("init", "js", "--runtime", "node", "--id", "init-js", "--json")
    assert "src/handler.d.ts" in json.loads(done.stdout)["files"]
    assert '@type {import("./handler").Handler}' in (here.folder / "js/src/main.js").read_text()
    for family in ("bun", "deno"):
        here.run("init", family, "--runtime", family)
        typescript = (here.folder / family / "src/main.ts").read_text()
        assert 'import type { Context } from "./handler.d.ts";\n' in typescript
        assert "({ req, res, log }: Context) =>" in typescript


@pytest.mark.usefixtures("node")
def test_a_starter_with_types_runs(here: Here) -> None:
    here.run("init", "js", "--runtime", "node", "--id", "init-js")
    here.run("deploy", "init-js")
    assert here.run("run", "init-js", "--path", "/ping").stdout == "Pong"


def test_a_family_and_an_example_are_named(here: Here) -> None:
    here.run("init", "functions/web", "--runtime", "node", "--id", "shop.web")
    done = here.run("init", "functions/hook", "--template", "python-webhook", "--json")
    described = json.loads(done.stdout)
    assert described["files"] == ["main.py"]
    web, hook = entries(here)
    assert (web["$id"], web["name"], web["entrypoint"]) == ("shop.web", "web", "src/main.js")
    assert hook["vars"] == [{"key": "WEBHOOK_SECRET", "value": "change me"}]
    assert (here.folder / "functions/web/src/main.js").is_file()


def test_code_that_is_there_stays(here: Here) -> None:
    path = here.file("orders/index.js", "module.exports = () => 1;\n")
    here.run("init", "orders")
    [entry] = entries(here)
    assert (str(entry["runtime"]).partition("-")[0], entry["entrypoint"]) == ("node", "index.js")
    assert [one.name for one in path.parent.iterdir()] == ["index.js"]
    assert "is not empty" in here.run("init", "orders", "--template", "node-hello", status=2).stderr
    here.file("notes/a.txt", "")
    assert "has files, but no entry file" in here.run("init", "notes", status=1).stderr


def test_an_older_project_file_gets_the_entry(here: Here) -> None:
    here.file("appwrite.json", '{"projectId": "old", "functions": []}')
    here.run("init", "a")
    assert [one["$id"] for one in entries(here, "appwrite.json")] == ["a"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--runtime", "cobol"), "has no starter; those that have one are node, "),
        (("--template", "gone"), "is not one of python-hello, "),
        (("--id", "a b"), "--id must be an ID"),
        (("--runtime", "node", "--template", "node-hello"), "leave --runtime out"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], line: str, here: Here) -> None:
    done = here.run("init", "x", *arguments, status=2)
    assert line in done.stderr
    assert not (here.folder / "x").exists()
