"""Functions connected to repositories: deployed at once, at each push, and when asked."""

import asyncio
import hashlib
import hmac
import json
import os
import sqlite3
import tarfile
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from minifn.config import Config
from minifn.git.fetcher import Fetcher
from minifn.git.installations import Remote
from minifn.git.program import Git, GitFailed
from minifn.git.service import events_secret
from minifn.host.datadir import DataDir
from minifn.sandbox.engines.none import NoEngine
from minifn.sandbox.spawner import Spawner
from tests.git.repositories import Repository, answering, git
from tests.serving import Api, Server, wait_until


def connect(api: Api, repository: Repository, **settings: Any) -> str:
    """Create a function connected to a repository and return its id."""
    function_id = repository.path.name.replace("_", "-")[:36].strip("-")
    given = {
        "installationId": "local",
        "providerRepositoryId": f"team/{repository.path.name}",
        "providerBranch": "main",
        "entrypoint": "main.py",
        "execute": ["any"],
    }
    api.create(function_id, api.runtime("python"), **{**given, **settings})
    return function_id


def deployments(api: Api, function_id: str) -> list[Any]:
    found: list[Any] = api.call("GET", f"/functions/{function_id}/deployments", 200)["deployments"]
    return found


def built(api: Api, function_id: str, commit: str) -> Any:
    """Return the deployment of a commit once it is over."""

    def deployed() -> str:
        found = [
            item["$id"]
            for item in deployments(api, function_id)
            if item["providerCommitHash"] == commit
        ]
        return str(found[0]) if found else ""

    return api.built(function_id, wait_until(deployed, 20, f"{commit} is deployed"))


def only(api: Api, function_id: str) -> Any:
    """Return the one deployment of a function once it is over."""
    (deployment,) = deployments(api, function_id)
    return api.built(function_id, deployment["$id"])


def test_a_new_function_runs_the_head_of_its_branch(api: Api, repository: Repository) -> None:
    commit = repository.commit(
        {"main.py": answering("first"), ".gitattributes": "main.py export-ignore\n"}, "Say first"
    )
    function_id = connect(api, repository)
    deployment = built(api, function_id, commit)
    assert deployment["status"] == "ready", deployment["buildLogs"]
    assert deployment["type"] == "vcs"
    assert deployment["providerCommitAuthor"] == "Ada"
    assert deployment["providerCommitMessage"] == "Say first"
    assert deployment["providerBranch"] == "main"
    assert deployment["providerRepositoryName"] == repository.path.name
    assert deployment["providerRepositoryOwner"] == "team"
    assert api.execute(function_id)["responseBody"] == "first"


def test_pushes_deploy_once_and_only_wanted_branches(api: Api, repository: Repository) -> None:
    first = repository.commit({"main.py": answering("first")})
    git(repository.path, "branch", "release/old")
    function_id = connect(api, repository, providerBranches=["release/*"])
    assert built(api, function_id, first)["status"] == "ready"
    preview = repository.commit({"main.py": answering("preview")}, branch="release/1")
    other = repository.commit({"main.py": answering("other")}, branch="feature/1")
    git(repository.path, "checkout", "-q", "main")
    second = repository.commit({"main.py": answering("second")})
    assert built(api, function_id, preview)["activate"] is False
    assert built(api, function_id, second)["activate"] is True
    assert api.execute(function_id)["responseBody"] == "second"
    third = repository.commit({"main.py": answering("third")})
    built(api, function_id, third)
    hashes = sorted(item["providerCommitHash"] for item in deployments(api, function_id))
    assert hashes == sorted([first, preview, second, third])
    assert other not in hashes


def looked_at(server: Server, commit: str) -> bool:
    with closing(sqlite3.connect(server.data / "minifn.db")) as conn:
        return (
            conn.execute("SELECT 1 FROM git_commits WHERE commit_hash = ?", (commit,)).fetchone()
            is not None
        )


def test_paths_decide_which_pushes_deploy(
    api: Api, git_server: Server, repository: Repository
) -> None:
    first = repository.commit({"fn/main.py": answering("first"), "docs/a.md": "a"})
    function_id = connect(api, repository, providerRootDirectory="./fn/", providerPaths=["fn"])
    assert built(api, function_id, first)["status"] == "ready"
    documented = repository.commit({"docs/a.md": "b"})
    wait_until(lambda: looked_at(git_server, documented), 20, "a look at the second commit")
    second = repository.commit({"fn/main.py": answering("second")})
    assert built(api, function_id, second)["status"] == "ready"
    assert api.execute(function_id)["responseBody"] == "second"
    assert [item["providerCommitHash"] for item in deployments(api, function_id)] == [first, second]


def test_a_reference_is_deployed_when_asked(api: Api, repository: Repository) -> None:
    first = repository.commit({"main.py": answering("first")})
    git(repository.path, "tag", "-a", "v1", "-m", "Version 1")
    second = repository.commit({"main.py": answering("second")})
    function_id = connect(api, repository)
    assert built(api, function_id, second)["status"] == "ready"
    path = f"/functions/{function_id}/deployments/vcs"
    for kind, reference in (("tag", "v1"), ("commit", first)):
        asked = api.call(
            "POST", path, 202, json={"type": kind, "reference": reference, "activate": True}
        )
        deployment = api.built(function_id, asked["$id"])
        assert (deployment["status"], deployment["providerCommitHash"]) == ("ready", first), (
            deployment["buildLogs"]
        )
        assert api.execute(function_id)["responseBody"] == "first"
    api.call("POST", path, 400, json={"type": "branch", "reference": "--upload-pack=evil"})
    api.call("POST", path, 400, json={"type": "commit", "reference": "abc123"})
    asked = api.call("POST", path, 202, json={"type": "branch", "reference": "nowhere"})
    failed = api.built(function_id, asked["$id"])
    assert failed["status"] == "failed"
    assert "nowhere" in failed["buildLogs"]


def test_another_branch_is_deployed_at_once(api: Api, repository: Repository) -> None:
    first = repository.commit({"main.py": answering("first")})
    second = repository.commit({"main.py": answering("second")}, branch="next")
    function_id = connect(api, repository)
    assert built(api, function_id, first)["status"] == "ready"
    settings = {"installationId": "local", "providerRepositoryId": f"team/{repository.path.name}"}
    path = f"/functions/{function_id}"
    api.call(
        "PUT", path, 200, json={"name": "x", **settings, "providerBranch": "main", "timeout": 9}
    )
    api.call("PUT", path, 200, json={"name": "x", **settings, "providerBranch": "next"})
    assert built(api, function_id, second)["activate"] is True
    assert len(deployments(api, function_id)) == 2


def test_disconnecting_ends_it(api: Api, repository: Repository) -> None:
    repository.commit({"main.py": answering("first")})
    function_id = connect(api, repository)
    only(api, function_id)
    path = f"/functions/{function_id}"
    kept = api.call("PUT", path, 200, json={"name": "still"})
    assert (kept["installationId"], kept["providerBranch"]) == ("local", "main")
    gone = api.call("PUT", path, 200, json={"name": "gone", "providerRepositoryId": ""})
    assert (gone["installationId"], gone["providerRepositoryId"], gone["providerBranch"]) == (
        "",
        "",
        "",
    )
    assert api.call(
        "POST", f"{path}/deployments/vcs", 404, json={"type": "branch", "reference": "main"}
    )
    assert len(deployments(api, function_id)) == 1


def test_what_cannot_be_fetched_is_a_failed_deployment_that_says_why(
    api: Api, repository: Repository, git_server: Server
) -> None:
    function_id = connect(api, repository, installationId="remote")
    failed = only(api, function_id)
    assert failed["status"] == "failed"
    assert "127.0.0.1" in failed["buildLogs"]
    assert failed["providerRepositoryUrl"].startswith("https://127.0.0.1:9/team/")
    assert "hidden-token" not in json.dumps(failed) + git_server.log_tail()


def test_names_that_lead_elsewhere_are_refused(api: Api, repository: Repository) -> None:
    given = {"installationId": "local", "providerRepositoryId": "team/x", "providerBranch": "main"}
    body = {"functionId": "unique()", "name": "x", "runtime": api.runtime("python"), **given}
    for wrong in (
        {"providerRepositoryId": "../outside"},
        {"providerRepositoryId": "--upload-pack=evil"},
        {"providerRepositoryId": "ext::sh -c evil"},
        {"providerBranch": "-f"},
        {"providerBranch": "a..b"},
        {"providerRootDirectory": "../.."},
        {"providerRootDirectory": "fn/.git"},
        {"providerBranch": ""},
    ):
        api.call("POST", "/functions", 400, json={**body, **wrong})
    api.call("POST", "/functions", 404, json={**body, "installationId": "elsewhere"})


def test_links_out_of_the_repository_do_not_pass(api: Api, repository: Repository) -> None:
    (repository.path / "secret").symlink_to("/etc/passwd")
    (repository.path / "folder").symlink_to("/etc")
    repository.commit({"main.py": answering("first")})
    built = only(api, connect(api, repository))
    assert built["status"] == "ready"
    assert "'secret' is left out" in built["buildLogs"]
    assert "'folder' is left out" in built["buildLogs"]
    linked = api.call("PUT", f"/functions/{built['resourceId']}", 200, json={
        "name": "x", "installationId": "local", "providerRepositoryId": f"team/{repository.path.name}",
        "providerBranch": "main", "providerRootDirectory": "folder",
    })  # fmt: skip
    asked = api.call(
        "POST",
        f"/functions/{linked['$id']}/deployments/vcs",
        202,
        json={"type": "branch", "reference": "main"},
    )
    assert "is no folder" in api.built(linked["$id"], asked["$id"])["buildLogs"]


def test_a_repository_that_links_outside_its_base_is_none(
    api: Api, repository: Repository, base: Path
) -> None:
    outside = Repository(base.parent / "outside")
    outside.commit({"main.py": answering("stolen")})
    (base / "team" / "linked").symlink_to(outside.path)
    failed = only(api, connect(api, repository, providerRepositoryId="team/linked"))
    assert failed["status"] == "failed"
    assert "has no repository" in failed["buildLogs"]


def test_a_huge_repository_is_refused(api: Api, repository: Repository) -> None:
    (repository.path / "noise").write_bytes(os.urandom(1_100_000))
    repository.commit({"main.py": answering("huge")})
    failed = only(api, connect(api, repository))
    assert failed["status"] == "failed"
    assert "larger than 1,000,000 bytes" in failed["buildLogs"]


def test_hooks_of_a_repository_do_not_run(api: Api, repository: Repository, place: Path) -> None:
    mark = place / "hook-ran"
    for name in (
        "post-checkout",
        "post-update",
        "pre-push",
        "reference-transaction",
        "post-upload-pack",
    ):
        hook = repository.path / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
        hook.chmod(0o755)
    commit = repository.commit({"main.py": answering("first")}, "x")
    mark.unlink(missing_ok=True)
    assert built(api, connect(api, repository), commit)["status"] == "ready"
    assert not mark.exists()


def test_the_archive_is_the_folder_without_git(api: Api, repository: Repository) -> None:
    commit = repository.commit(
        {"fn/main.py": answering("x"), "fn/.hidden": "kept", "top.txt": "left out"}
    )
    function_id = connect(api, repository, providerRootDirectory="fn")
    deployment = built(api, function_id, commit)
    answer = api.http.get(f"/functions/{function_id}/deployments/{deployment['$id']}/download")
    with tarfile.open(fileobj=BytesIO(answer.content)) as archive:
        assert sorted(archive.getnames()) == [".hidden", "main.py"]
    assert deployment["sourceSize"] == len(answer.content)


def test_a_signed_event_makes_the_server_look(
    place: Path, base: Path, repository: Repository
) -> None:
    settings = {"git_installations": f"local={base}", "git_poll": 3600}
    with Server(place / "data-events", **settings) as server, server.api as api:
        first = repository.commit({"main.py": answering("first")})
        function_id = connect(api, repository)
        assert built(api, function_id, first)["status"] == "ready"
        second = repository.commit({"main.py": answering("second")})
        body = json.dumps(
            {"repository": {"full_name": f"team/{repository.path.name}"}, "after": second}
        ).encode()
        key = events_secret((server.data / "jwt.secret").read_text().strip(), "local").encode()
        signature = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"
        headers = {
            "x-github-event": "push",
            "content-type": "application/json",
            "x-hub-signature-256": signature,
        }
        path = "/vcs/local/events"
        api.call("POST", path, 401, content=body + b" ", headers=headers)
        api.call(
            "POST",
            path,
            401,
            content=body,
            headers={**headers, "x-hub-signature-256": "sha256=\xe9".encode("latin-1")},
        )
        api.call("POST", "/vcs/nowhere/events", 404, content=body, headers=headers)
        odd = (
            (b'{"x":' + b"[" * 100_000, "application/json"),
            (b'{"repository":' * 2000, "application/json"),
            (b"&".join(b"a=1" for _ in range(2000)), "application/x-www-form-urlencoded"),
            (b"payload[a]=1", "application/x-www-form-urlencoded"),
        )
        for text, kind in odd:
            given = {**headers, "content-type": kind}
            # Unsigned it is all the same; signed, it is about no repository.
            api.call("POST", path, 401, content=text, headers=given)
            given["x-hub-signature-256"] = (
                f"sha256={hmac.new(key, text, hashlib.sha256).hexdigest()}"
            )
            assert api.http.post(path, content=text, headers=given).status_code in (202, 400), text[
                :20
            ]
        assert "Traceback" not in server.log_tail()
        assert len(deployments(api, function_id)) == 1
        for _ in range(3):
            assert api.call("POST", path, 202, content=body, headers=headers) == {"total": 1}
        assert built(api, function_id, second)["status"] == "ready"
        assert len(deployments(api, function_id)) == 2


def test_a_restart_goes_on_fetching(place: Path, base: Path, repository: Repository) -> None:
    commit = repository.commit({"main.py": answering("first")})
    settings = {"git_installations": f"local={base}", "git_poll": 3600}
    with Server(place / "data-restart", **settings) as server:
        with server.api as api:
            function_id = connect(api, repository)
        server.kill()
    with Server(place / "data-restart", **settings) as server, server.api as api:
        assert built(api, function_id, commit)["status"] == "ready"
        assert len(deployments(api, function_id)) == 1


def test_without_git_a_deployment_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minifn.git.program.SEARCH_PATH", str(tmp_path))
    data = DataDir(tmp_path / "data")
    data.prepare()

    async def heads() -> None:
        async with Spawner(data.run) as spawner:
            program = Git(Config(data=data.root), data, NoEngine(), spawner, {})
            await Fetcher(program, 1000).heads(Remote(path=tmp_path))

    with pytest.raises(GitFailed, match="install the package git"):
        asyncio.run(heads())
    assert list(data.git.iterdir()) == []


@pytest.mark.parametrize("engine", ["process", "none"])
def test_other_engines(place: Path, base: Path, repository: Repository, engine: str) -> None:
    commit = repository.commit({"main.py": answering(engine)})
    settings = {"git_installations": f"local={base}", "sandbox": engine}
    with Server(place / f"data-{engine}", **settings) as server, server.api as api:
        function_id = connect(api, repository)
        assert built(api, function_id, commit)["status"] == "ready"
        address = f"http://x:{server.key}@127.0.0.1:{server.port}/git/{function_id}.git"
        told = git(repository.path, "push", address, "HEAD:main").stderr
        assert "-----> Deployed to" in told
