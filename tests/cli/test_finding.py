"""The server that a command finds."""

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minifn.cli.finding import Found, NoServer, find_server, write_link
from minifn.host.datadir import DataDir
from minifn.sandbox import lock
from tests.serving import PROJECT, Server

LINKED = Found(url="http://linked.test:1", project="shop", key="k-link", source="")


Serving = Callable[..., int]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Makes a data directory as a server that runs has it, and returns its lock's descriptor."""
    locks: list[int] = []

    def make(place: Path, url: str, key: str = "k-data") -> int:
        data = DataDir(place)
        data.prepare()
        data.leave_address(f"{url}\nclass\n")
        if key:
            data.admin_key.write_text(f"{key}\n")
        locks.append(asyncio.run(lock.acquire(data.run)))
        return locks[-1]

    yield make
    for descriptor in locks:
        os.close(descriptor)


def found(start: Path, url: str = "", key: str = "", **environ: str) -> tuple[str, str, str]:
    named = find_server(start, environ, url=url, key=key)
    return named.url, named.project, named.key


def test_options_win_then_variables_then_the_link_then_data(
    serving: Serving, tmp_path: Path
) -> None:
    start = tmp_path / "work" / "deep"
    start.mkdir(parents=True)
    serving(tmp_path / "work/minifn-data", "http://127.0.0.1:8000")
    assert found(start) == ("http://127.0.0.1:8000", "class", "k-data")
    write_link(tmp_path / "work", LINKED)
    assert found(start) == ("http://linked.test:1", "shop", "k-link")
    serving(start / ".minifn/data", "http://127.0.0.1:7000")
    assert found(start)[0] == "http://127.0.0.1:7000"
    environ = {"MINIFN_SERVER": "https://named.test/fn/v1/", "MINIFN_API_KEY": "k-env"}
    assert found(start, **environ) == ("https://named.test/fn", "minifn", "k-env")
    assert found(start, "http://option.test", "k", MINIFN_PROJECT="p", **environ) == (
        "http://option.test",
        "p",
        "k",
    )


def test_the_data_directory_of_the_setting_counts(serving: Serving, tmp_path: Path) -> None:
    serving(tmp_path / "elsewhere", "http://127.0.0.1:9000", key="")
    environ = {"MINIFN_DATA": "elsewhere", "MINIFN_API_KEY": "k-env"}
    assert found(tmp_path, **environ) == ("http://127.0.0.1:9000", "class", "k-env")


def test_the_address_of_a_killed_server_does_not_count(serving: Serving, tmp_path: Path) -> None:
    """Another program may have the port now, and would be sent the key."""
    held = serving(tmp_path / "minifn-data", "http://127.0.0.1:8000")
    assert found(tmp_path)[2] == "k-data"
    fcntl.flock(held, fcntl.LOCK_UN)
    with pytest.raises(NoServer):
        found(tmp_path)


def test_the_link_is_private_and_ignored_by_git(tmp_path: Path) -> None:
    for _ in range(2):
        path = write_link(tmp_path, LINKED)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (path.parent / ".gitignore").read_text() == "*\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="files of other users are made by root")
def test_files_of_other_users_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_link(tmp_path, LINKED)
    os.chown(path, 20301, 20301)
    with pytest.raises(NoServer):
        found(tmp_path)
    # Theirs is known as what it is by its owner.
    monkeypatch.setattr(os, "geteuid", lambda: 20301)
    assert found(tmp_path)[0] == LINKED.url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:8000", "--server must be an address such as"),
        ("http://", "--server must be an address"),
        ("http://any:secret@host", "--server holds a password"),
        ("", "no server found: start one with `minifn serve`"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(url: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(NoServer, match=message) as caught:
        found(tmp_path, url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_broken_link_is_one_line(tmp_path: Path) -> None:
    path = write_link(tmp_path, LINKED)
    for text in ("{", "[]", json.dumps({"server": "nowhere"})):
        path.write_text(text)
        with pytest.raises(NoServer, match=str(path)):
            found(tmp_path)


def test_a_server_leaves_its_address_while_it_runs(data: Path) -> None:
    with Server(data) as server:
        start = data.parent
        data.rename(start / "minifn-data")
        assert found(start) == (
            server.url,
            PROJECT,
            (start / "minifn-data/admin.key").read_text().strip(),
        )
        (start / "minifn-data").rename(data)
    with pytest.raises(NoServer):
        found(data.parent)
