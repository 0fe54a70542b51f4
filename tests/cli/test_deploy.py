"""`minifn deploy`: settings, packing, upload, build log and exit codes."""

import json
import os
import re

from tests.cli.conftest import Here
from tests.serving import Api

HELLO = 'def main(context):\n    return context.res.text("Hello, " + context.req.body_text)\n'


def test_a_bare_folder_becomes_a_function(here: Here, api: Api) -> None:
    here.file("bare-hello/main.py", HELLO)
    done = here.run("deploy", "bare-hello", "--message", "first try")
    says = r"bare-hello  ready in [\d.]+ m?s  closed to guests: minifn run bare-hello\n"
    assert re.fullmatch(says, done.stdout)
    function = api.call("GET", "/functions/bare-hello", 200)
    assert (function["name"], function["entrypoint"]) == ("bare-hello", "main.py")
    assert function["runtime"] == api.runtime("python")
    [deployment] = api.call("GET", "/functions/bare-hello/deployments", 200)["deployments"]
    assert (deployment["providerCommitMessage"], deployment["type"]) == ("first try", "cli")
    assert api.execute("bare-hello", body="Ada")["responseBody"] == "Hello, Ada"
    # The settings of a function that exists stay.
    api.call(
        "PUT", "/functions/bare-hello", 200, json={"name": "Kept", "timeout": 7, "execute": ["any"]}
    )
    assert here.run("deploy", "bare-hello").stdout.endswith("/\n")
    function = api.call("GET", "/functions/bare-hello", 200)
    assert (function["name"], function["timeout"], function["execute"]) == ("Kept", 7, ["any"])


def test_the_build_log_comes_on_standard_error(here: Here) -> None:
    here.file("logged/main.py", HELLO)
    done = here.run("deploy", "logged")
    assert "[minifn]" in done.stderr
    assert done.stdout.count("\n") == 1


def test_a_failed_build_ends_with_1_and_says_why(here: Here) -> None:
    here.file("broken/main.py", "def main(context:\n")
    done = here.run("deploy", "broken", status=1)
    assert done.stdout == ""
    assert "SyntaxError" in done.stderr
    assert done.stderr.endswith(
        "minifn: the build of broken failed; the active deployment is as before\n"
    )
    described = json.loads(here.run("deploy", "broken", "--json", status=1).stdout)
    assert described["status"] == "failed"
    assert "SyntaxError" in described["buildLogs"]


def test_a_project_file_is_followed(here: Here, api: Api) -> None:
    here.file("functions/one/main.py", HELLO)
    here.file("functions/two/app.py", HELLO)
    here.file("functions/two/.gitignore", "*.log\n")
    here.file("functions/two/secret.log", "")
    here.file("functions/two/tests/test_app.py", "")
    project = {
        "projectId": "minifn",
        "functions": [
            {"$id": "project-one", "path": "functions/one", "runtime": "python-3.12"},
            {
                "$id": "project-two",
                "name": "Two",
                "path": "functions/two",
                "runtime": "python-3.12",
                "entrypoint": "app.py",
                "ignore": ["tests"],
                "timeout": 9,
                "vars": [{"key": "A", "value": "1"}, {"key": "B", "value": "2", "secret": True}],
            },
        ],
    }
    path = here.file("appwrite.config.json", json.dumps(project))
    described = [
        json.loads(line) for line in here.run("deploy", "project-two", "--json").stdout.splitlines()
    ]
    assert [(one["functionId"], one["status"]) for one in described] == [("project-two", "ready")]
    found = api.call("GET", "/functions/project-two", 200)
    assert (found["name"], found["timeout"]) == ("Two", 9)
    assert {one["key"]: (one["value"], one["secret"]) for one in found["vars"]} == {
        "A": ("1", False),
        "B": ("", True),
    }
    # Changed in the file, and on the server, where the file says nothing.
    api.call("PUT", "/functions/project-two", 200, json={"name": "X", "execute": ["any"]})
    project["functions"][1]["vars"][0]["value"] = "3"  # type: ignore[index]
    path.write_text(json.dumps(project))
    here.run("deploy", "functions/two")
    found = api.call("GET", "/functions/project-two", 200)
    assert (found["name"], found["timeout"], found["execute"]) == ("Two", 9, ["any"])
    assert {one["key"]: one["value"] for one in found["vars"]} == {"A": "3", "B": ""}
    project["functions"].append({"$id": "project-gone", "path": "gone"})  # type: ignore[attr-defined]
    path.write_text(json.dumps(project))
    assert "is missing" in here.run("deploy", "project-gone", status=1).stderr
    api.call("GET", "/functions/project-gone", 404)
    done = here.run("deploy", status=1)
    assert "name one of project-one, project-two, project-gone, or --all" in done.stderr


def test_a_large_upload_goes_in_chunks(here: Here, api: Api) -> None:
    here.file("large/main.py", HELLO)
    (here.folder / "large/noise").write_bytes(os.urandom(6 * 1024 * 1024))
    here.run("deploy", "large", "--no-activate")
    [deployment] = api.call("GET", "/functions/large/deployments", 200)["deployments"]
    assert (deployment["chunksTotal"], deployment["chunksUploaded"]) == (2, 2)
    assert api.call("GET", "/functions/large", 200)["deploymentId"] == ""


def test_an_error_of_a_deployment_is_one_line(here: Here) -> None:
    for arguments, line in (
        (("deploy", "gone"), "gone is neither a folder nor a function"),
        (("deploy", "."), "no entry file such as main.py"),
        (("deploy", "--all"), "no appwrite.config.json"),
    ):
        done = here.run(*arguments, status=1)
        assert line in done.stderr
        assert done.stderr.count("\n") == 1
    assert "name none" in here.run("deploy", "--all", "x", status=2).stderr


def test_a_wrong_key_and_a_dead_server_are_one_line(here: Here) -> None:
    here.file("hello/main.py", HELLO)
    done = here.run("deploy", "hello", "--key", "wrong", status=1)
    assert "the key is that of --key" in done.stderr
    done = here.run("deploy", "hello", "--server", "http://127.0.0.1:1", status=1)
    assert "no server answers at http://127.0.0.1:1: start it with `minifn serve`" in done.stderr
    assert done.stderr.count("\n") == 1
    assert here.run("deploy", "--server", "nowhere", status=2).stderr.startswith("minifn: --server")
