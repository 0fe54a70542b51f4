"""The console below `/console/`: its static files, and its one document for every other path.

The document's scripts read the path. Its base makes the files' addresses right at any depth and
below any prefix. Nothing is loaded from other hosts and no script stands in a document; the headers
forbid both.
"""

import asyncio
import functools
import gzip
import hashlib
from dataclasses import dataclass
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
    "vary": "accept-encoding",
    # A browser asks each time whether a file has changed, so an upgrade never mixes versions.
    "cache-control": "no-cache",
}


@dataclass(frozen=True, kw_only=True)
class File:
    """One answer: its bytes, plain and compressed, and the tag that a browser keeps it by."""

    content: bytes
    compressed: bytes
    media_type: str
    etag: str


def _found(path: str) -> tuple[Path, str]:
    """Return a file and its base: the document, unless the path is that of a file.

    Raises HTTPException with 404.
    """
    folder, below, _ = path.partition("/")
    if Path(path).suffix not in FILES or (below and folder not in FOLDERS):
        return PLACE / DOCUMENT, "../" * path.count("/") or "./"
    file = (PLACE / path).resolve()
    if not file.is_relative_to(PLACE) or not file.is_file():
        raise HTTPException(404)
    return file, ""


@functools.lru_cache(maxsize=256)
def _read(file: Path, base: str, changed_ns: int) -> File:
    """Read and compress a file, again when it has changed."""
    content = file.read_bytes().replace(b'href="BASE"', f'href="{base}"'.encode())
    return File(
        content=content,
        compressed=gzip.compress(content, mtime=0),
        media_type=FILES.get(file.suffix, "text/html"),
        etag=f'W/"{hashlib.sha256(content).hexdigest()[:32]}"',
    )


def _load(path: str) -> File:
    file, base = _found(path)
    return _read(file, base, file.stat().st_mtime_ns)


async def _console(request: Request) -> Response:
    """Answer with a file or the document; 304 when the browser has it already."""
    path = request.path_params.get("path")
    if path is None:
        return RedirectResponse("console/", 308)
    file = await asyncio.to_thread(_load, path)
    headers = {**HEADERS, "etag": file.etag}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(file.compressed, headers=headers, media_type=file.media_type)
    return Response(file.content, headers=headers, media_type=file.media_type)


ROUTES = (Route("/console", _console), Route("/console/{path:path}", _console))
