"""The table of runtimes: which exist, which run here, and the commands that build and start."""

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from minifn.languages.interpreters import Interpreter, Version, find_interpreters, parse_version
from minifn.languages.manifest import Family, Runtime, load_families

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
#: Locale of functions that set none.
LANG = "C.UTF-8"
#: Memory of a process besides its language's heap: least MB, and divisor of all its memory.
BESIDE_HEAP_MB, BESIDE_HEAP_SHARE = 192, 8


class RuntimeUnavailable(Exception):
    """A runtime cannot run on this machine; the message says why, and how to get it."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The paths that a command sees: in a sandbox, or the server's without one."""

    #: The function's code.
    code: str
    #: `Installed.wrapper`.
    wrapper: str
    #: The function's build cache; builds only.
    cache: str = ""
    #: A directory for temporary files of one build, which is also its home; builds only.
    scratch: str = ""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How to start a worker."""

    argv: tuple[str, ...]
    #: Variables that override the function's.
    env: dict[str, str]
    #: Variables that the function's override.
    defaults: dict[str, str]


class BuildPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The commands of one build."""

    #: The command, run in the code directory; empty for none.
    argv: tuple[str, ...]
    #: A command that fails when the entrypoint cannot be parsed; empty for none.
    check: tuple[str, ...]
    #: A command that makes the code start faster, empty for none; it may fail or be cut short.
    finish: tuple[str, ...]
    #: Variables that the function's override, except PATH.
    env: dict[str, str]
    #: Lines for the build log, before the command's output.
    notes: tuple[str, ...]
    #: Paths that the sandbox must show, read-only, at their own place.
    binds: tuple[Path, ...]
    #: Symbolic links out of the code (path relative to the code -> target) that the build may
    #: leave.
    links: dict[str, str]


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """A runtime with the interpreter that runs it on this machine."""

    runtime: Runtime
    interpreter: Interpreter
    #: The folder of the language's wrapper, shown to commands at `Place.wrapper`.
    wrapper: Path
    family: Family
    #: A line for the build log when the interpreter's version is not the requested one, "" when it
    #: is.
    note: str = ""

    def start(self, place: Place) -> Start:
        """Return the command and environment of a worker."""
        words = self._words(place)
        argv = tuple(_fill(word, words) for word in self.family.start)
        env = {"PATH": self._path(words), "MINIFN_CODE": place.code}
        return Start(argv=argv, env=env, defaults={"LANG": LANG})

    def options(self, memory_mb: int, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that limit processes of this language to `memory_mb`.

        The function's variable of the same name is appended, and wins.
        """
        words = {"heap_mb": str(heap_mb(memory_mb))}
        return {
            name: f"{_fill(options, words)} {variables.get(name, '')}".rstrip()
            for name, options in self.family.options.items()
        }

    def build(self, place: Place, *, commands: str, code: Path, entrypoint: str = "") -> BuildPlan:
        """Return the build of the code in `code` (a path of the server).

        `commands` is the function's shell command. Without one, the language's usual installation
        runs when a file lists dependencies, and a note says so. Without both there is no command.
        """
        words = self._words(place)
        path = self._path(words)
        notes = [self.note] if self.note else []
        command = commands.strip()
        if not command:
            command, note = self._default_command(code, words)
            notes += [note] if note else []
        borrowed = {
            name: found
            for name, package in self.family.borrow.items()
            if (found := _package(package))
        }
        env = {
            "PATH": ":".join([*(_fill(entry, words) for entry in self.family.build_path), path]),
            "HOME": place.scratch,
            "TMPDIR": place.scratch,
            "LANG": LANG,
            "CI": "true",
            "XDG_CACHE_HOME": place.cache,
            **{name: _fill(value, words) for name, value in self.family.build_env.items()},
            **{name: str(path) for name, path in borrowed.items()},
        }
        shell = (shutil.which("bash", path=SYSTEM_PATH) or "/bin/sh", "-c", command)
        prepare = tuple(_fill(word, words) for word in self.family.prepare)
        return BuildPlan(
            argv=(*prepare, *shell) if command else (),
            check=tuple(
                _fill(word, {**words, "entrypoint": entrypoint}) for word in self.family.check
            ),
            finish=tuple(_fill(word, words) for word in self.family.finish),
            env=env,
            notes=tuple(notes),
            binds=(
                *self.interpreter.binds,
                *(path for path in borrowed.values() if not path.is_relative_to("/usr")),
            ),
            links=dict.fromkeys(self.family.links, str(self.interpreter.path)),
        )

    def _default_command(self, code: Path, words: Mapping[str, str]) -> tuple[str, str]:
        """Return the installation command for the code, and a line about it; "" for none."""
        for install in self.family.install:
            if install.applies(code):
                command = _fill(install.command, words)
                return (
                    command,
                    f"The function has no build commands and a {install.file}: running"
                    f" `{command}`.",
                )
        return "", ""

    def _words(self, place: Place) -> dict[str, str]:
        return {
            "interpreter": str(self.interpreter.path),
            "wrapper": place.wrapper,
            "code": place.code,
            "cache": place.cache,
            "scratch": place.scratch,
        }

    def _path(self, words: Mapping[str, str]) -> str:
        first = [_fill(entry, words) for entry in self.family.path]
        beside = str(self.interpreter.path.parent)
        return ":".join(
            [*first, *([] if beside in SYSTEM_PATH.split(":") else [beside]), SYSTEM_PATH]
        )


class RuntimeTable:
    """Every runtime, and the interpreters found when the table was loaded."""

    def __init__(
        self,
        families: Mapping[str, Family],
        interpreters: Mapping[str, tuple[Interpreter, ...]],
        root: Path,
    ):
        self._families = families
        #: Family key -> interpreters, the best of each language version last.
        self.interpreters = interpreters
        self._root = root
        self._runtimes = {
            runtime.id: runtime for family in families.values() for runtime in family.runtimes()
        }

    @classmethod
    def load(cls, root: Path | None = None, *, search_path: str | None = None) -> "RuntimeTable":
        """Read the manifests and find interpreters; starts short processes."""
        root = root or default_root()
        path = os.environ.get("PATH", SYSTEM_PATH) if search_path is None else search_path
        families = load_families(root)
        found = {
            key: find_interpreters(family.interpreter, search_path=path)
            for key, family in families.items()
            if family.interpreter and family.start
        }
        return cls(families, found, root)

    def public(self, place: Path) -> "RuntimeTable":
        """Return a table for processes that run as other users and see the real file system.

        It lacks interpreters below private directories. The wrappers are copied to `place`, where
        every user can read them.
        """
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self._root, place)
        for path in (place, *place.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        usable = {
            key: tuple(one for one in found if one.public)
            for key, found in self.interpreters.items()
        }
        return RuntimeTable(self._families, usable, place)

    def starter(self, key: str) -> Path | None:
        """Return the folder of a family's starter function, None when it has none."""
        folder = self._root / key / "starter"
        return folder if folder.is_dir() else None

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
        if not family.start:
            able = ", ".join(one.name for one in self._families.values() if one.start)
            raise RuntimeUnavailable(
                f"minifn cannot run {runtime.name} functions. It runs: {able}."
            )
        found = self.interpreters[family.key]
        if not found:
            raise RuntimeUnavailable(
                f"No {runtime.name} was found on this machine for {runtime_id}. To get it:"
                f" {family.hint}."
            )
        wanted = self._language_version(runtime)
        chosen = self._exact(runtime)
        note = ""
        if chosen is None:
            chosen = min(found, key=lambda one: _distance(one.version[: len(wanted)], wanted, one))
            used = f"{chosen.version_text} ({chosen.path})"
            note = f"{runtime.name} {runtime.version} is not installed here: using {used}."
        return Installed(
            runtime=runtime,
            interpreter=chosen,
            wrapper=self._root / family.key,
            family=family,
            note=note,
        )

    def hint(self, key: str) -> str:
        """Return how to get an interpreter of a family."""
        return self._families[key].hint

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


def default_root() -> Path:
    """Return the folder of the manifests: in an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_runtimes"
    return installed if installed.is_dir() else package.parent / "runtimes"


def heap_mb(memory_mb: int) -> int:
    """Return the largest heap of a garbage-collected language in `memory_mb` of memory."""
    return memory_mb - max(min(BESIDE_HEAP_MB, memory_mb // 2), memory_mb // BESIDE_HEAP_SHARE)


def _distance(
    version: Version, wanted: Version, interpreter: Interpreter
) -> tuple[bool, Version, bool, Version]:
    """Return a sort key: newer before older, near before far, the best of each version first."""
    older = version < wanted
    far = tuple(-part for part in version) if older else version
    system, exact = interpreter.rank
    return older, far, not system, tuple(-part for part in exact)


def _fill(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace("{" + word + "}", value)
    return text


def _package(name: str) -> Path | None:
    """Return the folder of a package of the server's environment, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None
