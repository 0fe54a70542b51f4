"""Space on disk: the size of a directory, and whether the disk has room for more."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

#: Most levels of directories below a measured one.
LEVELS_MAX = 100
#: Least free bytes of the disk, or least free share of it when that is smaller.
FREE_BYTES_FLOOR = 1_000_000_000
FREE_SHARE_FLOOR = 0.1
#: Bytes of a file that shows whether the disk takes more.
GROWTH_BYTES = 65_536


class TreeRefused(Exception):
    """A directory cannot be measured or published, or the disk has no room for it.

    The message says why.
    """


class TreeSize(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a directory: bytes of its files, and the number of files and directories."""

    size_bytes: int = 0
    files: int = 0
    directories: int = 0


def check_space(path: Path) -> None:
    """Raise TreeRefused when the disk that holds `path` is close to full."""
    disk = shutil.disk_usage(path)
    if disk.free < min(FREE_BYTES_FLOOR, disk.total * FREE_SHARE_FLOOR):
        raise TreeRefused(f"the server's disk is almost full ({disk.free // 1_000_000:,} MB left)")


def check_writes(directory: Path) -> None:
    """Raise OSError when no file in `directory` can be made and grow; it leaves nothing there."""
    # Buffered, because a single system call may write a part, and no error.
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(bytes(GROWTH_BYTES))
        file.flush()


def measure(directory: Path) -> TreeSize:
    """Return the size of `directory`, which may change meanwhile; links count as empty files.

    Raises TreeRefused when it nests too deep, or has a directory that cannot be read.
    """
    size_bytes = files = directories = 0
    for status in _walk(str(directory), None, 0):
        directories += stat.S_ISDIR(status.st_mode)
        files += not stat.S_ISDIR(status.st_mode)
        size_bytes += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return TreeSize(size_bytes=size_bytes, files=files, directories=directories)


def _walk(name: str, parent: int | None, level: int) -> Iterator[os.stat_result]:
    check_level(level)
    try:
        descriptor = os.open(
            name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent
        )
    except (FileNotFoundError, NotADirectoryError):
        # Removed or replaced meanwhile.
        return
    except PermissionError as exc:
        # A server that is not root cannot measure it, and a build could fill the disk in it.
        raise TreeRefused(f"the directory {name[:80]!r} is closed to the server") from exc
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield status
                if stat.S_ISDIR(status.st_mode):
                    yield from _walk(entry.name, descriptor, level + 1)
    finally:
        os.close(descriptor)


def check_level(level: int) -> None:
    """Raise TreeRefused for a directory that lies deeper than LEVELS_MAX."""
    if level > LEVELS_MAX:
        raise TreeRefused(f"directories nest more than {LEVELS_MAX} levels deep")


def forbids_execution(directory: Path) -> bool:
    """Tell whether a directory's file system is mounted `noexec`. Raises OSError."""
    return bool(os.statvfs(directory).f_flag & os.ST_NOEXEC)
