"""The interpreters of this machine, and the paths that a sandbox must show to run them."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import msgspec

from minifn.languages.manifest import Finder

Version = tuple[int, ...]

#: Seconds in which a program must print its version.
PROBE_SECONDS = 5.0
#: Paths that every sandbox shows.
SYSTEM_PREFIXES = (Path("/usr"), Path("/bin"), Path("/lib"))
#: Folders of an installation without user data; a prefix like ~/.local is never shown whole.
PREFIX_PARTS = ("bin", "lib", "lib64", "libexec", "include")
#: First bytes of ELF and Mach-O programs. The scripts that version managers put on PATH are left
#: out, because they need their home directory.
PROGRAM_MAGIC = frozenset({b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"})


def parse_version(text: str) -> Version:
    """Return the first dotted number in `text`, () when there is none."""
    found = re.search(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


class Interpreter(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A program that runs one language."""

    #: The program itself, not a link; tools such as npm lie beside it.
    path: Path
    version: Version

    @property
    def version_text(self) -> str:
        """The version with dots."""
        return ".".join(str(part) for part in self.version)

    @property
    def system(self) -> bool:
        """Whether it belongs to the system, which every sandbox shows."""
        return any(self.path.is_relative_to(prefix) for prefix in SYSTEM_PREFIXES)

    @cached_property
    def public(self) -> bool:
        """Whether every user of the machine can run it: no directory above it is private."""
        ways = all(parent.stat().st_mode & stat.S_IXOTH for parent in self.path.parents)
        return ways and bool(self.path.stat().st_mode & stat.S_IXOTH)

    @cached_property
    def binds(self) -> tuple[Path, ...]:
        """The paths besides the system that a sandbox must show, read-only, at their own place."""
        if self.system:
            return ()
        prefix = self.path.parent.parent
        if self.path.parent.name != "bin" or prefix in (_home(), Path("/")):
            return (self.path,)
        return tuple(prefix / part for part in PREFIX_PARTS if (prefix / part).is_dir())

    @property
    def rank(self) -> tuple[bool, Version]:
        """The sort key of interpreters of one language: the system's come last, then the newest."""
        return self.system and self.public, self.version


def find_interpreters(finder: Finder, *, search_path: str) -> tuple[Interpreter, ...]:
    """Return the interpreters of PATH and of the finder's places, the best of each version last.

    All candidates are asked for their version at once; one that does not answer within
    PROBE_SECONDS is left out.
    """
    oldest = parse_version(finder.oldest)
    probes = [(path, _ask(path, finder.version)) for path in _programs(finder, search_path)]
    interpreters = (
        Interpreter(path=path, version=version)
        for path, probe in probes
        if (version := _answer(probe)) >= oldest
    )
    return tuple(sorted(interpreters, key=lambda interpreter: interpreter.rank))


def _programs(finder: Finder, search_path: str) -> Iterator[Path]:
    """Yield the real path of each program once."""
    names = [re.compile(name) for name in finder.names]
    seen: set[Path] = set()
    for directory in _directories(finder.places, search_path):
        try:
            entries = sorted(directory.iterdir())
        except OSError:
            continue
        for entry in entries:
            if not any(name.fullmatch(entry.name) for name in names):
                continue
            path = entry.resolve()
            known_name = any(name.fullmatch(path.name) for name in names)
            if path not in seen and known_name and _is_program(path):
                seen.add(path)
                yield path


def _directories(places: Iterable[str], search_path: str) -> Iterator[Path]:
    yield from (Path(text) for text in search_path.split(os.pathsep) if text.startswith("/"))
    home = _home()
    server = str(Path(getattr(sys, "_base_executable", sys.executable)).parent)
    for place in places:
        if home or not place.startswith("~"):
            pattern = place.replace("{server}", server).replace("~", str(home))
            yield from sorted(Path("/").glob(pattern.lstrip("/")))


def _home() -> Path | None:
    """Return the server's home directory; a container's user may have none."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def _is_program(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return os.access(path, os.X_OK) and file.read(4) in PROGRAM_MAGIC
    except OSError:
        return False


def _ask(path: Path, arguments: tuple[str, ...]) -> "subprocess.Popen[bytes] | None":
    try:
        return subprocess.Popen(
            [path, *arguments],
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None


def _answer(probe: "subprocess.Popen[bytes] | None") -> Version:
    if probe is None:
        return ()
    with probe:
        try:
            output, _ = probe.communicate(timeout=PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            probe.kill()
            return ()
    return parse_version(output.decode(errors="replace"))
