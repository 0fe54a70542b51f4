"""The packing of a folder for its upload: the files that git would take, the same bytes each time.

`.gitignore` files count in the folder, below it and above it up to the root of its repository.
`.minifnignore` files have the same syntax and go before the `.gitignore` beside them. The rules of
git's manual page gitignore(5) apply: the last match of the deepest file decides, `!` takes a file
again, and nothing below a folder that is left out can be taken again.
"""

import gzip
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from minifn.archive.ignore_patterns import IgnorePatterns

#: Files with patterns, the strongest last.
IGNORE_FILES = (".gitignore", ".minifnignore")
#: Names that are never packed, nor is a data directory, which has the server's keys.
NEVER = frozenset({".git", ".minifn"})
#: Patterns of what a build or an editor makes again; any ignore file can take them again.
MADE_AGAIN = ("node_modules/", "__pycache__/", "*.pyc", ".venv/", ".appwrite/", ".DS_Store")
#: gzip's level: sources are small, and the network is slower.
LEVEL = 9


class NothingToPack(ValueError):
    """The folder has no file that is packed."""


class PackingRules:
    """Which files of a folder are packed; ignore files are read once, when they are needed."""

    def __init__(self, folder: Path, ignore: Iterable[str] = ()) -> None:
        """`ignore` has more patterns, which go before those of the ignore files."""
        self._folder = folder
        self._first = IgnorePatterns(ignore)
        self._last = IgnorePatterns(MADE_AGAIN)
        self._levels: dict[str, IgnorePatterns] = {}
        self._above = list(_levels_above(folder.absolute()))

    def leaves_out(self, name: str, *, directory: bool = False) -> bool:
        """Tell whether the file `name`, a path in the folder with slashes, is not packed."""
        parents = [str(parent) for parent in PurePosixPath(name).parents][-2::-1]
        return any(self._skips(parent, True) for parent in parents) or self._skips(name, directory)

    def files(self) -> Iterator[str]:
        """Yield the paths of files and links that are packed, in a fixed order, with slashes.

        Links are not followed. Raises OSError.
        """
        yield from self._files_below("")

    def _files_below(self, below: str) -> Iterator[str]:
        with os.scandir(self._folder / below) as scanned:
            entries = sorted(scanned, key=lambda entry: os.fsencode(entry.name))
        for entry in entries:
            name = f"{below}{entry.name}"
            directory = entry.is_dir(follow_symlinks=False)
            if self._skips(name, directory):
                continue
            if directory:
                yield from self._files_below(f"{name}/")
            elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                yield name

    def _skips(self, name: str, directory: bool) -> bool:
        """Tell whether an entry is left out whose parents are not."""
        path = PurePosixPath(name)
        if path.name in NEVER or (directory and _has_data(self._folder / name)):
            return True
        tried = [(self._first, name)]
        for parent in map(str, path.parents):
            base = "" if parent == "." else f"{parent}/"
            tried.append((self._level(base), name.removeprefix(base)))
        tried += [(spec, prefix + name) for spec, prefix in self._above]
        tried.append((self._last, name))
        for spec, within in tried:
            found = spec.decide(within, directory)
            if found is not None:
                return found
        return False

    def _level(self, base: str) -> IgnorePatterns:
        """Return the patterns of the ignore files in one folder."""
        if base not in self._levels:
            self._levels[base] = _read(self._folder / base)
        return self._levels[base]


def pack_folder(folder: Path, target: IO[bytes], ignore: Iterable[str] = ()) -> int:
    """Write the files of a folder that are packed to `target`, a `.tar.gz`; return their number.

    The same files give the same bytes: times and owners are left out. Links stay links. A file
    that disappears meanwhile is left out. Raises NothingToPack and OSError.
    """
    count = 0
    with (
        gzip.GzipFile(
            filename="", fileobj=target, mode="wb", compresslevel=LEVEL, mtime=0
        ) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in PackingRules(folder, ignore).files():
            count += _add(archive, folder / name, name)
    if not count:
        raise NothingToPack(f"{folder} has no file to pack")
    return count


def _add(archive: tarfile.TarFile, path: Path, name: str) -> bool:
    """Add a file or a link; return False for one that is gone."""
    try:
        found = path.lstat()
        member = tarfile.TarInfo(name)
        if stat.S_ISLNK(found.st_mode):
            member.type, member.linkname = tarfile.SYMTYPE, str(path.readlink())
            archive.addfile(member)
            return True
        # It may be a link or a pipe by now: neither is followed or waited for.
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except FileNotFoundError:
        return False
    with file:
        opened = os.fstat(file.fileno())
        if not stat.S_ISREG(opened.st_mode):
            return False
        member.size = opened.st_size
        member.mode = 0o755 if opened.st_mode & 0o100 else 0o644
        archive.addfile(member, file)
    return True


def _levels_above(folder: Path) -> Iterator[tuple[IgnorePatterns, str]]:
    """Yield the patterns of each folder above, up to the repository, with the way down from it.

    Patterns that leave out `folder` as a whole do not count: it was asked for.
    """
    parents = [folder, *folder.parents]
    root = next((place for place in parents if (place / ".git").exists()), folder)
    for parent in parents[1 : parents.index(root) + 1]:
        way = f"{folder.relative_to(parent).as_posix()}/"
        spec = _read(parent)
        if not spec.decide(way[:-1], directory=True):
            yield spec, way


def _has_data(place: Path) -> bool:
    """Tell whether a server keeps its data in a directory."""
    return (place / "minifn.db").is_file() and (place / "deployments").is_dir()


def _read(folder: Path) -> IgnorePatterns:
    """Return the patterns of the ignore files in a folder."""
    lines: list[str] = []
    for name in IGNORE_FILES:
        path = folder / name
        if path.is_file():
            lines += path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return IgnorePatterns(lines)
