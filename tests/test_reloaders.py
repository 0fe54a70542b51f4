"""Reloaders beside uvicorn's: those that see the data directory are pointed out."""

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from minifn.host.reloader import watching_process
from tests.patience import patient
from tests.processes import killed_at_end
from tests.serving import Api, free_port, pack, wait_until

KEY = "admin-key"
APP = """
from starlette.applications import Starlette

from minifn import Config, Minifn

with open({starts!r}, "a") as file:
    file.write("started\\n")
minifn = Minifn(Config(data={data!r}, api_key={key!r}))
app = Starlette(routes=minifn.routes(), lifespan=minifn.lifespan)
"""
MAIN = b"def main(context):\n    return context.res.text('ran')\n"
LINE = "watches the data directory"


class Project:
    """A folder with an app, and the command that serves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder.parent / "app.log"
        self.port = free_port()
        self._starts = folder.parent / "starts"
        source = APP.format(starts=str(self._starts), data=str(folder / "fn"), key=KEY)
        (folder / "app.py").write_text(source)

    @contextmanager
    def running(self, *command: str) -> Iterator[None]:
        """Run a command of this environment in the folder until the block ends."""
        program = [sys.executable, "-m", *command]
        with (
            self.log.open("ab") as log,
            killed_at_end(
                subprocess.Popen(
                    program,
                    cwd=self.folder,
                    env={**os.environ, "MINIFN_API_KEY": KEY, "MINIFN_SANDBOX": "process"},
                    stderr=log,
                    stdout=log,
                )
            ) as server,
        ):
            try:
                yield
            finally:
                end(server)

    def says(self, text: str) -> bool:
        return text in self.log.read_text()

    @property
    def starts(self) -> int:
        """How often the app was imported."""
        return len(self._starts.read_text().splitlines()) if self._starts.exists() else 0


def end(server: subprocess.Popen[bytes]) -> None:
    """End a server, and its workers when it does not end: granian waits for them.

    A worker of granian loses a signal that comes while it starts.
    """
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(patient(5))
        return
    for worker in psutil.Process(server.pid).children():
        worker.terminate()
    server.wait(patient(30))


@pytest.fixture
def project(data: Path) -> Project:
    (place := data.parent / "project").mkdir(mode=0o755)
    return Project(place)


def test_granians_reloader_is_pointed_out(project: Project) -> None:
    pytest.importorskip("granian")
    arguments = ("--interface", "asgi", "--port", str(project.port), "--reload", "app:app")
    with project.running("granian", *arguments):
        wait_until(lambda: project.says(LINE), 60, "the line")


def test_watchfiles_is_pointed_out(project: Project) -> None:
    pytest.importorskip("watchfiles")
    serve = shlex.join([sys.executable, "-m", "minifn", "serve", "--port", "0", "--data", "fn"])
    with project.running("watchfiles", serve, "."):
        wait_until(lambda: project.says(LINE), 60, "the line")


def test_hypercorns_reloader_sees_no_builds(project: Project) -> None:
    """It looks at the modules of the app alone, as Django's does."""
    pytest.importorskip("hypercorn")
    bind = f"127.0.0.1:{project.port}"
    with project.running("hypercorn", "--reload", "--bind", bind, "app:app"):
        wait_until(lambda: project.says("Running on"), 60, "the server answers")
        before = project.starts
        with Api(f"http://{bind}/v1", KEY) as api:
            api.create("f", api.runtime("python"), entrypoint="main.py")
            api.deploy("f", pack(extra={"main.py": MAIN}))
            assert api.execute("f")["responseBody"] == "ran"
        assert project.starts == before
        assert not project.says(LINE)


def test_a_process_that_watches_nothing_does_not_count(tmp_path: Path) -> None:
    assert watching_process(tmp_path / "data") == ""
