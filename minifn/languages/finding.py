"""Finds interpreters: the directories that are searched, and the versions that programs print."""

import contextlib
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import msgspec

from minifn import jsontext
from minifn.languages.interpreters import (
    Interpreter,
    Version,
    exists,
    home,
    interpreter,
    parse_version,
    prefix_of,
)
from minifn.languages.manifest import Finder

#: Seconds in which a program must print its version, and after which a slow one is asked again.
PROBE_SECONDS = 5.0
ASK_AGAIN_SECONDS = 30.0
#: First bytes of ELF and Mach-O programs. The scripts that version managers put on PATH are left
#: out, because they need their home directory.
PROGRAM_MAGIC = frozenset({b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"})
#: Directories of packages of Node.js that belong to a user or to the machine.
NODE_MODULES = (
    *(
        "~/node_modules",
        "~/.npm-global/lib/node_modules",
        "~/.nvm/versions/node/*/lib/node_modules",
    ),
    *("/usr/local/lib/node_modules", "/usr/lib/node_modules", "/opt/homebrew/lib/node_modules"),
)
#: A file of a given content: path, time of its last change in nanoseconds, and bytes.
_File = tuple[str, int, int]
#: The file of a program, and the arguments with which it printed its version.
_Versions = dict[tuple[_File, tuple[str, ...]], Version]
_Probe = subprocess.Popen[bytes]


class Search:
    """Finds interpreters, as often as it is asked.

    It remembers the version of each program until its file changes. A program that prints none
    within PROBE_SECONDS is asked again after ASK_AGAIN_SECONDS.
    """

    def __init__(self, search_path: str, memory: Path | None = None) -> None:
        """`search_path`: directories, separated as in PATH.

        `memory`: a file that keeps the versions for later processes, None for none.
        """
        self._search_path = search_path
        self._memory = memory
        self._versions = _remembered(memory)
        #: Program -> the time (of the monotonic clock) before which it is not asked again.
        self._slow: dict[Path, float] = {}

    def find(self, finders: Mapping[str, Finder]) -> dict[str, tuple[Interpreter, ...]]:
        """Return the interpreters of each finder, the best of each version last.

        Starts short processes, and waits PROBE_SECONDS for all of them together.
        """
        places = Places(self._search_path)
        programs = {key: list(_programs(finder, places)) for key, finder in finders.items()}
        probes = [
            (path, finders[key], probe)
            for key, paths in programs.items()
            for path in paths
            if (probe := self._ask(path, finders[key])) is not None
        ]
        deadline = time.monotonic() + PROBE_SECONDS
        for path, finder, probe in probes:
            self._take(path, finder, probe, deadline)
        if probes and self._memory:
            self._remember(self._memory)
        return {key: self._interpreters(paths, finders[key]) for key, paths in programs.items()}

    def _remember(self, memory: Path) -> None:
        """Add the versions to a file, and drop those of programs that changed from it.

        A program that printed none is left out: the cause may pass.
        """
        known = {**_remembered(memory), **self._versions}
        current = [
            (key, version) for key, version in known.items() if version and _is_current(key[0])
        ]
        # Without a place to write, the next start asks again.
        with contextlib.suppress(OSError):
            memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = memory.with_name(f"versions.{os.getpid()}")
            fresh.write_bytes(msgspec.json.encode(current))
            fresh.replace(memory)

    def _interpreters(self, paths: Iterable[Path], finder: Finder) -> tuple[Interpreter, ...]:
        oldest = parse_version(finder.oldest)
        found = (
            interpreter(path, version, finder)
            for path in paths
            if (version := self._version(path, finder)) >= oldest and version
        )
        return tuple(sorted(found, key=lambda one: one.rank))

    def _version(self, path: Path, finder: Finder) -> Version:
        if finder.version_file:
            return _read_version(prefix_of(path, finder.prefix) / finder.version_file)
        file = _file(path)
        return self._versions.get((file, finder.version), ()) if file else ()

    def _ask(self, path: Path, finder: Finder) -> _Probe | None:
        """Start a program that prints its version, None when that is known or not wanted."""
        file = _file(path)
        if finder.version_file or file is None or (file, finder.version) in self._versions:
            return None
        if self._slow.get(path, 0.0) > time.monotonic():
            return None
        try:
            return subprocess.Popen(
                [path, *finder.version],
                cwd="/",
                env=finder.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self._versions[file, finder.version] = ()
            return None

    def _take(self, path: Path, finder: Finder, probe: _Probe, deadline: float) -> None:
        """Remember what a program printed until the deadline."""
        with probe:
            try:
                output, _ = probe.communicate(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(probe.pid, signal.SIGKILL)
                self._slow[path] = time.monotonic() + ASK_AGAIN_SECONDS
                return
        file = _file(path)
        if file:
            text = output.decode(errors="replace") if probe.returncode == 0 else ""
            self._versions[file, finder.version] = parse_version(text)


class Places:
    """The directories of this machine where interpreters may lie, each listed once."""

    def __init__(self, search_path: str) -> None:
        self.search_path = [
            Path(text) for text in search_path.split(os.pathsep) if text.startswith("/")
        ]
        self._listings: dict[Path, list[str]] = {}

    def directories(self, places: Iterable[str]) -> Iterator[Path]:
        """Yield the directories of the search path, then those of a finder's places."""
        yield from self.search_path
        for place in places:
            for text in _with_words(os.path.expandvars(place), self._words):
                yield from _matches(text)

    def entries(self, directory: Path) -> list[str]:
        """Return the names in a directory, in order; none for one that cannot be read."""
        if directory not in self._listings:
            try:
                self._listings[directory] = sorted(os.listdir(directory))  # noqa: PTH208 - names
            except OSError:
                self._listings[directory] = []
        return self._listings[directory]

    @cached_property
    def _words(self) -> dict[str, list[str]]:
        """The values of each word of `Finder.places`."""
        around = [Path(sys.prefix), *(path.parent for path in self.search_path)]
        venvs = [path for path in around if exists(path / "pyvenv.cfg")]
        own = {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
        sites = [str(path) for venv in venvs for path in venv.glob("lib*/python*/site-packages")]
        roots = [Path(sys.prefix), Path(sys.prefix).parent, Path()]
        modules = [
            *(root / "node_modules" for root in roots),
            *(path for path in self.search_path if path.name == "node_modules"),
            *(path.parent for path in self.search_path if path.parent.name == "node_modules"),
            *(path / "lib/node_modules" for path in around),
            *(path for text in NODE_MODULES for path in _matches(text)),
        ]
        return {
            "server": [str(Path(getattr(sys, "_base_executable", sys.executable)).parent)],
            "venv": list(dict.fromkeys([sys.prefix, *map(str, venvs)])),
            "site": list(dict.fromkeys([*sorted(own), *sites])),
            "node_modules": [
                str(path.absolute()) for path in dict.fromkeys(modules) if exists(path)
            ],
        }


def _with_words(text: str, words: Mapping[str, list[str]]) -> list[str]:
    """Return a place with each value of the word it contains; it contains one word at most."""
    for word, values in words.items():
        if "{" + word + "}" in text:
            return [text.replace("{" + word + "}", value) for value in values]
    return [text]


def _matches(pattern: str) -> list[Path]:
    """Return the paths that a pattern (`~` allowed) matches, in order."""
    own = home()
    if pattern.startswith("~"):
        if own is None:
            return []
        pattern = f"{own}{pattern[1:]}"
    return sorted(Path("/").glob(pattern.lstrip("/"))) if pattern.startswith("/") else []


def _programs(finder: Finder, places: Places) -> Iterator[Path]:
    """Yield the real path of each program once."""
    machine = re.escape(platform.machine())
    names = re.compile(
        "|".join(f"(?:{name.replace('{machine}', machine)})" for name in finder.names)
    )
    seen: set[Path] = set()
    for directory in places.directories(finder.places):
        for name in filter(names.fullmatch, places.entries(directory)):
            path = _real(directory / name)
            if path not in seen and names.fullmatch(path.name) and _is_program(path, finder):
                seen.add(path)
                yield path


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        # A loop of links.
        return path


def _is_program(path: Path, finder: Finder) -> bool:
    try:
        if finder.holds and not exists(prefix_of(path, finder.prefix) / finder.holds):
            return False
        if finder.scripts:
            return path.is_file() and os.access(path, os.R_OK)
        with path.open("rb") as file:
            return os.access(path, os.X_OK) and file.read(4) in PROGRAM_MAGIC
    except OSError:
        return False


def _file(path: Path) -> _File | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return str(path), status.st_mtime_ns, status.st_size


def _is_current(file: _File) -> bool:
    """Tell whether a file still has its content."""
    return _file(Path(file[0])) == file


def own_memory() -> Path | None:
    """Return the file that keeps versions for all servers and commands of this user.

    None for a user whose home directory is missing or, as under `sudo -E`, another's.
    """
    own = home()
    try:
        if own is None or own.stat().st_uid != os.geteuid():
            return None
    except OSError:
        return None
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache.startswith("/") else own / ".cache") / "minifn/versions.json"


def _remembered(memory: Path | None) -> _Versions:
    """Return the versions in a file, none for one that is missing or damaged."""
    if memory is None:
        return {}
    kind = list[tuple[tuple[_File, tuple[str, ...]], Version]]
    try:
        return dict(jsontext.decode_as(kind, memory.read_bytes()))
    except (OSError, jsontext.JsonInvalid):
        return {}


def _read_version(path: Path) -> Version:
    try:
        return parse_version(path.read_text(errors="replace"))
    except OSError:
        return ()
