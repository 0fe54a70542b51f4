"""Appwrite's command line signed in with the admin key: what it can do only then, and signing out."""

import json
from pathlib import Path

import pytest

from tests.sdk.install import CLI_VERSIONS, place
from tests.sdk.test_cli import PROJECT_FILES, project, runner, settings
from tests.serving import Api, Server


@pytest.mark.parametrize("version", CLI_VERSIONS)
def test_signed_in(version: str, server: Server, api: Api, tmp_path: Path, node: str) -> None:
    program = place("cli", version) / "node_modules" / ".bin" / "appwrite"
    if not program.exists():
        pytest.skip(f"appwrite-cli {version} is not installed: python tests/sdk/install.py")
    major = version.partition(".")[0]
    function_id = f"operated-{major}"
    entry = settings(function_id, api.runtime("python"))
    work = project(tmp_path / "work", PROJECT_FILES[major], entry)
    run = runner(program, tmp_path, server)

    run(work, "login", "--endpoint", server.endpoint, "--email", "ada@example.com", "--password", server.key)
    assert "ada@example.com" in run(work, "whoami")
    # It asks for the console's variables, and gives the new function a domain with them.
    run(work, "--force", "push", "functions", "--function-id", function_id)
    function = api.call("GET", f"/functions/{function_id}", 200)
    assert function["latestDeploymentStatus"] == "ready"
    assert function_id in run(work, "functions", "list", "--json")

    preferences = json.loads((tmp_path / ".appwrite" / "prefs.json").read_text())
    cookie = preferences[preferences["current"]]["cookie"]
    headers = {"cookie": cookie, "x-appwrite-mode": "admin", "x-appwrite-key": ""}
    api.call("GET", "/functions", 200, headers=headers)
    run(work, "logout")
    api.call("GET", "/functions", 401, headers=headers)
