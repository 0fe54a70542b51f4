"""Appwrite's own command line, as published, against a real server: set up with a key, push, run, pull, delete."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sdk.install import CLI_VERSIONS, place
from tests.serving import PROJECT, Api, Server

SOURCE = 'def main(context):\n    return context.res.text("answer " + context.req.body)\n'
PROJECT_FILES = {"6": "appwrite.json", "12": "appwrite.config.json"}


def settings(function_id: str, runtime: str) -> dict[str, object]:
    """The project file's entry of one function."""
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
    }


def project(folder: Path, name: str, entry: dict[str, object] | None) -> Path:
    """Write a project folder with its file and the function's code, and return it."""
    folder.mkdir()
    functions = [] if entry is None else [entry]
    (folder / name).write_text(json.dumps({"projectId": PROJECT, "projectName": PROJECT, "functions": functions}))
    if entry is not None:
        source = folder / str(entry["path"])
        source.mkdir(parents=True)
        (source / "main.py").write_text(SOURCE)
    return folder


@pytest.mark.parametrize("version", CLI_VERSIONS)
def test_cli(version: str, server: Server, api: Api, tmp_path: Path, node: str) -> None:
    program = place("cli", version) / "node_modules" / ".bin" / "appwrite"
    if not program.exists():
        pytest.skip(f"appwrite-cli {version} is not installed: python tests/sdk/install.py")
    major = version.partition(".")[0]
    function_id, runtime = f"cli-{major}", api.runtime("python")
    entry = settings(function_id, runtime)
    work = project(tmp_path / "work", PROJECT_FILES[major], entry)
    run = runner(program, tmp_path, server)

    run(work, "client", "--endpoint", server.endpoint, "--project-id", PROJECT, "--key", server.key)
    if major == "12":
        # Its first push of a new function asks for a login before it sends anything: the function is made beforehand.
        named = ["--function-id", function_id, "--name", function_id, "--runtime", runtime]
        run(work, "functions", "create", *named)
    run(work, "--force", "push", "functions", "--function-id", function_id)
    function = api.call("GET", f"/functions/{function_id}", 200)
    assert (function["execute"], function["scopes"], function["runtime"]) == (["any"], ["users.read"], runtime)
    deployment = api.call("GET", f"/functions/{function_id}/deployments/{function['deploymentId']}", 200)
    assert (deployment["status"], deployment["type"], deployment["entrypoint"]) == ("ready", "cli", "main.py")

    answer = run(work, "functions", "create-execution", "--function-id", function_id, "--body", "hi", "--json")
    assert "answer hi" in answer
    assert function_id in run(work, "functions", "list", "--json")

    run(work, "--force", "push", "functions", "--function-id", function_id)
    again = api.call("GET", f"/functions/{function_id}", 200)
    assert again["deploymentId"] != function["deploymentId"]

    elsewhere = project(tmp_path / "elsewhere", PROJECT_FILES[major], None)
    run(elsewhere, "--all", "--force", "pull", "functions")
    assert (elsewhere / "functions" / function_id / "main.py").read_text() == SOURCE

    run(work, "functions", "delete", "--function-id", function_id)
    api.call("GET", f"/functions/{function_id}", 404)


def runner(program: Path, home: Path, server: Server) -> Callable[..., str]:
    """Return a callable that runs one command in a folder and returns what it printed.

    It raises AssertionError when the command fails, or says so: the CLI exits with 0 after some failures.
    """
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}

    def run(folder: Path, *arguments: str) -> str:
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
        told = f"{arguments}\n{done.stdout}\n--- server ---\n{server.log_tail()}"
        assert done.returncode == 0, told
        assert "✗" not in done.stdout, told
        assert "Error" not in done.stdout, told
        return done.stdout

    return run
