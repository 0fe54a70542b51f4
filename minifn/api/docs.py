"""The documentation as pages below `/docs/`, and the page at `/` that leads there.

The pages are the Markdown files of `minifn/docs`, rendered at the first request. They load nothing
from other hosts and run no script, and the headers forbid both: the search is a form.
"""

import asyncio
import functools
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from minifn import __version__
from minifn.api.wire.error_pages import wants_json

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

PLACE = Path(__file__).parents[1] / "docs"
#: The page that lists the others: its lists are the menu of every page.
INDEX = "index"
FILES = {
    ".css": "text/css",
    ".md": "text/markdown; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "max-age=60",
}
#: Most results of a search.
RESULTS_MAX = 40
#: Most characters of a search.
SEARCH_CHARS_MAX = 100
_LINK = re.compile(r"([a-z-]+)\.md(#.*)?")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with the text below it, up to the next heading."""

    page: str
    title: str
    level: int
    anchor: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """One rendered Markdown file."""

    title: str
    content: str
    sections: tuple[Section, ...]


@dataclass(frozen=True, kw_only=True)
class Manual:
    """Every page, in the order of the menu, and the HTML of the menu and the frame of pages."""

    pages: dict[str, Page]
    menu: str
    frame: str

    def show(self, name: str, title: str, content: str, contents: str = "", words: str = "") -> str:
        """Return a whole HTML document. `name` is the page that the menu marks."""
        return self.frame.format(
            title=html.escape(title),
            content=content,
            contents=contents,
            menu=self.menu.replace(f'href="{name}"', f'href="{name}" aria-current="page"'),
            searched=html.escape(words, quote=True),
            version=__version__,
        )

    def page(self, name: str) -> str:
        """Return the document of a page. Raises KeyError."""
        page = self.pages[name]
        contents = "".join(
            f'<li><a href="#{item.anchor}">{html.escape(item.title)}</a></li>'
            for item in page.sections
            if item.level == 2
        )
        return self.show(name, page.title, page.content, f"<ul>{contents}</ul>" if contents else "")

    def search(self, words: str) -> str:
        """Return a document with the sections that have every word, matching headings first."""
        wanted = words.lower().split()
        sections = (
            [item for page in self.pages.values() for item in page.sections] if wanted else []
        )
        inside = [item for item in sections if _holds(f"{item.title} {item.text}", wanted)]
        named = [item for item in inside if _holds(item.title, wanted)]
        found = list(dict.fromkeys((*named, *inside)))[:RESULTS_MAX]
        rows = "".join(
            f'<li><a href="{item.page}#{item.anchor}">{html.escape(self._path(item))}</a></li>'
            for item in found
        )
        answer = f"<ul>{rows}</ul>" if rows else "<p>Nothing was found.</p>"
        return self.show("", "Search", f"<h1>Search</h1>{answer}", words=words)

    def _path(self, section: Section) -> str:
        title = self.pages[section.page].title
        return title if section.level == 1 else f"{title}: {section.title}"


def _holds(text: str, words: Sequence[str]) -> bool:
    lowered = text.lower()
    return all(word in lowered for word in words)


@functools.cache
def manual() -> Manual:
    """Read and render every page, once; this takes some tenths of a second."""
    # Imported here, because most servers show no page.
    from markdown_it import MarkdownIt
    from mdit_py_plugins.anchors import anchors_plugin

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.use(anchors_plugin, min_level=1, max_level=3)
    markdown.add_render_rule("link_open", _link)
    markdown.add_render_rule("table_open", _table)
    markdown.add_render_rule("table_close", _table_end)
    tokens = {path.stem: markdown.parse(path.read_text()) for path in PLACE.glob("*.md")}
    order = [INDEX, *(name for name in _linked(tokens[INDEX]) if name in tokens)]
    return Manual(
        pages={name: _page(name, tokens[name], markdown) for name in order},
        menu=markdown.renderer.render(list(_menu(tokens[INDEX])), markdown.options, {}),
        frame=(PLACE / "frame.html").read_text(),
    )


def _page(name: str, tokens: "Sequence[Token]", markdown: "MarkdownIt") -> Page:
    sections = tuple(_sections(name, tokens))
    content = markdown.renderer.render(tokens, markdown.options, {})
    return Page(title=sections[0].title, content=content, sections=sections)


def _sections(page: str, tokens: "Sequence[Token]") -> "Iterator[Section]":
    starts = [place for place, token in enumerate(tokens) if token.type == "heading_open"]
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        yield Section(
            page=page,
            title=tokens[start + 1].content.replace("`", ""),
            level=int(tokens[start].tag[1]),
            anchor=str(tokens[start].attrGet("id") or ""),
            text="\n".join(token.content for token in tokens[start + 3 : end]),
        )


def _linked(tokens: "Sequence[Token]") -> "Iterator[str]":
    """Yield the names of the pages that a page links to, in its order."""
    for token in tokens:
        for child in token.children or ():
            match = _LINK.fullmatch(str(child.attrGet("href") or ""))
            if match:
                yield match[1]


def _menu(tokens: "Sequence[Token]") -> "Iterator[Token]":
    """Yield the headings and lists of a page; items end after their links."""
    kept = False
    for token in tokens:
        if token.type == "heading_open" and token.tag == "h2":
            kept = True
        if not kept:
            continue
        if token.type == "inline":
            token = token.copy()
            children = list(token.children or ())
            ends = [place for place, child in enumerate(children) if child.type == "link_close"]
            token.children = children[: ends[0] + 1] if ends else children
        elif token.type == "heading_open":
            token = token.copy(attrs={})
        yield token


def _link(renderer: Any, tokens: "Sequence[Token]", place: int, options: Any, env: Any) -> str:
    """Render the start of a link; one to another page loses its `.md`."""
    token = tokens[place]
    match = _LINK.fullmatch(str(token.attrGet("href")))
    if match:
        token.attrSet("href", f"{'./' if match[1] == INDEX else match[1]}{match[2] or ''}")
    return str(renderer.renderToken(tokens, place, options, env))


def _table(*_: Any) -> str:
    return '<div class="table"><table>'


def _table_end(*_: Any) -> str:
    return "</table></div>"


async def _home(request: Request) -> Response:
    """Answer with the start page; 404 for clients that ask for JSON."""
    if wants_json(request.scope):
        raise HTTPException(404)
    page = (PLACE / "home.html").read_text().format(version=__version__)
    return Response(page, headers=HEADERS, media_type="text/html")


async def _docs(request: Request) -> Response:
    """Answer with a page, a search, or a file that pages use."""
    name = request.path_params.get("name")
    if name is None:
        return RedirectResponse("docs/", 308)
    path = PLACE / Path(name).name
    if path.suffix in FILES and name == path.name and path.is_file():
        return Response(path.read_bytes(), headers=HEADERS, media_type=FILES[path.suffix])
    book = await asyncio.to_thread(manual)
    if name == "search":
        words = request.query_params.get("q", "")[:SEARCH_CHARS_MAX]
        return Response(book.search(words), headers=HEADERS, media_type="text/html")
    try:
        return Response(book.page(name or INDEX), headers=HEADERS, media_type="text/html")
    except KeyError:
        raise HTTPException(404) from None


ROUTES = (Route("/", _home), Route("/docs", _docs), Route("/docs/{name:path}", _docs))
