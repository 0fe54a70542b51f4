"""Opens a page of the console in the browser, so that only this user sees its one-time link."""

import html
import os
import tempfile
from pathlib import Path

import click

#: The file that leads to the link, in the user's directory of settings.
FILE = "open-console.html"
PAGE = '<!doctype html><meta http-equiv="refresh" content="0; url={}"><title>minifn</title>\n'


def open_link(url: str) -> None:
    """Open a link in the browser; do nothing where its file cannot be written.

    The browser gets a file that leads there and that only this user can read, because every user of
    the machine reads command lines.
    """
    try:
        place = _written(PAGE.format(html.escape(url)))
    except OSError:
        # The link was printed.
        return
    click.launch(place.as_uri())


def _written(page: str) -> Path:
    """Write the file anew. Raises OSError."""
    folder = Path(click.get_app_dir("minifn"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made with mode 0600, and renamed: what was there may be another user's, or a link.
    handle, name = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(page)
    return Path(name).rename(folder / FILE)
