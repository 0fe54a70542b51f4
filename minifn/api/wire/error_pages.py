"""Errors outside the API, as on functions' domains: HTML pages, or JSON if the client asks."""

import html
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
code, footer {{ color: #666; font-size: .875rem }}
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
<footer><code>{type}</code> &middot; minifn</footer>
</body>
</html>
"""


def wants_json(scope: Scope) -> bool:
    """Tell whether the Accept header names JSON but not HTML, which browsers name."""
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return b"application/json" in accept and b"text/html" not in accept


def page_of(answer: Answer) -> Answer:
    """Return an error's JSON as a page; the first sentence of the message is the heading."""
    problem: dict[str, Any] = msgspec.json.decode(answer.body)
    title, _, details = problem["message"].partition(". ")
    fields = {
        "code": answer.status,
        "title": title.rstrip("."),
        "details": details,
        "type": problem["type"],
    }
    body = _PAGE.format_map(
        {name: html.escape(str(value)) for name, value in fields.items()}
    ).encode()
    headers = [item for item in answer.headers if not item[0].startswith(b"content-")]
    return Answer(answer.status, body, [(b"content-type", b"text/html; charset=UTF-8"), *headers])
