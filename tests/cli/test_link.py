"""`minifn link`, `open` and `completion`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Here
from tests.cli.test_cli import environment
from tests.packing import packed_files
from tests.serving import Api, Server


def test_a_linked_directory_needs_no_options(here: Here, server: Server) -> None:
    link = here.folder / ".minifn/link.json"
    link.unlink()
    here.run("vars", "nobody", status=1)
    done = here.run("link", f"{server.url}/v1/", given=server.key.encode())
    assert done.stdout == f"{here.folder} is linked to {server.url}\n"
    assert server.key not in done.output
    assert link.stat().st_mode & 0o777 == 0o600
    below = here.folder / "deep"
    below.mkdir()
    assert "Function with the" in here.run("vars", "nobody", status=1).stderr
    described = json.loads(here.run("link", server.url, "--key", server.key, "--json").stdout)
    assert described == {"server": server.url, "project": "minifn", "source": str(link)}


def test_a_refused_key_is_not_kept(here: Here, server: Server) -> None:
    before = (here.folder / ".minifn/link.json").read_text()
    assert here.run("link", server.url, "--key", "wrong", status=1).stderr.count("\n") == 1
    assert (here.folder / ".minifn/link.json").read_text() == before
    assert here.run("link", "nowhere", "--key", "x", status=2).stderr.startswith("minifn: URL must")


def test_open_prints_the_console(here: Here, server: Server, api: Api) -> None:
    token = r"\?token=[\w-]{32}"
    console = re.escape(f"{server.url}/console/")
    link = here.run("open").stdout.strip()
    assert re.fullmatch(console + token, link)
    good: dict[str, Any] = {
        "json": {"token": link.partition("=")[2]},
        "headers": {"x-minifn-console": "1"},
    }
    assert api.http.post("/minifn/session", **good).is_success
    assert not api.http.post("/minifn/session", **good).is_success
    api.create("opened", api.runtime("python"))
    described = json.loads(here.run("open", "opened", "--json").stdout)
    assert re.fullmatch(
        f"{console}project-minifn/functions/function-opened{token}", described["url"]
    )
    made = {"keyId": "unique()", "name": "reads", "scopes": ["functions.read"]}
    secret = api.call("POST", "/project/keys", 201, json=made)["secret"]
    assert here.run("open", "--key", secret).stdout == f"{server.url}/console/\n"
    assert here.run("open", "nobody", status=1).stdout == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_that_of_the_shell(shell: str, here: Here) -> None:
    script = here.run("completion", shell).stdout
    assert "_MINIFN_COMPLETE" in script
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not on PATH")
    subprocess.run([program, "-n"], input=script, text=True, check=True)


def completed(folder: Path, line: str) -> list[str]:
    """Return what bash would offer at the end of a line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "minifn"],
        cwd=folder,
        env=environment(_MINIFN_COMPLETE="bash_complete", **words),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [offer.partition(",")[2] for offer in done.stdout.split()]


def test_ids_are_completed_by_asking_the_server(here: Here, api: Api) -> None:
    api.create("complete-a", api.runtime("python"), entrypoint="main.py")
    api.create("complete-b", api.runtime("python"))
    deployment = api.upload("complete-a", packed_files({"main.py": ""}))
    assert completed(here.folder, "minifn vars complete-") == ["complete-a", "complete-b"]
    assert completed(here.folder, "minifn activate complete-a ") == [deployment["$id"]]
    assert "unset" in completed(here.folder, "minifn vars complete-a u")
    assert "rollback" in completed(here.folder, "minifn roll")
    here.file("complete-me/main.py", "")
    here.file("appwrite.config.json", '{"functions": [{"$id": "complete-c", "path": "."}]}')
    assert "complete-c" in completed(here.folder, "minifn deploy complete-")


def test_completion_without_a_server_offers_nothing(tmp_path: Path) -> None:
    assert os.environ.get("MINIFN_SERVER") is None
    assert completed(tmp_path, "minifn run x") == []
