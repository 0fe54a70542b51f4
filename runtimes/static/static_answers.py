"""Answers to requests for files: status, headers, and the part of a file (RFC 9110)."""

from __future__ import annotations

import os

from static_files import File, Files, Folder
from static_headers import Unsatisfiable, http_date, not_modified, part_of, quote, weights
from static_types import content_type

#: Most bytes of an answer: that of a response frame.
BODY_LIMIT_BYTES = 20 * 1024 * 1024
METHODS = "GET, HEAD, OPTIONS"
TEXT = {"content-type": "text/plain"}
#: Seconds for which caches may keep a file, by the header that the function names, as upstream.
CACHE_SECONDS = 36_000


class Answer:
    """A status, headers, and a body or a part of an open file."""

    def __init__(
        self, status: int, headers: dict[str, str], body: bytes = b"", error: str = ""
    ) -> None:
        self.status = status
        self.headers = list(headers.items())
        self.body = body
        #: A line for the execution's errors.
        self.error = error
        #: The descriptor of a file, and the part of it to send.
        self.file: int | None = None
        self.offset = 0
        self.size_bytes = 0


class Answers:
    """Answers requests with the files of a build."""

    def __init__(self, files: Files, cache_header: str) -> None:
        """`cache_header`: the header that lets caches keep files, empty for none."""
        self._files = files
        self._cache = {"cache-control": "no-cache"}
        if cache_header:
            self._cache[cache_header.lower()] = f"public, max-age={CACHE_SECONDS}"

    def to(self, frame: dict) -> Answer:
        """Return the answer to a request frame."""
        method, path, headers = frame["method"], frame["path"], frame["headers"]
        if method == "OPTIONS":
            return Answer(204, {"allow": METHODS})
        if method not in ("GET", "HEAD"):
            return Answer(405, {"allow": METHODS, **TEXT}, b"405: there are files to read here.\n")
        found = self._files.find(path)
        if isinstance(found, Folder):
            # Relative, because the function's root may lie below a path of the server.
            address = f"./{quote(found.name)}/" + (f"?{frame['query']}" if frame["query"] else "")
            return Answer(301, {"location": address})
        if found is not None:
            return self._answer(found, method, headers)
        page = self._files.fallback(path)
        if page is not None:
            return self._answer(page, method, headers)
        page = self._files.missing_page()
        if page is not None:
            return whole(page, 404, method, {"content-type": content_type(page.name)})
        return Answer(404, TEXT, b"404: there is no such page.\n")

    def _answer(self, file: File, method: str, headers: dict[str, str]) -> Answer:
        """Return the answer with a file as the request's headers want it."""
        described = {"content-type": content_type(file.name), **self._cache}
        if self._files.has_compressed(file):
            described["vary"] = "accept-encoding"
            if "range" not in headers:
                file = self._compressed(file, headers, described)
        tag = f'"{file.published_ns:x}-{file.size_bytes:x}"'
        described["etag"] = tag
        described["last-modified"] = http_date(file.published_ns)
        described["accept-ranges"] = "bytes"
        if not_modified(headers, tag, file.published_ns):
            os.close(file.fd)
            return Answer(304, described)
        try:
            part = part_of(headers, tag, file) if method == "GET" else None
        except Unsatisfiable:
            os.close(file.fd)
            described = {"content-range": f"bytes */{file.size_bytes}", **TEXT}
            return Answer(416, described, b"416: the file has no such bytes.\n")
        if part is None:
            return whole(file, 200, method, described)
        offset, size = part
        # An answer may have less than the caller asked for, who then asks for the rest.
        size = min(size, BODY_LIMIT_BYTES)
        described["content-range"] = f"bytes {offset}-{offset + size - 1}/{file.size_bytes}"
        return sending(file, Answer(206, described), offset, size)

    def _compressed(self, file: File, headers: dict[str, str], described: dict[str, str]) -> File:
        """Return the compressed form of a file that the caller accepts, else the file itself."""
        found = self._files.compressed(file, weights(headers.get("accept-encoding", "")))
        if found is None:
            return file
        os.close(file.fd)
        described["content-encoding"], compressed = found
        return compressed


def whole(file: File, status: int, method: str, described: dict[str, str]) -> Answer:
    """Return the answer with a whole file, which a HEAD request only describes."""
    if method == "HEAD":
        os.close(file.fd)
        return Answer(status, {**described, "content-length": str(file.size_bytes)})
    if file.size_bytes > BODY_LIMIT_BYTES:
        os.close(file.fd)
        reason = (
            f"{os.fsdecode(file.name)} has {file.size_bytes:,} bytes, and an answer has up to"
            f" {BODY_LIMIT_BYTES:,}. A request for it needs a Range header."
        )
        return Answer(500, TEXT, f"500: {reason}\n".encode("utf-8", "replace"), reason)
    return sending(file, Answer(status, described), 0, file.size_bytes)


def sending(file: File, answer: Answer, offset: int, size_bytes: int) -> Answer:
    answer.file, answer.offset, answer.size_bytes = file.fd, offset, size_bytes
    return answer
