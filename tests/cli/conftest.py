"""One server for the everyday commands, and a directory that is linked to it."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from minifn.cli import main
from minifn.cli.finding import Found, write_link
from tests.serving import PROJECT, Server


class Here:
    """Runs commands in a directory of its own that is linked to the shared server."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        link = Found(url=server.url, project=PROJECT, key=server.key, source="")
        write_link(folder, link)

    def file(self, name: str, text: str) -> Path:
        """Write a file below the directory."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, *arguments: str, status: int = 0, given: bytes | None = None) -> Result:
        """Run a command in this process. Raises AssertionError for another exit code."""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            done = CliRunner().invoke(main, arguments, input=given)
        finally:
            os.chdir(before)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == status, f"{arguments}: {done.exit_code}\n{done.output}"
        return done


@pytest.fixture
def here(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Here:
    """A directory whose commands find the shared server."""
    for name in os.environ:
        if name.startswith("MINIFN_") or name == "COLUMNS":
            monkeypatch.delenv(name)
    return Here(tmp_path, server)
