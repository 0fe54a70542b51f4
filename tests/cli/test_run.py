"""`minifn run`: the body alone on standard output, all else on standard error."""

import json

import pytest

from minifn.cli.finding import DATA
from tests.cli.conftest import Here
from tests.packing import packed_files
from tests.serving import Api, Server

CODE = """
def main(context):
    body = context.req.body_binary
    context.log("got", len(body))
    if context.req.path == "/fail":
        raise ValueError("no luck")
    if context.req.path == "/missing":
        return context.res.text("gone", 404)
    if context.req.path == "/who":
        return context.res.json({**context.req.headers, "method": context.req.method})
    if context.req.path == "/hostile":
        context.log("\\x1b]0;title\\x07red")
        return context.res.text("\\x1b[31mred\\x1b[0m")
    return context.res.binary(body)
"""


@pytest.fixture(scope="module")
def echo(server: Server) -> str:
    """A function that answers with its body, which users may call."""
    with server.api as api:
        api.create("run-echo", api.runtime("python"), entrypoint="main.py", execute=["users"])
        api.deploy("run-echo", packed_files({"main.py": CODE}))
    return "run-echo"


def test_the_body_alone_is_standard_output(here: Here, echo: str) -> None:
    done = here.run("run", echo, "Hello, Ada")
    assert (done.stdout, done.stderr) == ("Hello, Ada", "")


def test_bodies_come_from_files_and_standard_input(here: Here, echo: str) -> None:
    content = bytes(range(256)) * 3
    (here.folder / "body").write_bytes(content)
    assert here.run("run", echo, "@body").stdout_bytes == content
    assert here.run("run", echo, "-", given=content).stdout_bytes == content
    assert "the body cannot be read" in here.run("run", echo, "@gone", status=1).stderr


def test_method_path_and_headers_are_sent(here: Here, echo: str) -> None:
    arguments = ("--path", "/who", "--method", "put", "-H", "X-Class: 7b")
    described = json.loads(here.run("run", echo, *arguments).stdout)
    assert (described["method"], described["x-class"]) == ("PUT", "7b")
    assert not described.get("x-appwrite-user-id")
    assert "-H must be like" in here.run("run", echo, "-H", "x", status=2).stderr


def test_a_user_of_the_app_calls(here: Here, echo: str, server: Server) -> None:
    done = here.run("run", echo, "--user", "ada", status=1)
    assert "--user needs the secret that signs tokens" in done.stderr
    # Beside its data directory the server is found with its secret.
    (here.folder / ".minifn/link.json").unlink()
    (here.folder / DATA[0]).symlink_to(server.data)
    done = here.run("run", echo, "--path", "/who", "--user", "ada", "-v")
    assert json.loads(done.stdout)["x-appwrite-user-id"] == "ada"
    assert "got 0" in done.stderr


def test_failures_end_with_1_and_say_why(here: Here, echo: str) -> None:
    done = here.run("run", echo, "--path", "/fail", status=1)
    assert done.stdout == ""
    assert "ValueError: no luck" in done.stderr
    done = here.run("run", echo, "--path", "/missing", status=1)
    assert done.stdout == "gone"
    assert "completed with status 404" in done.stderr
    done = here.run("run", "nobody", status=1)
    assert done.stderr.count("\n") == 1
    assert "'a b' is not an ID" in here.run("run", "a b", status=2).stderr


def test_verbose_shows_the_rest_without_control_characters(here: Here, echo: str) -> None:
    done = here.run("run", echo, "--path", "/hostile", "-v")
    assert done.stdout == "\x1b[31mred\x1b[0m"  # not a terminal
    assert "> POST /hostile" in done.stderr
    assert "< 200  completed" in done.stderr
    assert "logs:\ngot 0\nred\n" in done.stderr
    assert "\x1b" not in done.stderr


def test_json_is_the_execution(here: Here, echo: str) -> None:
    execution = json.loads(here.run("run", echo, "x", "--json").stdout)
    assert (execution["responseBody"], execution["responseStatusCode"]) == ("x", 200)
    assert execution["logs"] == "got 1\n"
    assert isinstance(execution["responseHeaders"], list)


def test_a_queued_call_prints_its_id(here: Here, echo: str, api: Api) -> None:
    execution_id = here.run("run", echo, "--async").stdout.strip()
    assert api.finished(echo, execution_id)["status"] == "completed"
