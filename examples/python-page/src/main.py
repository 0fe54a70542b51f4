"""Reads a page from a file beside the module, in any working directory."""

from pathlib import Path
from string import Template

PAGE = Template((Path(__file__).parent / "page.html").read_text())
visits = 0


def main(context):
    global visits
    visits += 1
    page = PAGE.substitute(visits=visits, path=context.req.path)
    return context.res.text(page, 200, {"content-type": "text/html; charset=utf-8"})
