"""Hosts of repositories that do not mean well."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minifn.config import Config
from minifn.datadir import DataDir
from minifn.git.fetching import Fetcher
from minifn.git.installations import Installation
from minifn.git.program import Git, GitFailed
from minifn.sandbox.probe import choose
from minifn.sandbox.spawner import Spawner


class Host(ThreadingHTTPServer):
    """Answers every request with one status and header, and notes what it was sent."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.headers = status, headers
        self.passwords: list[str] = []

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        self.server.passwords.append(self.headers.get("Authorization", ""))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value.replace("PATH", self.path))
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def serving(host: Host) -> Iterator[Host]:
    with host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        yield host
        host.shutdown()
        thread.join()


def refusal(root: Path, base: str) -> str:
    """Return why the branches of a repository below `base` cannot be read."""
    data = DataDir(root / "data")
    data.prepare()

    async def read() -> None:
        async with Spawner(data.run) as spawner:
            engine = await choose("auto", spawner, data)
            fetcher = Fetcher(Git(Config(data=data.root), data, engine, spawner, {}), 1000)
            await fetcher.heads(Installation.parse(f"host={base}").remote("team/x"))

    with pytest.raises(GitFailed) as error:
        asyncio.run(read())
    return str(error.value)


def test_a_password_follows_no_redirect(tmp_path: Path) -> None:
    with serving(Host(404)) as other, serving(Host(302, Location=f"http://{other.url}PATH")) as host:
        message = refusal(tmp_path, f"http://user:secret@{host.url}")
        assert host.passwords[0].startswith("Basic ")
        assert other.passwords == []
        assert "secret" not in message


def test_no_redirect_leads_to_another_protocol(tmp_path: Path) -> None:
    with serving(Host(302, Location=f"file://{tmp_path}")) as host:
        assert refusal(tmp_path, f"http://{host.url}")


def test_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    challenge = {"WWW-Authenticate": "Basic realm=x"}
    with serving(Host(401, **challenge)) as host:
        assert "could not read Username" in refusal(tmp_path, f"http://{host.url}")
