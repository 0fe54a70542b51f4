"""A data directory removed from a running server: nothing is acknowledged that would be lost."""

import contextlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from minifn.host.identity import FileIdentity
from tests.serving import FUNCTIONS, Server, pack, wait_until


def test_files_are_known_by_more_than_their_names(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_text("a")
    presence = FileIdentity(path)
    path.write_text("b")
    assert presence.missing() == ""
    path.rename(tmp_path / "moved")
    assert presence.missing() == str(path)
    path.write_text("b")
    assert presence.missing() == str(path)
    path.unlink()
    (tmp_path / "moved").rename(path)
    assert presence.missing() == ""
    shutil.rmtree(path.parent)
    assert presence.missing() == str(path)


def replace(path: Path) -> None:
    """Put a copy in the place of a file."""
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)


def move(path: Path) -> None:
    """Move the directory of a file."""
    path.parent.rename(path.parent.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("name", "happens"),
    [
        ("minifn.db", Path.unlink),
        ("minifn.db", replace),
        ("minifn.db-wal", Path.unlink),
        ("minifn.db", move),
    ],
    ids=["removed", "replaced", "log", "moved"],
)
def test_a_server_without_its_database_acknowledges_nothing_and_stops(
    data: Path, name: str, happens: Callable[[Path], None]
) -> None:
    server = Server(data).start()
    with server.api as api:
        api.create("hello", api.runtime("python"), entrypoint="main.py")
        api.deploy("hello", pack(FUNCTIONS / "hello"))
        happens(data / name)
        try:
            answer = api.http.post("/functions/hello/executions", json={})
            assert answer.status_code in (500, 503)
            assert api.http.get("/health").status_code in (500, 503)
        except httpx.TransportError:
            # It is faster at stopping.
            wait_until(lambda: server.process.poll() is not None, 15, "it stops")
    assert server.ended(15) == 1
    # The part that meets the loss first.
    last = server.log_tail().splitlines()[-1]
    assert re.fullmatch(
        r"minifn: stopped: the (watch over the data directory|builder) ended unexpectedly", last
    )
    assert f"removed or replaced while the server ran: '{data / name}'" in server.log_tail()


def test_a_server_without_its_lock_stops(data: Path) -> None:
    server = Server(data).start()
    (data / "run" / "lock").unlink()
    # The server may have been faster.
    with server.api as api, contextlib.suppress(httpx.TransportError):
        assert api.call("GET", "/health", 503)["status"] == "fail"
    assert server.ended(15) == 1
