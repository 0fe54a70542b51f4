"""Folders of this machine that are developed: their files are copied, and no archive is made."""

import contextlib
import glob
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: Most files of a folder.
FILES_MAX = 20_000


class FolderRefused(Exception):
    """A folder cannot be copied; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A folder, and which of its files belong to the function."""

    path: Path
    #: Tells for a path below the folder, and whether it is a directory, if it belongs to it. What
    #: lies below a directory that does not belong to it is not asked for.
    keeps: Callable[[str, bool], bool]

    def top(self) -> list[str]:
        """Return the names of the kept entries of the folder itself. Raises OSError."""
        with os.scandir(self.path) as entries:
            return sorted(one.name for one in entries if self.keeps(one.name, one.is_dir()))

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the path and status of every kept regular file and link.

        Files that are removed meanwhile or cannot be read are left out.
        """
        return self._below("")

    def _below(self, place: str) -> Iterator[tuple[str, os.stat_result]]:
        try:
            with os.scandir(self.path / place) as found:
                entries = sorted(found, key=lambda one: one.name)
        except (FileNotFoundError, PermissionError):
            # Removed meanwhile, or not meant for functions.
            return
        for one in entries:
            path = f"{place}{one.name}"
            is_directory = one.is_dir(follow_symlinks=False)
            if not self.keeps(path, is_directory):
                continue
            if is_directory:
                yield from self._below(f"{path}/")
            elif one.is_file(follow_symlinks=False) or one.is_symlink():
                with contextlib.suppress(FileNotFoundError):
                    yield path, one.stat(follow_symlinks=False)


def copy_folder(folder: Folder, directory: Path, before: frozenset[str] = frozenset()) -> set[str]:
    """Copy the kept files of a folder to `directory`, and return their paths.

    A file of the same size and time is not copied again. Those of `before` that are gone are
    removed. Raises FolderRefused and OSError.
    """
    copied: set[str] = set()
    for path, status in folder.files():
        copied.add(path)
        if len(copied) > FILES_MAX:
            raise FolderRefused(f"{folder.path} has more than {FILES_MAX:,} files")
        _copy(folder.path / path, status, directory / path)
    for path in before - copied:
        (directory / path).unlink(missing_ok=True)
    return copied


def _copy(source: Path, status: os.stat_result, target: Path) -> None:
    if os.path.lexists(target):
        known = target.lstat()
        if (known.st_size, known.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
            return
        target.unlink()
        # Python compares times by the second, and would take the bytecode of the old file.
        for compiled in target.parent.glob(f"__pycache__/{glob.escape(target.stem)}.*.pyc"):
            compiled.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(status.st_mode):
        target.symlink_to(source.readlink())
        return
    shutil.copyfile(source, target)
    target.chmod(0o755 if status.st_mode & 0o100 else 0o644)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
