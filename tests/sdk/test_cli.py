"""Appwrite's published CLI against a real server: with a key, and signed in as the operator."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.install import CLI_VERSIONS, place
from tests.sdk.terminal import DOWN, ENTER, Terminal
from tests.serving import PROJECT, Api, Server, wait_until

#: The newest version everyday, the oldest one too in the slow part.
EACH_VERSION = pytest.mark.parametrize(
    "version", [pytest.param(CLI_VERSIONS[0], marks=pytest.mark.slow), CLI_VERSIONS[-1]]
)
SOURCE = """import os

def main(context):
    return context.res.text(os.environ.get("GREETING", "no greeting") + " " + context.req.body)
"""
PROJECT_FILES = {"6": "appwrite.json", "12": "appwrite.config.json"}
FIRST = '{"method":"limit","values":[1]}'
#: Commands of `appwrite functions` that have no operation here.
UNSERVED = {
    "get-deployment-download": "asks for /v1http://host/v1/functions/...",
    "help": "asks no server",
}


#: Runs `appwrite functions <command>` with options, and returns its JSON.
Run = Callable[..., Any]


class Cli:
    """One version of the CLI, with its own home directory and so its own login."""

    def __init__(self, version: str, home: Path, server: Server) -> None:
        self.major = version.partition(".")[0]
        self.called: set[str] = set()
        program = place("cli", version) / "node_modules" / ".bin" / "appwrite"
        if not program.exists():
            pytest.skip(f"appwrite-cli {version} is not installed: python tests/sdk/install.py")
        home.mkdir()
        self.run = runner(program, home, server)
        self._endpoint = server.endpoint

    def log_in(self, folder: Path, password: str, *, refused: bool = False) -> None:
        """Log in as the operator."""
        name = ("--endpoint", self._endpoint, "--email", "ops@example.com")
        self.run(folder, "login", *name, "--password", password, refused=refused)

    def functions(self, folder: Path, command: str, **options: str) -> Any:
        """Run `appwrite functions <command>` and return its JSON, None without any."""
        self.called.add(command)
        printed = self.run(folder, "functions", command, *given(options), "--json").strip()
        return json.loads(printed) if printed.startswith("{") else None

    def refused(self, folder: Path, command: str, **options: str) -> str:
        """Run an `appwrite functions <command>` that is refused, and return its output."""
        self.called.add(command)
        return self.run(folder, "functions", command, *given(options), refused=True)

    def check_all_called(self, folder: Path) -> None:
        """Raise AssertionError unless every command was called, or is in UNSERVED."""
        shown = set(
            re.findall(r"^  ([a-z][a-z-]+) ", self.run(folder, "functions", "--help"), re.MULTILINE)
        )
        assert len(shown) > 20
        assert not shown - self.called - set(UNSERVED)


def given(options: dict[str, str]) -> list[str]:
    """Return options as arguments of the CLI."""
    return [
        text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)
    ]


def runner(program: Path, home: Path, server: Server) -> Callable[..., str]:
    """Return a callable that runs one command in a folder and returns its output.

    It raises AssertionError unless the command succeeds, or fails with `refused=True`. Some
    commands exit with 0 after a failure, but print it.
    """
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}

    def run(folder: Path, *arguments: str, refused: bool = False) -> str:
        done = subprocess.run(
            [str(program), *arguments],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        failed = done.returncode != 0 or "✗" in done.stdout or "Error" in done.stdout
        assert failed == refused, f"{arguments}\n{done.stdout}\n--- server ---\n{server.log_tail()}"
        return done.stdout

    return run


def settings(function_id: str, runtime: str) -> dict[str, object]:
    """Return the project file's entry of one function."""
    return {
        "$id": function_id,
        "name": function_id,
        "runtime": runtime,
        "specification": "s-1vcpu-512mb",
        "execute": ["any"],
        "events": [],
        "scopes": ["users.read"],
        "schedule": "",
        "timeout": 15,
        "enabled": True,
        "logging": True,
        "entrypoint": "main.py",
        "commands": "",
        "path": f"functions/{function_id}",
        # The older CLI reads variables here, the newer one in the folder's .env.
        "vars": [{"key": "GREETING", "value": "hello"}],
    }


def project(folder: Path, name: str, entry: dict[str, object] | None) -> Path:
    """Write a project folder with the project file and the function's code."""
    folder.mkdir()
    functions = [] if entry is None else [entry]
    (folder / name).write_text(
        json.dumps({"projectId": PROJECT, "projectName": PROJECT, "functions": functions})
    )
    if entry is not None:
        source = folder / str(entry["path"])
        source.mkdir(parents=True)
        (source / "main.py").write_text(SOURCE)
        (source / ".env").write_text("GREETING=hello\n")
    return folder


def answer(execution: Any) -> str:
    """Return the answer of a function that the CLI ran."""
    assert execution["status"] == "completed", execution
    assert isinstance(execution["duration"], float), "the CLI shows numbers above 15 digits as text"
    return str(execution["responseBody"])


@EACH_VERSION
def test_push_and_pull_with_a_key(
    version: str, server: Server, api: Api, tmp_path: Path, node: str
) -> None:
    cli = Cli(version, tmp_path / "home", server)
    function_id, runtime = f"cli-{cli.major}", api.runtime("python")
    entry = settings(function_id, runtime)
    work = project(tmp_path / "work", PROJECT_FILES[cli.major], entry)

    cli.run(
        work, "client", "--endpoint", server.endpoint, "--project-id", PROJECT, "--key", server.key
    )
    if cli.major == "12":
        # The CLI's first push of a new function asks for a login, so create the function before.
        cli.functions(work, "create", function_id=function_id, name=function_id, runtime=runtime)
    cli.run(work, "--force", "push", "functions", "--function-id", function_id)
    function = api.call("GET", f"/functions/{function_id}", 200)
    assert (function["execute"], function["scopes"], function["runtime"]) == (
        ["any"],
        ["users.read"],
        runtime,
    )
    deployment = api.call(
        "GET", f"/functions/{function_id}/deployments/{function['deploymentId']}", 200
    )
    assert (deployment["status"], deployment["type"], deployment["entrypoint"]) == (
        "ready",
        "cli",
        "main.py",
    )
    assert (
        answer(cli.functions(work, "create-execution", function_id=function_id, body="hi"))
        == "no greeting hi"
    )

    cli.run(work, "--force", "push", "functions", "--function-id", function_id, "--with-variables")
    again = api.call("GET", f"/functions/{function_id}", 200)
    assert again["deploymentId"] != function["deploymentId"]
    assert [(item["key"], item["value"]) for item in again["vars"]] == [("GREETING", "hello")]
    assert api.execute(function_id, body="you")["responseBody"] == "hello you"

    elsewhere = project(tmp_path / "elsewhere", PROJECT_FILES[cli.major], None)
    cli.run(elsewhere, "--all", "--force", "pull", "functions")
    assert (elsewhere / "functions" / function_id / "main.py").read_text() == SOURCE
    pulled = json.loads((elsewhere / PROJECT_FILES[cli.major]).read_text())["functions"]
    mine = next(item for item in pulled if item["$id"] == function_id)
    assert {name: mine[name] for name in entry if name in mine} == {
        name: entry[name] for name in mine
    }
    api.call("DELETE", f"/functions/{function_id}", 204)


@EACH_VERSION
def test_push_of_a_new_function_by_the_operator(
    version: str, server: Server, api: Api, tmp_path: Path, node: str
) -> None:
    cli = Cli(version, tmp_path / "home", server)
    function_id = f"cli-new-{cli.major}"
    entry = settings(function_id, api.runtime("python"))
    work = project(tmp_path / "work", PROJECT_FILES[cli.major], entry)

    cli.log_in(work, "wrong password", refused=True)
    cli.log_in(work, server.key)
    assert "ops@example.com" in cli.run(work, "whoami")
    cli.run(work, "--force", "push", "functions", "--function-id", function_id, "--with-variables")
    assert api.execute(function_id, body="you")["responseBody"] == "hello you"
    listed = cli.functions(work, "list", search=function_id)["functions"]
    assert function_id in [item["$id"] for item in listed]
    cli.run(work, "logout")
    cli.run(work, "functions", "list", refused=True)
    api.call("DELETE", f"/functions/{function_id}", 204)


@EACH_VERSION
def test_a_directory_is_linked_to_the_project(
    version: str, server: Server, tmp_path: Path, node: str
) -> None:
    home = tmp_path / "home"
    cli = Cli(version, home, server)
    work = tmp_path / "work"
    work.mkdir()
    cli.log_in(work, server.key)
    program = place("cli", version) / "node_modules" / ".bin" / "appwrite"
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm"}
    terminal = Terminal([str(program), "init", "project"], work, environ)
    terminal.answer("How would you like to start?", f"{DOWN}{ENTER}")
    terminal.answer("Operator (operator)", ENTER)
    terminal.answer(f"{PROJECT} ({PROJECT})", ENTER)
    terminal.answer("pull all resources", f"n{ENTER}")
    assert "Project successfully linked" in terminal.end()
    assert json.loads((work / PROJECT_FILES[cli.major]).read_text())["projectId"] == PROJECT


# Each command starts Node.js: 12 s of processor time a version. The scenarios of the SDKs ask for
# the same operations every day.
@pytest.mark.slow
@pytest.mark.parametrize("version", CLI_VERSIONS)
def test_every_command(version: str, server: Server, api: Api, tmp_path: Path, node: str) -> None:
    cli = Cli(version, tmp_path / "home", server)
    old = cli.major == "6"
    function_id, runtime = f"cli-all-{cli.major}", api.runtime("python")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "main.py").write_text(SOURCE)
    options = ("--endpoint", server.endpoint, "--project-id", PROJECT, "--key", server.key)
    cli.run(tmp_path, "client", *options)

    def run(command: str, **options: str) -> Any:
        return cli.functions(tmp_path, command, **options)

    of_function = {"function_id": function_id}
    call_functions(run, function_id, runtime)
    variable_id = call_variables(run, of_function)
    first = run("create-deployment", **of_function, code=str(folder), activate="true")
    api.built(function_id, first["$id"])
    assert run("get-deployment", **of_function, deployment_id=first["$id"])["status"] == "ready"
    assert run("list-deployments", **of_function, queries=FIRST)["total"] == 1
    call_executions(run, of_function)
    one = {**of_function, "deployment_id": first["$id"]}
    rebuilt = rebuild(cli, tmp_path, one)
    api.built(function_id, rebuilt)
    call_later_deployments(run, old, one, str(folder))
    run("delete-deployment", **of_function, deployment_id=rebuilt)
    if not old:
        call_repositories(run, of_function)
        branch = {"type": "branch", "reference": "main"}
        cli.refused(tmp_path, "create-vcs-deployment", **of_function, **branch)
    usage = run("get-function-usage" if old else "get-usage", **of_function, range="24h")
    assert (usage["range"], len(usage["executions"])) == ("24h", 24)
    assert run("get-usage" if old else "list-usage", range="30d")["functionsTotal"] >= 1
    run("delete-variable", **of_function, variable_id=variable_id)
    run("delete", **of_function)
    api.call("GET", f"/functions/{function_id}", 404)
    cli.check_all_called(tmp_path)


def call_functions(run: Run, function_id: str, runtime: str) -> None:
    settings = {"name": "All", "runtime": runtime, "execute": "any", "timeout": "20"}
    made = run("create", function_id=function_id, **settings)
    assert (made["$id"], made["execute"], made["timeout"]) == (function_id, ["any"], 20)
    assert runtime in [item["$id"] for item in run("list-runtimes")["runtimes"]]
    assert run("list-specifications")["total"] >= 2
    assert run("get-template", template_id=run("list-templates")["templates"][0]["id"])["runtimes"]
    assert run("list", search="All")["functions"]
    assert len(run("list", queries=FIRST)["functions"]) == 1
    assert run("get", function_id=function_id)["name"] == "All"
    updated = run("update", function_id=function_id, name="All of it", entrypoint="main.py")
    assert updated["name"] == "All of it"


def call_variables(run: Run, of_function: dict[str, str]) -> str:
    """Return the id of the variable that is left."""
    made = run("create-variable", **of_function, key="GREETING", value="hello")
    one = {**of_function, "variable_id": made["$id"]}
    assert run("update-variable", **one, key="GREETING", value="good day")["key"] == "GREETING"
    assert run("get-variable", **one)["key"] == "GREETING"
    assert run("list-variables", **of_function)["total"] == 1
    return str(made["$id"])


def call_executions(run: Run, of_function: dict[str, str]) -> None:
    done = run("create-execution", **of_function, body="you", xpath="/a", method="PUT")
    assert answer(done) == "good day you"
    planned = run("create-execution", **of_function, **{"async": "true"}, headers='{"x-own":"1"}')
    execution = {**of_function, "execution_id": planned["$id"]}
    wait_until(
        lambda: run("get-execution", **execution)["status"] == "completed",
        20,
        "the execution is over",
    )
    run("delete-execution", **execution)
    assert run("list-executions", **of_function)["total"] == 1


def call_later_deployments(run: Run, old: bool, one: dict[str, str], folder: str) -> None:
    activated = run("update-deployment" if old else "update-function-deployment", **one)
    assert activated["deployment" if old else "deploymentId"] == one["deployment_id"]
    of_function = {"function_id": one["function_id"]}
    slow = run(
        "create-deployment", **of_function, code=folder, activate="false", commands="sleep 60"
    )
    cancel = "update-deployment-build" if old else "update-deployment-status"
    assert run(cancel, **of_function, deployment_id=slow["$id"])["status"] == "canceled"


def call_repositories(run: Run, of_function: dict[str, str]) -> None:
    starter = {"owner": "appwrite", "repository": "templates", "root_directory": "python/starter"}
    version = {"type": "tag", "reference": "0.2.*"}
    made = run("create-template-deployment", **of_function, **starter, **version)
    assert made["providerRepositoryName"] == "templates"


def rebuild(cli: Cli, folder: Path, deployment: dict[str, str]) -> str:
    """Build a deployment again and return the new id, which the older CLI does not show."""
    if cli.major != "6":
        return str(cli.functions(folder, "create-duplicate-deployment", **deployment)["$id"])
    cli.functions(folder, "create-build", **deployment)
    newest = '{"method":"orderDesc","values":["$id"]}'
    listed = cli.functions(
        folder, "list-deployments", function_id=deployment["function_id"], queries=newest
    )
    assert listed["total"] == 2
    return str(listed["deployments"][0]["$id"])
