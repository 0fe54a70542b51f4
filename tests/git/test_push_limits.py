"""Refused pushes: the client sees why, and the repository accepts later pushes."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from minifn.git.fetcher import REPOSITORY_FACTOR
from minifn.git.pktlines import FLUSH, line
from minifn.git.pushed import PACKS_MAX, REFERENCE_LEVELS_MAX
from tests.git.repositories import Repository, address, answering, create, git
from tests.serving import Api, Server

UPLOAD_LIMIT_BYTES = 100_000
REPOSITORY_BYTES = REPOSITORY_FACTOR * UPLOAD_LIMIT_BYTES
TOO_LARGE = f"the repository is larger than {REPOSITORY_BYTES:,} bytes: delete branches"
NEW = "0" * 40


@pytest.fixture(scope="module")
def small_server(place: Path) -> Iterator[Server]:
    """A server whose repositories hold a megabyte."""
    with Server(place / "data-small", upload_limit=UPLOAD_LIMIT_BYTES) as running:
        yield running


@pytest.fixture
def small_api(small_server: Server) -> Iterator[Api]:
    with small_server.api as client:
        yield client


def bare(server: Server, function_id: str) -> Path:
    return server.data / "repositories" / function_id / "repository.git"


def fill(repository: Repository, target: str) -> list[str]:
    """Push noise as tags until the repository at `target` takes no more; return the tags."""
    tags: list[str] = []
    while len(tags) < 2 * REPOSITORY_FACTOR:
        (repository.path / "noise").write_bytes(os.urandom(UPLOAD_LIMIT_BYTES * 9 // 10))
        git(repository.path, "checkout", "-q", "--orphan", f"orphan{len(tags)}")
        repository.commit({"main.py": answering("noise")}, branch=f"orphan{len(tags)}")
        told = git(repository.path, "push", target, f"HEAD:refs/tags/noise{len(tags)}", check=False)
        if told.returncode:
            assert f"({TOO_LARGE})" in told.stderr
            return tags
        tags.append(f"noise{len(tags)}")
    raise AssertionError("the repository takes whatever is pushed")


def test_a_full_repository_is_reported_and_emptied(
    small_api: Api, small_server: Server, repository: Repository
) -> None:
    function_id = create(small_api, "full")
    target = address(small_server, function_id)
    tags = fill(repository, target)
    # A client that does not ask for git's report gets the reason as the body of an error.
    commit = git(repository.path, "rev-parse", "HEAD").stdout.strip()
    body = line(f"{NEW} {commit} refs/heads/main\0 agent=x".encode()) + FLUSH + os.urandom(50_000)
    with httpx.Client(trust_env=False, auth=("x", small_server.key)) as client:
        answer = client.post(
            f"{small_server.url}/git/{function_id}.git/git-receive-pack", content=body
        )
    assert (answer.status_code, answer.text) == (413, f"{TOO_LARGE}\n")
    git(repository.path, "push", target, *(f":refs/tags/{tag}" for tag in tags[:3]))
    assert "Deployed" in git(repository.path, "push", target, "HEAD:main").stderr
    assert small_api.execute(function_id)["responseBody"] == "noise"


def test_a_broken_repository_is_reported(small_api: Api, small_server: Server) -> None:
    function_id = create(small_api, "broken")
    command = line(f"{NEW} {'1' * 40} refs/heads/main\0report-status".encode()) + FLUSH
    with httpx.Client(trust_env=False, auth=("x", small_server.key)) as client:
        url = f"{small_server.url}/git/{function_id}.git"
        assert client.get(f"{url}/info/refs?service=git-receive-pack").status_code == 200
        (bare(small_server, function_id) / "HEAD").unlink()
        answer = client.post(f"{url}/git-receive-pack", content=command + os.urandom(20_000))
        assert answer.status_code == 200
        assert b"ng refs/heads/main git ended with code 128" in answer.content
        old = client.post(
            f"{url}/git-receive-pack", content=command.replace(b"report-status", b"x" * 13)
        )
        assert (old.status_code, old.text) == (503, "git ended with code 128, signal None\n")


def test_an_error_of_git_before_it_has_read_the_push_is_passed_on(
    small_api: Api, small_server: Server
) -> None:
    function_id = create(small_api, "unread")
    command = line(f"{NEW} {'1' * 40} refs/heads/main\0report-status".encode())
    with httpx.Client(trust_env=False, auth=("x", small_server.key)) as client:
        url = f"{small_server.url}/git/{function_id}.git/git-receive-pack"
        answer = client.post(url, content=command + FLUSH + os.urandom(UPLOAD_LIMIT_BYTES // 2))
    assert answer.status_code == 200
    assert b"unpack protocol error (pack signature mismatch" in answer.content
    assert answer.content.endswith(FLUSH)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "/".join("d" * (REFERENCE_LEVELS_MAX + 1)),
            f"has more than {REFERENCE_LEVELS_MAX} levels",
        ),
        ("/".join("d" * 110), f"has more than {REFERENCE_LEVELS_MAX} levels"),
        ("/".join(["d" * 100] * 3), "is longer than 255 characters"),
    ],
)  # fmt: skip
def test_names_that_would_break_later_pushes_are_refused(
    api: Api, git_server: Server, repository: Repository, name: str, reason: str
) -> None:
    function_id = create(api, f"deep-{len(name)}")
    repository.commit({"main.py": answering("flat")})
    target = address(git_server, function_id)
    told = git(repository.path, "push", target, f"main:refs/heads/{name}", check=False)
    assert told.returncode
    assert f"[remote rejected] main -> {name} (refs/heads/" in told.stderr
    assert f"{reason})" in told.stderr
    assert "Deployed" in git(repository.path, "push", target, "main").stderr
    assert not list((bare(git_server, function_id) / "refs" / "heads").glob("d*"))


@pytest.mark.parametrize("levels", [110, pytest.param(1500, marks=pytest.mark.slow)])
def test_deep_names_that_are_there_break_no_later_push(
    api: Api, git_server: Server, repository: Repository, levels: int
) -> None:
    function_id = create(api, f"once-deep-{levels}")
    target = address(git_server, function_id)
    first = repository.commit({"main.py": answering("first")})
    git(repository.path, "push", target, "main")
    deep = f"refs/heads/{'/'.join('d' * levels)}"
    git(bare(git_server, function_id), "update-ref", deep, first)
    repository.commit({"main.py": answering("second")})
    assert "Deployed" in git(repository.path, "push", target, "main").stderr
    assert api.execute(function_id)["responseBody"] == "second"
    assert deep in git(repository.path, "ls-remote", target).stdout
    git(repository.path, "push", target, f":{deep}")
    assert deep not in git(repository.path, "ls-remote", target).stdout
    api.call("DELETE", f"/functions/{function_id}", 204)
    assert not (git_server.data / "repositories" / function_id).exists()


@pytest.mark.slow
def test_many_packs_are_put_together(
    api: Api, git_server: Server, repository: Repository, tmp_path: Path
) -> None:
    function_id = create(api, "packed")
    target = address(git_server, function_id)
    for number in range(PACKS_MAX + 1):
        repository.commit({"main.py": answering(str(number))})
        git(repository.path, "push", target, f"HEAD:refs/tags/n{number}")
    packs = bare(git_server, function_id) / "objects" / "pack"
    assert len(list(packs.glob("*.pack"))) == PACKS_MAX + 1
    # Left by one that was killed: git believes it for twelve hours.
    (bare(git_server, function_id) / "gc.pid").write_text(f"1 {socket.gethostname()}")
    repository.commit({"main.py": answering("last")})
    git(repository.path, "push", target, "main")
    assert len(list(packs.glob("*.pack"))) == 2
    assert api.execute(function_id)["responseBody"] == "last"
    git(tmp_path, "clone", "-q", target, "copy")
    assert git(tmp_path / "copy", "tag").stdout.split() == sorted(
        f"n{number}" for number in range(PACKS_MAX + 1)
    )
