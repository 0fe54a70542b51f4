"""The table of runtimes: which exist, which run here, and the commands that build and start."""

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from minifn.config import Config
from minifn.languages.finding import Search, own_memory
from minifn.languages.installed import SYSTEM_PATH, Installed
from minifn.languages.interpreters import Interpreter, Version, exists, parse_version
from minifn.languages.manifest import Family, Finder, Runtime, Starter, load_families

#: Least seconds between two looks for the interpreters of all runtimes.
LOOK_SECONDS = 10.0


class RuntimeUnavailable(Exception):
    """A runtime cannot run on this machine; the message says why, and how to get it."""


class RuntimeTable:
    """Every runtime, and the interpreters found when the table was loaded."""

    def __init__(
        self,
        families: Mapping[str, Family],
        interpreters: Mapping[str, tuple[Interpreter, ...]],
        root: Path,
        *,
        search: Search | None = None,
        everyone: bool = False,
    ):
        """`search` finds interpreters again; `everyone` leaves out those of private directories."""
        self._families = families
        self._root = root
        self._search = search
        self._everyone = everyone
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._digests: dict[str, str] = {}
        #: Family key -> everything found for it.
        self._found: dict[str, tuple[Interpreter, ...]] = {}
        #: Family key -> interpreters, the best of each language version last.
        self.interpreters: dict[str, tuple[Interpreter, ...]] = {}
        #: Number of times that the interpreters changed.
        self.changes = -1
        self._take(interpreters)
        self._runtimes = {
            runtime.id: runtime for family in families.values() for runtime in family.runtimes()
        }

    @classmethod
    def load(cls, root: Path | None = None, *, search_path: str | None = None) -> "RuntimeTable":
        """Read the manifests and find interpreters.

        Starts short processes for programs that this user's processes have not met before.
        """
        root = root or default_root()
        search = Search(default_search_path() if search_path is None else search_path, own_memory())
        families = load_families(root)
        return cls(families, search.find(_finders(families)), root, search=search)

    def public(self, place: Path) -> "RuntimeTable":
        """Return a table for processes that run as other users and see the real file system.

        It lacks interpreters below private directories. The wrappers are copied to `place`, where
        every user can read them.
        """
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self._root, place)
        for path in (place, *place.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        return RuntimeTable(self._families, self._found, place, search=self._search, everyone=True)

    def look(self, runtime_id: str = "") -> None:
        """Find again what this machine has for a runtime, or for all; blocks.

        Starts short processes for programs that are new. Does nothing for a runtime whose exact
        version is still there, nor for all runtimes when it looked within LOOK_SECONDS.
        """
        runtime = self.get(runtime_id)
        with self._lock:
            if self._search is None or self._is_fresh(runtime):
                return
            families: Mapping[str, Family] = self._families
            if runtime is not None:
                actor = self._actor(runtime)
                families = {key: self._families[key] for key in (actor.key, *actor.needs.values())}
            self._take({**self._found, **self._search.find(_finders(families))})
            if runtime is None:
                self._looked = time.monotonic()

    def _is_fresh(self, runtime: Runtime | None) -> bool:
        if runtime is None:
            return time.monotonic() < self._looked + LOOK_SECONDS
        exact = self._exact(runtime)
        needed = (self.interpreters[key][-1] for key in self._actor(runtime).needs.values())
        return exact is not None and all(exists(one.path) for one in (exact, *needed))

    def _take(self, found: Mapping[str, tuple[Interpreter, ...]]) -> None:
        """Set what was found, and count a change."""
        self._found = dict(found)
        usable = {
            key: tuple(one for one in versions if not self._everyone or one.public)
            for key, versions in found.items()
        }
        # Nothing for a family that lacks one it needs.
        interpreters = {
            key: versions if all(map(usable.get, self._families[key].needs.values())) else ()
            for key, versions in usable.items()
        }
        if interpreters != self.interpreters or self.changes < 0:
            self.interpreters = interpreters
            self.changes += 1

    def starters(self) -> dict[str, tuple[Starter, Path]]:
        """Return the starter function of each family that has one, and its folder."""
        return {
            key: (family.starter, folder)
            for key, family in self._families.items()
            if family.starter and (folder := self._root / key / "starter").is_dir()
        }

    def old_commands(self, runtime_id: str) -> str:
        """Return the build commands of functions that old clients make with a runtime."""
        runtime = self.get(runtime_id)
        return self._families[runtime.key].old_commands if runtime else ""

    def all(self) -> tuple[Runtime, ...]:
        """Return every runtime of Appwrite's list."""
        return tuple(self._runtimes.values())

    def get(self, runtime_id: str) -> Runtime | None:
        """Return a runtime by id, None for an unknown one."""
        return self._runtimes.get(runtime_id)

    def runnable(self) -> tuple[Runtime, ...]:
        """Return the runtimes whose exact version this machine has.

        A family with another version on this machine is represented by its newest runtime.
        """
        exact = [runtime for runtime in self.all() if self._exact(runtime)]
        keys = {runtime.key for runtime in exact}
        newest = {
            runtime.key: runtime
            for runtime in self.all()
            if self.interpreters.get(self._actor(runtime).key)
        }
        chosen = {
            runtime.id
            for runtime in (*exact, *(one for key, one in newest.items() if key not in keys))
        }
        return tuple(runtime for runtime in self.all() if runtime.id in chosen)

    def resolve(self, runtime_id: str) -> Installed:
        """Return the runtime with an interpreter of its version, the next newer or the next older.

        Raises RuntimeUnavailable without an interpreter, and for an unknown runtime.
        """
        runtime = self.get(runtime_id)
        if runtime is None:
            raise RuntimeUnavailable(f"There is no runtime {runtime_id!r}.")
        family = self._actor(runtime)
        if missing := self._missing(family, runtime):
            raise RuntimeUnavailable(missing)
        found = self.interpreters[family.key]
        wanted = self._language_version(runtime)
        chosen = self._exact(runtime)
        note = ""
        if chosen is None:
            chosen = min(found, key=lambda one: _distance(one.version[: len(wanted)], wanted, one))
            used = f"{chosen.version_text} ({chosen.path})"
            note = f"{runtime.name} {runtime.version} is not installed here: using {used}."
        return self._installed(runtime, chosen, note)

    def _installed(self, runtime: Runtime, chosen: Interpreter, note: str = "") -> Installed:
        family = self._actor(runtime)
        installed = Installed(
            runtime=runtime,
            interpreter=chosen,
            wrapper=self._root / family.key,
            common=self._root / family.common if family.common else None,
            family=family,
            needed={word: self.interpreters[key][-1] for word, key in family.needs.items()},
            system_paths=self._system_paths(family),
            note=note,
        )
        return msgspec.structs.replace(installed, cache_name=self._cache_name(installed))

    def cache_names(self) -> set[str]:
        """Return the names of the caches of all toolchains of this machine."""
        names = (
            self._installed(runtime, one).cache_name
            for runtime in self.all()
            for one in self.interpreters.get(self._actor(runtime).key, ())
        )
        return {name for name in names if name}

    def families(self) -> dict[str, Family]:
        """Return the families that have a wrapper, by key."""
        return {key: family for key, family in self._families.items() if family.start}

    def hint(self, key: str) -> str:
        """Return how to get an interpreter of a family, and of those it needs."""
        family = self._families[key]
        needed = (self.hint(one) for one in family.needs.values() if not self.interpreters.get(one))
        return "; ".join((family.hint, *needed))

    def _missing(self, family: Family, runtime: Runtime) -> str:
        """Return why a family cannot run on this machine, and how to get it; "" when it can."""
        if not family.start:
            return (
                f"minifn has no wrapper for {runtime.name}, so {runtime.id} cannot be built."
                f" To get it: {family.hint}."
            )
        if self.interpreters.get(family.key):
            return ""
        for key in family.needs.values():
            if not self.interpreters.get(key):
                needed = self._families[key]
                return (
                    f"No {needed.name} was found on this machine, which {runtime.name} needs for"
                    f" {runtime.id}. To get it: {needed.hint}."
                )
        return (
            f"No {runtime.name} was found on this machine for {runtime.id}. To get it:"
            f" {family.hint}."
        )

    def _system_paths(self, family: Family) -> tuple[Path, ...]:
        """Return the existing paths of the machine that a family and those it needs read."""
        families = (family, *(self._families[key] for key in family.needs.values()))
        return tuple(
            path
            for one in families
            for pattern in one.system_paths
            for path in sorted(Path("/").glob(pattern.lstrip("/")))
        )

    def _cache_name(self, installed: Installed) -> str:
        """Return the name of the files that functions of a toolchain share, "" without any.

        It changes with the programs, the folders of the family, and the paths of the machine.
        """
        family = installed.family
        if not family.shared:
            return ""
        if family.key not in self._digests:
            folders = filter(None, (installed.wrapper, installed.common))
            self._digests[family.key] = content_digest(folders)
        versions = [one.version for one in installed.interpreters]
        if any("{version}" in word for word in family.shared):
            versions.append(parse_version(installed.runtime.version))
        paths = (*(one.path for one in installed.interpreters), *installed.system_paths)
        text = repr((self._digests[family.key], versions, [*map(_state, paths)]))
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"{family.key}-{installed.interpreter.version_text}-{digest}"

    def _actor(self, runtime: Runtime) -> Family:
        """Return the family whose wrapper and interpreters run this runtime."""
        family = self._families[runtime.key]
        return self._families[family.like] if family.like else family

    def _language_version(self, runtime: Runtime) -> Version:
        return parse_version(runtime.version)[: self._families[runtime.key].precision]

    def _exact(self, runtime: Runtime) -> Interpreter | None:
        wanted = self._language_version(runtime)
        found = self.interpreters.get(self._actor(runtime).key, ())
        matching = [
            interpreter for interpreter in found if interpreter.version[: len(wanted)] == wanted
        ]
        return matching[-1] if matching else None


def default_search_path(runtime_paths: Iterable[str] | None = None) -> str:
    """Return PATH after the directories of MINIFN_RUNTIME_PATHS, each with its directory `bin`.

    None takes the setting from the environment.
    """
    if runtime_paths is None:
        runtime_paths = Config.from_env(
            {name: os.environ.get(name, "") for name in ("MINIFN_RUNTIME_PATHS",)}
        ).runtime_paths
    more = [path for one in runtime_paths for path in (one, f"{one.rstrip('/')}/bin")]
    return os.pathsep.join([*more, os.environ.get("PATH", SYSTEM_PATH)])


def default_root() -> Path:
    """Return the folder of the manifests: in an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_runtimes"
    return installed if installed.is_dir() else package.parent / "runtimes"


def content_digest(folders: Iterable[Path]) -> str:
    """Return a digest of the files in folders: their names, content and executable bits."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                executable = path.stat().st_mode & 0o100
                digest.update(f"{path.relative_to(folder)}\0{executable}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _state(path: Path) -> tuple[str, int, int]:
    """Return a path with the size and time of its file, 0 for a missing one."""
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), status.st_size, status.st_mtime_ns


def _finders(families: Mapping[str, Family]) -> dict[str, Finder]:
    return {
        key: family.interpreter
        for key, family in families.items()
        if family.interpreter and family.start
    }


def _distance(
    version: Version, wanted: Version, interpreter: Interpreter
) -> tuple[bool, Version, bool, Version]:
    """Return a sort key: newer before older, near before far, the best of each version first."""
    older = version < wanted
    far = tuple(-part for part in version) if older else version
    system, exact = interpreter.rank
    return older, far, not system, tuple(-part for part in exact)
