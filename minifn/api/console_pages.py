"""The console below `/console/`: its static files, and its one document for every other path.

The document's scripts read the path. Its base makes the files' addresses right at any depth and
below any prefix. Nothing is loaded from other hosts and no script stands in a document; the headers
forbid both.
"""

import hashlib
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

PLACE = Path(__file__).parents[1] / "console"
DOCUMENT = "index.html"
#: Suffix of a file -> its content type.
FILES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: Folders of files. Elsewhere below the root, a suffix is that of an id: `functions/a.js`.
FOLDERS = ("pages", "parts")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self' data:; base-uri 'self'; form-action 'none';"
    " frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    # A browser asks each time whether a file has changed, so an upgrade never mixes versions.
    "cache-control": "no-cache",
}


def _content(path: str) -> tuple[bytes, str]:
    """Return a file, or the document for the path of a page. Raises HTTPException with 404."""
    folder, slash, _ = path.partition("/")
    if Path(path).suffix in FILES and (folder in FOLDERS or not slash):
        file = (PLACE / path).resolve()
        if not file.is_relative_to(PLACE) or not file.is_file():
            raise HTTPException(404)
        return file.read_bytes(), FILES[file.suffix]
    base = "../" * path.count("/") or "./"
    document = (PLACE / DOCUMENT).read_text().replace('href="BASE"', f'href="{base}"')
    return document.encode(), "text/html"


async def _console(request: Request) -> Response:
    """Answer with a file or the document; 304 when the browser has it already."""
    path = request.path_params.get("path")
    if path is None:
        return RedirectResponse("console/", 308)
    content, media_type = _content(path)
    headers = {**HEADERS, "etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)


ROUTES = (Route("/console", _console), Route("/console/{path:path}", _console))
