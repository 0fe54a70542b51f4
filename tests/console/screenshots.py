"""Saves a picture of every page of the console: `python -m tests.console.screenshots [FOLDER]`.

Those of the documentation are written to `minifn/docs` with `--docs`; look at every one.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from minifn.api.docs import PLACE
from tests.console.conftest import chromium_path
from tests.console.scene import newest, sign_in, staged
from tests.console.test_pages import PAGES, Console
from tests.serving import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = {1280: 800, 360: 740}
#: Picture of the documentation -> the page that it shows.
DOCS = {"console-functions.png": "", "console-execution.png": "execution"}


def pages(server: Server) -> dict[str, str]:
    """Return the pages to show by the names of their pictures: path and text to wait for."""
    with server.api as api:
        execution = api.execute("hello", path="/orders?id=7", body="tea")
        failed = newest(api, "draft")
    return {
        **{path.replace("/", "-") or "functions": path for path in PAGES},
        "execution": f"executions/{execution['$id']}",
        "deployment": f"functions/draft/deployments/{failed}",
    }


def show(browser: "Browser", server: Server, folder: Path, *, docs: bool) -> None:
    """Write the pictures: of every page, or those of the documentation."""
    paths = pages(server)
    for width, height in {900: 480}.items() if docs else WIDTHS.items():
        for theme in THEMES[:1] if docs else THEMES:
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=theme
            )
            sign_in(context, server)
            tab = Console(context, server)
            names = {f"{name}-{width}-{theme}.png": path for name, path in paths.items()}
            if docs:
                names = {name: paths.get(path, path) for name, path in DOCS.items()}
            for name, path in names.items():
                tab.open(path, PAGES.get(path, ""))
                tab.page.locator("main > *").first.wait_for()
                tab.page.wait_for_timeout(300)
                tab.page.screenshot(path=folder / name)
            context.close()


def main() -> None:
    """Read the command line and write the pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("screenshots"))
    parser.add_argument("--docs", action="store_true")
    given = parser.parse_args()
    folder = PLACE if given.docs else given.folder
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with (
        tempfile.TemporaryDirectory() as place,
        staged(Path(place) / "data") as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=arguments)
        show(browser, server, folder, docs=given.docs)
        browser.close()


if __name__ == "__main__":
    main()
