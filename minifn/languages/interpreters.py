"""The interpreters of this machine, and the paths that a sandbox must show to run them."""

import os
import re
import stat
from functools import cached_property
from pathlib import Path

import msgspec

from minifn.languages.manifest import PREFIX_PARTS, Finder

Version = tuple[int, ...]

#: Paths that every sandbox shows.
SYSTEM_PREFIXES = (Path("/usr"), Path("/bin"), Path("/lib"))
#: Directories above a program that end at its prefix, when the program lies in `bin`.
BIN_LEVELS = 2


def parse_version(text: str) -> Version:
    """Return the first dotted number in `text`, () when there is none."""
    found = re.search(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


class Interpreter(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A program that runs or compiles one language."""

    #: The program itself, not a link; tools such as npm lie beside it.
    path: Path
    version: Version
    #: As `Finder.prefix`, `Finder.shows` and `Finder.tool`.
    levels: int | None = None
    shows: tuple[str, ...] = PREFIX_PARTS
    tool: str = ""

    @property
    def version_text(self) -> str:
        """The version with dots."""
        return ".".join(str(part) for part in self.version)

    @property
    def system(self) -> bool:
        """Whether it belongs to the system, which every sandbox shows."""
        return is_system(self.path)

    @cached_property
    def public(self) -> bool:
        """Whether every user of the machine can run it: no directory above it is private.

        One that was uninstalled cannot be run.
        """
        try:
            ways = all(parent.stat().st_mode & stat.S_IXOTH for parent in self.path.parents)
            mode = self.path.stat().st_mode
        except OSError:
            return False
        # An archive that another program runs is only read.
        return ways and bool(mode & (stat.S_IXOTH if mode & stat.S_IXUSR else stat.S_IROTH))

    @cached_property
    def prefix(self) -> Path:
        """The root of its toolchain; the directory of a program that is alone."""
        return prefix_of(self.path, self.levels)

    @cached_property
    def binds(self) -> tuple[Path, ...]:
        """The paths besides the system that a sandbox must show, read-only, at their own place."""
        if self.system:
            return ()
        if not _levels(self.path, self.levels) or _is_private(self.prefix):
            return (self.path,)
        if "." in self.shows:
            return (self.prefix,)
        shown = tuple(path for part in self.shows if exists(path := self.prefix / part))
        inside = any(self.path.is_relative_to(path) for path in shown)
        return shown if inside else (*shown, self.path)

    @property
    def links(self) -> dict[str, Path]:
        """Name -> target of the links by which builds find it; empty when its file has the name."""
        return {self.tool: self.path} if self.tool not in ("", self.path.name) else {}

    @property
    def rank(self) -> tuple[bool, Version]:
        """The sort key of interpreters of one language: the system's come last, then the newest."""
        return self.system and self.public, self.version


def interpreter(path: Path, version: Version, finder: Finder) -> Interpreter:
    """Return the record of a program that a finder matched."""
    return Interpreter(
        path=path,
        version=version,
        levels=finder.prefix,
        shows=finder.shows,
        tool=finder.tool,
    )


def is_system(path: Path) -> bool:
    """Tell whether every sandbox shows a path anyway."""
    return any(path.is_relative_to(prefix) for prefix in SYSTEM_PREFIXES)


def prefix_of(path: Path, levels: int | None) -> Path:
    """Return the root of the toolchain of the program `path`; `levels` is `Finder.prefix`."""
    return path.parents[max(1, _levels(path, levels)) - 1]


def _levels(path: Path, levels: int | None) -> int:
    if levels is not None:
        return min(levels, len(path.parents))
    return BIN_LEVELS if path.parent.name == "bin" else 0


def exists(path: Path) -> bool:
    """Tell whether a path is there; it is not in a closed directory, where `Path.exists` raises."""
    return os.path.exists(path)  # noqa: PTH110


def home() -> Path | None:
    """Return the server's home directory; a container's user may have none."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def _is_private(prefix: Path) -> bool:
    """Tell whether functions see nothing of a prefix but the program itself.

    A virtual environment is one such prefix: the server's holds the server.
    """
    return prefix in (home(), Path("/")) or exists(prefix / "pyvenv.cfg")
