"""One server and one browser for all tests of the console; they cost seconds."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.console.scene import sign_in, staged
from tests.serving import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_path() -> str:
    """Return the path of the system's Chromium; "" without one."""
    return next((path for name in NAMES if (path := shutil.which(name))), "")


@contextlib.contextmanager
def chromium() -> "Iterator[Browser]":
    """Chromium of the system, driven by Playwright; skips without one of them."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install 'minifn[browser]'"
    )
    path = chromium_path()
    if not path:
        pytest.skip("chromium is not on PATH: apt-get install chromium")
    # Chromium's own sandbox refuses to run as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium for the tests of a module."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def staged_server(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with functions, executions and a failed build."""
    with staged(tmp_path_factory.mktemp("console") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def session(browser: "Browser", staged_server: Server) -> "Iterator[BrowserContext]":
    """A signed-in browser; its cookies are those of all tests."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    sign_in(context, staged_server)
    yield context
    context.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core; "" where npm has not installed it."""
    return axe_source()


def axe_source() -> str:
    """Return the source of axe-core; "" where npm has not installed it."""
    path = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
    return path.read_text() if path.is_file() else ""
