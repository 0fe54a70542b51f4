"""Finds the file that a path means. It opens regular files below one folder, and nothing else."""

from __future__ import annotations

import os
import stat

#: The hidden name that is served: RFC 8615.
WELL_KNOWN = b".well-known"
#: Suffix of the file beside another with its content compressed -> its content coding. The first
#: that the caller accepts is sent.
CODINGS = ((b".br", "br"), (b".zst", "zstd"), (b".gz", "gzip"))


class File:
    """An open file."""

    def __init__(self, fd: int, name: bytes, status: os.stat_result) -> None:
        self.fd = fd
        self.name = name
        self.size_bytes = status.st_size
        #: A build gives each file to the server when it is published, which changes this time: it
        #: differs between deployments although an archive may keep the time of the content.
        self.published_ns = status.st_ctime_ns


class Folder:
    """The path means a folder with an index page, whose address ends with a slash."""

    def __init__(self, name: bytes) -> None:
        self.name = name


class Files:
    """The files below the folder of a build's entrypoint, or below that folder if it is one."""

    def __init__(self, code: str, entrypoint: str, fallback: str) -> None:
        """`fallback`: a file relative to the folder that answers where there is none, or empty."""
        code_path = os.path.realpath(os.fsencode(code))
        entry = os.path.join(code_path, os.fsencode(entrypoint.strip("/")))
        folder, index = (entry, b"") if os.path.isdir(entry) else os.path.split(entry)
        self._root = os.path.realpath(folder)
        if not is_below(self._root, code_path):
            self._root = code_path
        self._index = index or b"index.html"
        self._fallback = os.fsencode(fallback.strip("/"))

    def find(self, path: str) -> File | Folder | None:
        """Return the file for the path of a request, None when there is none."""
        parts = parts_of(path)
        if parts is None:
            return None
        place = b"/".join(parts)
        if path.endswith("/") or not parts:
            return self.open(b"/".join((*parts, self._index)))
        found = self.open(place)
        if found is None and self._is_folder(place):
            index = self.open(place + b"/" + self._index)
            if index is not None:
                os.close(index.fd)
                return Folder(parts[-1])
        return found or self.open(place + b".html")

    def fallback(self, path: str) -> File | None:
        """Return the page for paths without a file, None for a path that is refused."""
        return self.open(self._fallback) if self._fallback and parts_of(path) is not None else None

    def missing_page(self) -> File | None:
        """Return the build's page about paths without a file."""
        return self.open(b"404.html")

    def compressed(self, file: File, accepts: dict[str, float]) -> tuple[str, File] | None:
        """Return the coding and the file that holds `file` in a coding that the caller accepts."""
        for suffix, coding in CODINGS:
            if accepts.get(coding, accepts.get("*", 0)) > 0:
                found = self.open(file.name + suffix)
                if found is not None:
                    return coding, found
        return None

    def has_compressed(self, file: File) -> bool:
        """Tell whether the answer for `file` depends on the codings that the caller accepts."""
        root = self._root + b"/"
        return any(os.path.isfile(root + file.name + suffix) for suffix, _ in CODINGS)

    def larger_than(self, size_bytes: int) -> list[str]:
        """Return the paths of the files with more bytes, relative to the root."""
        found = []
        for folder, folders, names in os.walk(self._root):
            folders[:] = [name for name in folders if not hides([name])]
            paths = (os.path.join(folder, name) for name in names)
            found += [path for path in paths if os.lstat(path).st_size > size_bytes]
        return [os.fsdecode(os.path.relpath(path, self._root)) for path in sorted(found)]

    def open(self, place: bytes) -> File | None:
        """Open a regular file by its path below the root, None when it is no such file.

        A link may lead to another file below the root that is not hidden.
        """
        try:
            path = os.path.realpath(os.path.join(self._root, place))
            if not is_below(path, self._root) or hides(path[len(self._root) :].split(b"/")):
                return None
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            return None
        return File(fd, place, status)

    def _is_folder(self, place: bytes) -> bool:
        return os.path.isdir(os.path.join(self._root, place))


def parts_of(path: str) -> list[bytes] | None:
    """Return the decoded names of a path without empty ones, None for a path that is refused."""
    parts = []
    for part in path.split("/"):
        decoded = decode(part)
        if decoded is None or b"/" in decoded or b"\0" in decoded:
            return None
        if decoded:
            parts.append(decoded)
    return None if hides(parts) else parts


def hides(parts: list[bytes]) -> bool:
    """Tell whether a name is hidden, such as `.env`, or leads elsewhere, such as `..`."""
    return any(part.startswith(b".") and part != WELL_KNOWN for part in parts)


def is_below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder + b"/")


def decode(text: str) -> bytes | None:
    """Return percent-decoded text, None for a `%` without two hexadecimal digits."""
    first, *rest = text.encode("utf-8", "surrogatepass").split(b"%")
    for part in rest:
        digits = part[:2]
        if len(digits) < 2 or not all(digit in b"0123456789abcdefABCDEF" for digit in digits):
            return None
        first += bytes((int(digits, 16),)) + part[2:]
    return first
