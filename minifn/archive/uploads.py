"""Stores uploaded archives so that they survive a loss of power after the answer."""

import os
import re
import shutil
from pathlib import Path

import msgspec

from minifn.errors import StorageInvalidContentRange
from minifn.host.files import sync_directory
from minifn.limits import CHUNK_BYTES

#: The first bytes of a gzip file.
GZIP_MAGIC = b"\x1f\x8b"
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of an upload, on the grid of CHUNK_BYTES that every SDK cuts files by."""

    #: Index of the chunk, from 0.
    number: int
    size_bytes: int
    #: Bytes of the whole file.
    total_bytes: int

    @property
    def offset(self) -> int:
        """The chunk's first byte in the file."""
        return self.number * CHUNK_BYTES

    @property
    def count(self) -> int:
        """The number of chunks of the file."""
        return -(-self.total_bytes // CHUNK_BYTES)


def parse_content_range(header: str) -> Chunk:
    """Return the chunk that `bytes START-END/TOTAL` names.

    END is inclusive; in the last chunk it may also be TOTAL. Raises StorageInvalidContentRange for
    another form and for a chunk that is not on the grid.
    """
    found = _CONTENT_RANGE.fullmatch(header.strip())
    if found is None:
        raise StorageInvalidContentRange
    start, end, total = (int(group) for group in found.groups())
    end = min(end, total - 1) if end <= total else end
    if not start <= end < total:
        raise StorageInvalidContentRange
    number, remainder = divmod(start, CHUNK_BYTES)
    if remainder or end != min(start + CHUNK_BYTES, total) - 1:
        raise StorageInvalidContentRange(
            f"Chunks must be {CHUNK_BYTES} bytes long, except the last one."
        )
    return Chunk(number=number, size_bytes=end - start + 1, total_bytes=total)


def kind_of(path: Path) -> str:
    """Return `gzip` or `zip` by a file's first bytes, "" for another file. Raises OSError."""
    # Imported on first use, as wherever its rules are asked: an idle server does without tarfile.
    from minifn.archive.unpack_main import ZIP_MAGICS

    with path.open("rb") as file:
        start = file.read(4)
    return "gzip" if start.startswith(GZIP_MAGIC) else "zip" if start in ZIP_MAGICS else ""


def store_whole(file: Path, source: Path) -> None:
    """Move `file` to `source`; on return its content and its name are on disk. Raises OSError."""
    temporary = source.with_name(source.name + "~new")
    try:
        try:
            file.rename(temporary)
        except OSError:
            # `file` is on another file system.
            shutil.copyfile(file, temporary)
        temporary.chmod(0o600)
        with temporary.open("rb") as content:
            os.fsync(content.fileno())
        temporary.replace(source)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(source.parent)


def store_copy(original: Path, source: Path) -> None:
    """Make `source` a link to `original`, since no complete archive is ever changed.

    Raises OSError.
    """
    try:
        source.hardlink_to(original)
    except FileNotFoundError:
        raise
    except OSError:
        # The file system has no links, or the file has too many.
        shutil.copyfile(original, source)
        source.chmod(0o600)
        with source.open("rb") as content:
            os.fsync(content.fileno())
    sync_directory(source.parent)


def store_chunk(file: Path, start: int, chunk: Chunk, part: Path) -> None:
    """Copy the chunk at `start` of `file` to its place in `part`; on return it is on disk.

    Raises OSError, and EOFError when `file` is too short.
    """
    created = not part.exists()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with file.open("rb") as content:
            content.seek(start)
            position, end = chunk.offset, chunk.offset + chunk.size_bytes
            while position < end:
                piece = content.read(min(1 << 20, end - position))
                if not piece:
                    raise EOFError(f"{file} is shorter than the chunk it holds")
                position += os.pwrite(descriptor, piece, position)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if created:
        sync_directory(part.parent)


def complete(part: Path, source: Path) -> bool:
    """Rename a complete part to `source`, unless that was done; tell whether the archive exists."""
    try:
        part.rename(source)
    except FileNotFoundError:
        return source.exists()
    sync_directory(source.parent)
    return True
