"""Lists the files of an untrusted archive, or prints one: a program that imports nothing of minifn.

`list_main.py ARCHIVE` prints a JSON list of `path`, `size` and `binary`; with `PATH` it prints the
`size` and `content` of that file. It exits with 1 and prints the reason when it cannot. A damaged
or hostile archive costs no more than its limits of memory, processor time and unpacked bytes.
"""

import codecs
import gzip
import io
import json
import resource
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

#: Bytes of address space and seconds of processor time.
MEMORY_BYTES = 768 * 1024 * 1024
CPU_SECONDS = 5
#: Bytes of all files together, unpacked.
UNPACKED_BYTES_MAX = 512 * 1024 * 1024
FILES_MAX = 10_000
#: Bytes of a file that is printed.
CONTENT_BYTES_MAX = 1024 * 1024
#: Bytes at the beginning of a file by which it counts as text or not.
SAMPLE_BYTES = 8192


class Refused(Exception):
    """The archive or the file is not shown; the message says why."""


class Bounded(io.RawIOBase):
    """Reads a stream up to UNPACKED_BYTES_MAX."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = UNPACKED_BYTES_MAX

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        found = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(found)
        if self._left < 0:
            raise Refused(f"The files of this archive have more than {UNPACKED_BYTES_MAX:,} bytes.")
        return found


#: A file of an archive: its path, its size, and how to read it.
Entry = tuple[str, int, IO[bytes]]


def entries(archive: str) -> Iterator[Entry]:
    """Yield the regular files of an archive in its order; each must be read before the next."""
    with Path(archive).open("rb") as file:
        zipped = file.read(4).startswith(b"PK")
    if zipped:
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if not info.is_dir():
                    with opened.open(info) as content:
                        yield plain(info.filename), info.file_size, content
        return
    with gzip.open(archive, "rb") as unpacked:
        stream = Bounded(unpacked)  # type: ignore[arg-type]
        with tarfile.open(fileobj=stream, mode="r|") as packed:
            for member in packed:
                found = packed.extractfile(member) if member.isreg() else None
                if found is not None:
                    yield plain(member.name), member.size, found


def plain(path: str) -> str:
    """Return a path without a leading `./`."""
    while path.startswith("./"):
        path = path[2:]
    return path


def is_binary(start: bytes) -> bool:
    """Tell whether a file that begins so is not UTF-8 text; a sample may end within a character."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return "\0" in decoder.decode(start, final=len(start) < SAMPLE_BYTES)
    except UnicodeDecodeError:
        return True


def listed(archive: str) -> list[dict[str, object]]:
    """Return the files. Raises Refused."""
    found: list[dict[str, object]] = []
    for path, size, content in entries(archive):
        if len(found) == FILES_MAX:
            raise Refused(f"This archive has more than {FILES_MAX:,} files.")
        binary = is_binary(content.read(SAMPLE_BYTES))
        found.append({"path": path, "size": size, "binary": binary})
    return found


def shown(archive: str, wanted: str) -> dict[str, object]:
    """Return one file; the last of a name, as unpacking keeps it. Raises Refused."""
    found = None
    for path, size, file in entries(archive):
        if path == wanted:
            found = (size, file.read(CONTENT_BYTES_MAX + 1))
    if found is None:
        raise Refused("The archive has no such file.")
    size, content = found
    if len(content) > CONTENT_BYTES_MAX:
        raise Refused(f"The file has {size:,} bytes; at most {CONTENT_BYTES_MAX:,} are shown.")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Refused("The file is not UTF-8 text.") from None
    return {"path": wanted, "size": size, "content": text}


def main(archive: str, *wanted: str) -> int:
    """Print the answer as JSON; return the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    try:
        answer = shown(archive, *wanted) if wanted else listed(archive)
        print(json.dumps(answer))
    except Refused as exc:
        print(exc)
        return 1
    except MemoryError:
        print("The archive needs too much memory to be read.")
        return 1
    except Exception as exc:
        print(f"The archive cannot be read: {type(exc).__name__}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
