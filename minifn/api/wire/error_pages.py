"""Errors outside the API, as on functions' domains: HTML pages, or JSON if the client asks."""

import html
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.types import Scope

from minifn.api.wire.answers import Answer

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Error {code}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 15vh auto 0; max-width: 36rem;
  padding: 0 1rem; color: #222; background: #fff }}
h1 {{ font-size: 1.5rem; margin: 0 0 .5rem }}
h2 {{ font-size: 1rem; margin: 1.5rem 0 0 }}
code, footer {{ color: #666; font-size: .875rem }}
pre {{ font-size: .875rem; overflow: auto; margin: .25rem 0 0 }}
footer {{ margin-top: 2rem }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #ddd; background: #181818 }}
  code, footer {{ color: #999 }}
}}
</style>
</head>
<body>
<p><code>Error {code}</code></p>
<h1>{title}</h1>
<p>{details}</p>
{texts}<footer><code>{type}</code>{execution} &middot; minifn</footer>
</body>
</html>
"""


def wants_json(scope: Scope) -> bool:
    """Tell whether the Accept header names JSON but not HTML, which browsers name."""
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return b"application/json" in accept and b"text/html" not in accept


def page_of(answer: Answer, execution_id: str = "", texts: Mapping[str, str] = {}) -> Answer:
    """Return an error's JSON as a page; the first sentence of the message is the heading.

    `execution_id` is the execution that ended in it, and `texts` its output: heading -> text.
    """
    problem: dict[str, Any] = msgspec.json.decode(answer.body)
    title, _, details = problem["message"].partition(". ")
    fields = {
        "code": answer.status,
        "title": title.rstrip("."),
        "details": details,
        "type": problem["type"],
    }
    escaped = {name: html.escape(str(value)) for name, value in fields.items()}
    escaped["texts"] = "".join(
        f"<h2>{html.escape(name)}</h2>\n<pre>{html.escape(text)}</pre>\n"
        for name, text in texts.items()
    )
    escaped["execution"] = (
        f" &middot; execution <code>{html.escape(execution_id)}</code>" if execution_id else ""
    )
    body = _PAGE.format_map(escaped).encode(errors="replace")
    headers = [item for item in answer.headers if not item[0].startswith(b"content-")]
    if texts:
        # The function's own header could let others read the page from a cache.
        headers = [item for item in headers if item[0] != b"cache-control"]
        headers.append((b"cache-control", b"no-store"))
    return Answer(answer.status, body, [(b"content-type", b"text/html; charset=UTF-8"), *headers])
