"""Hostile hosts of repositories."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minifn.config import Config
from minifn.git.fetcher import Fetcher
from minifn.git.installations import Installation
from minifn.git.program import Git, GitFailed
from minifn.host.datadir import DataDir
from minifn.sandbox.choose import choose
from minifn.sandbox.spawner import Spawner
from tests.serving import Server, wait_until


class Host(ThreadingHTTPServer):
    """Answers every request with one status and header, and notes what it was sent."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.headers = status, headers
        self.body = b""
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
        self.wfile.write(self.server.body)

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
    with (
        serving(Host(404)) as other,
        serving(Host(302, Location=f"http://{other.url}PATH")) as host,
    ):
        message = refusal(tmp_path, f"http://user:secret@{host.url}")
        assert host.passwords[0].startswith("Basic ")
        assert other.passwords == []
        assert "secret" not in message


def test_a_host_writes_one_line_of_the_log(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    with serving(Host(403, **{"Content-Type": "text/plain"})) as host:
        host.body = b"no\n2026-01-01 00:00:00,000 ERROR minifn: all is lost\n\x1b[2J"
        settings = {"git_installations": f"host=http://{host.url}", "git_poll": 1}
        with Server(tmp_path / "data", **settings) as server, server.api as api:
            connected = {
                "installationId": "host",
                "providerRepositoryId": "team/x",
                "providerBranch": "main",
            }
            api.create("fn", api.runtime("python"), entrypoint="main.py", **connected)
            wait_until(
                lambda: "team/x of host" in server.log.read_text(), 30, "the server complains"
            )
            log = server.log.read_text()
    assert "all is lost" in log
    assert not [
        line for line in log.splitlines() if line.startswith("2026-01-01") or not line.isprintable()
    ]


def test_no_redirect_leads_to_another_protocol(tmp_path: Path) -> None:
    with serving(Host(302, Location=f"file://{tmp_path}")) as host:
        assert refusal(tmp_path, f"http://{host.url}")


def test_git_never_prompts_for_a_password(tmp_path: Path) -> None:
    challenge = {"WWW-Authenticate": "Basic realm=x"}
    with serving(Host(401, **challenge)) as host:
        assert "could not read Username" in refusal(tmp_path, f"http://{host.url}")
