"""`git push` to the server itself, with the real git command."""

import gzip
import os
import socket
import subprocess
import sys
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path

import httpx

from minifn.limits import GIT_REQUESTS_MAX
from tests.git.repositories import Repository, address, answering, create, endless_push, git
from tests.serving import Api, Server, wait_until


def test_a_push_deploys_and_shows_the_build(
    api: Api, git_server: Server, repository: Repository
) -> None:
    function_id = create(api, "pushed", commands="echo all well; echo to stderr >&2")
    commit = repository.commit({"main.py": answering("pushed")})
    told = git(repository.path, "push", address(git_server, function_id), "main").stderr
    assert f"remote: -----> Building pushed from main ({commit[:7]})" in told
    assert "remote: all well" in told
    assert "remote: to stderr" in told
    assert "remote: -----> Deployed to http://pushed.functions.localhost:" in told
    assert api.execute(function_id)["responseBody"] == "pushed"
    deployment = api.call("GET", f"/functions/{function_id}/deployments", 200)["deployments"][0]
    assert (deployment["type"], deployment["providerCommitHash"], deployment["providerBranch"]) == (
        "vcs",
        commit,
        "main",
    )
    again = git(repository.path, "push", address(git_server, function_id), "main").stderr
    assert "up-to-date" in again
    assert api.call("GET", f"/functions/{function_id}/deployments", 200)["total"] == 1


def test_a_push_works_after_one_that_was_killed(
    api: Api, git_server: Server, repository: Repository
) -> None:
    function_id = create(api, "interrupted")
    repository.commit({"main.py": answering("first")})
    git(repository.path, "push", address(git_server, function_id), "main")
    place = git_server.data / "repositories" / function_id / "repository.git"
    incoming = place / "objects" / "tmp_objdir-incoming-a1b2c3"
    (incoming / "pack").mkdir(parents=True)
    left = (
        "refs/heads/main.lock",
        "packed-refs.lock",
        "objects/pack/tmp_pack_a1",
        "objects/pack/.tmp-1-pack-a1.pack",
    )
    for name in left:
        (place / name).touch()
    repository.commit({"main.py": answering("second")})
    git(repository.path, "push", address(git_server, function_id), "main")
    assert api.execute(function_id)["responseBody"] == "second"
    assert not incoming.exists()
    assert [name for name in left if (place / name).exists()] == []


def test_a_failed_build_is_reported_and_leaves_the_old_one(
    api: Api, git_server: Server, repository: Repository
) -> None:
    function_id = create(api, "failing", commands="test ! -f broken")
    repository.commit({"main.py": answering("good")})
    git(repository.path, "push", address(git_server, function_id), "main")
    repository.commit({"broken": "yes"})
    pushed = git(repository.path, "push", address(git_server, function_id), "main")
    assert "remote: -----> Build failed" in pushed.stderr
    assert api.execute(function_id)["responseBody"] == "good"


def test_other_branches_wait_to_be_activated(
    api: Api, git_server: Server, repository: Repository
) -> None:
    function_id = create(api, "branches", providerBranch="live")
    repository.commit({"main.py": answering("main")})
    told = git(repository.path, "push", address(git_server, function_id), "main").stderr
    assert "Built, not active" in told
    repository.commit({"main.py": answering("live")}, branch="live")
    git(repository.path, "push", address(git_server, function_id), "live", "HEAD:refs/tags/v1")
    assert api.execute(function_id)["responseBody"] == "live"
    asked = api.call("POST", f"/functions/{function_id}/deployments/vcs", 202, json={
        "type": "branch", "reference": "main", "activate": True,
    })  # fmt: skip
    assert api.built(function_id, asked["$id"])["status"] == "ready"
    assert api.execute(function_id)["responseBody"] == "main"


def test_a_push_can_be_forced_taken_back_and_cloned(
    api: Api, git_server: Server, repository: Repository, tmp_path: Path
) -> None:
    function_id = create(api, "cloned")
    first = repository.commit({"main.py": answering("first")})
    repository.commit({"main.py": answering("second")})
    git(repository.path, "push", address(git_server, function_id), "main", "main:other")
    git(repository.path, "push", "--force", address(git_server, function_id), f"{first}:main")
    assert api.execute(function_id)["responseBody"] == "first"
    git(repository.path, "push", address(git_server, function_id), ":other")
    git(tmp_path, "clone", "-q", address(git_server, function_id), "copy")
    assert (tmp_path / "copy" / "main.py").read_text() == answering("first")
    git(
        repository.path,
        "-c",
        "protocol.version=0",
        "fetch",
        "-q",
        address(git_server, function_id),
        "main",
    )


def test_rights_to_push(
    api: Api, git_server: Server, repository: Repository, tmp_path: Path
) -> None:
    function_id = create(api, "guarded")
    repository.commit({"main.py": answering("x")})

    def refused(key: str) -> str:
        told = git(
            repository.path, "push", address(git_server, function_id, key), "main", check=False
        )
        assert told.returncode
        return told.stderr

    url = f"{git_server.url}/git/{function_id}.git/info/refs?service=git-receive-pack"
    with httpx.Client(trust_env=False) as client:
        guest = client.get(url)
        assert guest.status_code == 401
        assert guest.headers["www-authenticate"].startswith("Basic ")
        assert client.get(url, headers={"authorization": "Basic !!"}).status_code == 401
        assert (
            client.get(url.replace("receive-pack", "evil"), auth=("x", git_server.key)).status_code
            == 403
        )
        for name in ("..", "%2e%2e", "a%2fb", "..%2f..%2fetc", "-x", "nobody"):
            refs = f"{git_server.url}/git/{name}.git/info/refs?service=git-upload-pack"
            strange = client.get(refs,
                                 auth=("x", git_server.key))  # fmt: skip
            assert strange.status_code == 404, name
    assert "Authentication failed" in refused("wrong-key")
    reader = make_key(git_server, "functions.read")
    assert "403" in refused(reader)
    assert "functions.write" in refused(reader)
    git(tmp_path, "ls-remote", address(git_server, function_id, reader))
    writer = make_key(git_server, "functions.write")
    git(repository.path, "push", address(git_server, function_id, writer), "main")


def make_key(server: Server, scope: str, *options: str) -> str:
    command = [sys.executable, "-m", "minifn", "keys", "create", "--name", "t", "--scope", scope]
    done = subprocess.run(
        [*command, *options, "--data", str(server.data)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout.strip()


def test_a_push_is_not_larger_than_an_upload(
    api: Api, git_server: Server, repository: Repository
) -> None:
    function_id = create(api, "large")
    (repository.path / "noise").write_bytes(os.urandom(1_500_000))
    repository.commit({"main.py": answering("large")})
    told = git(repository.path, "push", address(git_server, function_id), "main", check=False)
    assert told.returncode
    assert (
        "[remote rejected] main -> main (More than 1,000,000 bytes at once are not taken.)"
        in told.stderr
    )
    assert api.call("GET", f"/functions/{function_id}/deployments", 200)["total"] == 0


def test_unfinished_requests_are_limited(api: Api, git_server: Server) -> None:
    function_id = create(api, "crowded")
    password = b64encode(f"any:{git_server.key}".encode()).decode()
    head = f"POST /git/{function_id}.git/git-receive-pack HTTP/1.1\r\nHost: x\r\n"
    head += f"Authorization: Basic {password}\r\n"
    with ExitStack() as held, httpx.Client(trust_env=False, auth=("any", git_server.key)) as client:
        # More than there is room for: one that is asked for meanwhile may come before the last of
        # them.
        for _ in range(GIT_REQUESTS_MAX + 8):
            connection = held.enter_context(
                socket.create_connection(("127.0.0.1", git_server.port), timeout=20)
            )
            connection.sendall(f"{head}Content-Length: 1000\r\n\r\n0000".encode())
        url = f"{git_server.url}/git/{function_id}.git/info/refs?service=git-upload-pack"
        wait_until(lambda: client.get(url).status_code == 503, 20, "one more is refused")
        assert api.call("GET", f"/functions/{function_id}", 200)["$id"] == function_id
        held.close()
        wait_until(lambda: client.get(url).status_code == 200, 20, "there is room again")


def test_links_in_a_pushed_tree_do_not_pass(
    api: Api, git_server: Server, repository: Repository
) -> None:
    function_id = create(api, "links")
    (repository.path / "secret").symlink_to("../../../../etc/passwd")
    repository.commit({"main.py": answering("x")})
    told = git(repository.path, "push", address(git_server, function_id), "main").stderr
    assert (
        "'secret' is left out: it links to '../../../../etc/passwd', outside the archive." in told
    )
    assert "Deployed" in told
    (deployment,) = api.call("GET", f"/functions/{function_id}/deployments", 200)["deployments"]
    assert not os.path.lexists(git_server.data / "builds" / deployment["$id"] / "secret")


def test_only_the_folder_of_the_function_is_deployed(
    api: Api, git_server: Server, repository: Repository
) -> None:
    function_id = create(api, "folder", providerRootDirectory="functions/one")
    repository.commit(
        {"functions/one/main.py": answering("one"), "functions/two/main.py": answering("two")}
    )
    git(repository.path, "push", address(git_server, function_id), "HEAD:master")
    assert api.execute(function_id)["responseBody"] == "one"
    wait_until(
        lambda: not list((git_server.data / "run" / "git").iterdir()),
        10,
        "temporary files are gone",
    )


def test_malformed_git_requests_are_refused(api: Api, git_server: Server) -> None:
    function_id = create(api, "garbage")
    url = f"{git_server.url}/git/{function_id}.git"
    with httpx.Client(trust_env=False, auth=("x", git_server.key)) as client:
        for body in (b"", b"garbage", b"00zz", b"ffff0", b"0005x" * 2000):
            assert client.post(f"{url}/git-receive-pack", content=body).status_code == 400, body
        gzipped = {"content-encoding": "gzip"}
        assert (
            client.post(f"{url}/git-upload-pack", content=b"no gzip", headers=gzipped).status_code
            == 400
        )
        bomb = gzip.compress(bytes(20_000_000))
        assert (
            client.post(f"{url}/git-upload-pack", content=bomb, headers=gzipped).status_code == 413
        )
        assert client.get(f"{url}/info/refs").status_code == 403
        assert client.get(f"{url}/objects/info/packs").status_code == 404
        assert client.get(f"{url}/../../admin.key").status_code == 404


def test_the_repository_goes_with_its_function(
    api: Api, git_server: Server, repository: Repository
) -> None:
    function_id = create(api, "deleted")
    repository.commit({"main.py": answering("x")})
    git(repository.path, "push", address(git_server, function_id), "main")
    kept = git_server.data / "repositories" / function_id
    assert kept.is_dir()
    api.call("DELETE", f"/functions/{function_id}", 204)
    assert not kept.exists()
    assert git(
        repository.path, "push", address(git_server, function_id), "main", check=False
    ).returncode
    create(api, function_id)
    assert (
        "Deployed" in git(repository.path, "push", address(git_server, function_id), "main").stderr
    )


def test_the_pusher_sees_the_log_while_the_build_runs(
    api: Api, git_server: Server, repository: Repository
) -> None:
    with endless_push(repository, git_server, api, "slow") as (pushing, lines):
        assert pushing.poll() is None
        (deployment,) = api.call("GET", "/functions/slow/deployments", 200)["deployments"]
        api.call("PATCH", f"/functions/slow/deployments/{deployment['$id']}/status", 200)
        assert any("Build canceled" in line for line in lines)
        assert pushing.wait(20) == 0


def test_a_server_is_an_installation_for_another(
    api: Api, git_server: Server, repository: Repository, place: Path
) -> None:
    function_id = create(api, "upstream")
    commit = repository.commit({"main.py": answering("by http")})
    git(repository.path, "push", address(git_server, function_id), "main")
    base = f"http://any:{git_server.key}@127.0.0.1:{git_server.port}/git"
    with (
        Server(place / "data-downstream", git_installations=f"up={base}", git_poll=1) as server,
        server.api as below,
    ):
        create(
            below,
            "down",
            installationId="up",
            providerRepositoryId=f"{function_id}.git",
            providerBranch="main",
        )
        (deployment,) = below.call("GET", "/functions/down/deployments", 200)["deployments"]
        assert below.built("down", deployment["$id"])["providerCommitHash"] == commit
        assert below.execute("down")["responseBody"] == "by http"
        repository.commit({"main.py": answering("again")})
        git(repository.path, "push", address(git_server, function_id), "main")
        wait_until(
            lambda: below.execute("down")["responseBody"] == "again",
            20,
            "the second push is deployed",
        )
        (seen, *_) = below.call("GET", "/functions/down/deployments", 200)["deployments"]
        assert git_server.key not in str(seen) + server.log_tail()


def test_a_key_for_other_functions_neither_pushes_nor_fetches(
    api: Api, git_server: Server, repository: Repository, tmp_path: Path
) -> None:
    theirs, own = create(api, "git2-theirs"), create(api, "git1-own")
    repository.commit({"main.py": answering("theirs")})
    git(repository.path, "push", address(git_server, theirs), "main")
    key = make_key(git_server, "functions.write", "--function", "git1-*")
    place = address(git_server, theirs, key)
    for command in (("ls-remote", place), ("push", place, "main:other"), ("clone", place, "x")):
        told = git(repository.path, *command, check=False)
        assert told.returncode
        assert "404" in told.stderr or "not found" in told.stderr, command
    told = git(repository.path, "push", address(git_server, own, key), "main")
    assert "Deployed to" in told.stderr
    scopes = {"name": "x", "scopes": ["functions.read"], "entrypoint": "main.py"}
    api.call("PUT", f"/functions/{own}", 200, json=scopes)
    asking = (
        "def main(context):\n    return context.res.text(context.req.headers['x-appwrite-key'])\n"
    )
    repository.commit({"main.py": asking})
    git(repository.path, "push", address(git_server, own, key), "main")
    with Api(git_server.endpoint, api.execute(own)["responseBody"]) as lent:
        lent.call("GET", f"/functions/{own}", 200)
        lent.call("GET", f"/functions/{theirs}", 404)
