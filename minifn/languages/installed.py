"""A runtime of this machine: the commands, environments and paths of its builds and workers."""

import importlib.util
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from minifn.languages.interpreters import Interpreter, is_system, parse_version
from minifn.languages.manifest import Family, Runtime

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
#: Locale of functions that set none.
LANG = "C.UTF-8"
#: Memory of a process besides its language's heap: least MB, and divisor of all its memory.
BESIDE_HEAP_MB, BESIDE_HEAP_SHARE = 192, 8
#: Memory of a process whose size is not said, MB.
MEMORY_MB = 512
#: Directory of links to programs whose files have other names, below the directory of a build.
TOOLS = "tools"
_WORD = re.compile(r"\{(\w+)\}")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The paths that a command sees: in a sandbox, or the server's without one."""

    #: The function's code.
    code: str
    #: `Installed.wrapper`, and `Installed.common`.
    wrapper: str
    common: str = ""
    #: The read-only result of the family's command `shared`.
    shared: str = ""
    #: A directory for temporary files of a worker.
    tmp: str = ""
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
    """The commands of one build. Those after the first are empty for none."""

    #: The command, run in the code directory; empty for none.
    argv: tuple[str, ...]
    #: A command that fails when the entrypoint cannot be parsed.
    check: tuple[str, ...]
    #: A command that makes the code runnable; its failure is the build's.
    compile: tuple[str, ...]
    #: A command that makes the code start faster; it may fail or be cut short.
    finish: tuple[str, ...]
    #: Paths (globs) of the build to keep; empty keeps all.
    keep: tuple[str, ...]
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
    #: The folder of code that the family shares with others, shown at `Place.common`; None = none.
    common: Path | None = None
    family: Family
    #: Word of `Family.needs` -> the interpreter of that family.
    needed: dict[str, Interpreter] = {}
    #: Paths of the machine that only this family's sandboxes show.
    system_paths: tuple[Path, ...] = ()
    #: Name of the files that the family's command `shared` makes for this machine, "" for none.
    cache_name: str = ""
    #: A line for the build log when the interpreter's version is not the requested one, "" when it
    #: is.
    note: str = ""

    @property
    def memory_allowance_mb(self) -> int:
        """MB that this version of the language reserves and does not use."""
        since = parse_version(self.family.memory_allowance_since)
        return self.family.memory_allowance_mb if self.interpreter.version >= since else 0

    @property
    def interpreters(self) -> tuple[Interpreter, ...]:
        """The interpreter, then those it needs."""
        return (self.interpreter, *self.needed.values())

    @property
    def binds(self) -> tuple[Path, ...]:
        """The paths besides the system that a sandbox must show, read-only, at their own place."""
        shown = (path for one in self.interpreters for path in one.binds)
        more = (path for path in self.system_paths if not is_system(path))
        return tuple(dict.fromkeys((*shown, *more)))

    @property
    def tools(self) -> dict[str, Path]:
        """Name -> target of the links in the folder TOOLS of a build's directory."""
        return {name: path for one in self.interpreters for name, path in one.links.items()}

    def start(self, place: Place, *, entrypoint: str = "", memory_mb: int = MEMORY_MB) -> Start:
        """Return the command and environment of a worker."""
        words = self._words(place, entrypoint, memory_mb)
        env = {"PATH": self._path(words), "MINIFN_CODE": place.code}
        defaults = {
            "LANG": LANG,
            **_filled(self.family.env, words),
            **_filled(self.family.worker_env, words),
        }
        return Start(argv=_argv(self.family.start, words), env=env, defaults=defaults)

    def options(self, memory_mb: int, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that limit processes of this language to `memory_mb`.

        The function's variable of the same name is appended, and wins.
        """
        words = _sizes(memory_mb)
        return {
            name: f"{_fill(options, words)} {variables.get(name, '')}".rstrip()
            for name, options in self.family.options.items()
        }

    def share(self, place: Place, memory_mb: int) -> tuple[tuple[str, ...], dict[str, str]]:
        """Return the command that fills `Place.shared` for this machine, and its environment."""
        words = self._words(place, "", memory_mb)
        return _argv(self.family.shared, words), self._build_env(place, words)

    def build(
        self,
        place: Place,
        *,
        commands: str,
        code: Path,
        entrypoint: str = "",
        memory_mb: int = MEMORY_MB,
    ) -> BuildPlan:
        """Return the build of the code in `code` (a path of the server).

        `commands` is the function's shell command. Without one, the language's usual installation
        runs when a file lists dependencies, and a note says so. Without both there is no command.
        """
        family = self.family
        words = self._words(place, entrypoint, memory_mb)
        notes = [self.note] if self.note else []
        command = commands.strip()
        if not command:
            command, note = self._default_command(code, words)
            notes += [note] if note else []
        borrowed = {
            name: found for name, package in family.borrow.items() if (found := _package(package))
        }
        shell = (shutil.which("bash", path=SYSTEM_PATH) or "/bin/sh", "-c", command)
        return BuildPlan(
            argv=(*_argv(family.prepare, words), *shell) if command else (),
            check=_argv(family.check, words),
            compile=_argv(family.compile, words),
            finish=_argv(family.finish, words),
            keep=_argv(family.keep, words),
            env={
                **self._build_env(place, words),
                **{name: str(path) for name, path in borrowed.items()},
            },
            notes=tuple(notes),
            binds=(
                *self.binds,
                *(path for path in borrowed.values() if not path.is_relative_to("/usr")),
            ),
            links=dict.fromkeys(family.links, str(self.interpreter.path)),
        )

    def _build_env(self, place: Place, words: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of builds; caches and temporary files lie in their directories."""
        family = self.family
        first = [_fill(entry, words) for entry in family.build_path]
        tools = [f"{place.scratch}/{TOOLS}"] if self.tools else []
        return {
            "PATH": ":".join([*first, *tools, self._path(words)]),
            "HOME": place.scratch,
            "TMPDIR": place.scratch,
            "LANG": LANG,
            "CI": "true",
            "XDG_CACHE_HOME": place.cache,
            **_filled(family.env, words),
            **_filled(family.build_env, words),
        }

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

    def _words(self, place: Place, entrypoint: str, memory_mb: int) -> dict[str, str]:
        needed = (
            {word: str(one.path), f"{word}_prefix": str(one.prefix)}
            for word, one in self.needed.items()
        )
        return {
            "interpreter": str(self.interpreter.path),
            "prefix": str(self.interpreter.prefix),
            "version": self.runtime.version,
            "wrapper": place.wrapper,
            "common": place.common,
            "shared": place.shared,
            "code": place.code,
            "cache": place.cache,
            "scratch": place.scratch,
            # The temporary directory of a build is its own directory.
            "tmp": place.scratch or place.tmp,
            "entrypoint": entrypoint,
            **_sizes(memory_mb),
            **{word: value for one in needed for word, value in one.items()},
        }

    def _path(self, words: Mapping[str, str]) -> str:
        first = (_fill(entry, words) for entry in self.family.path)
        beside = (str(one.path.parent) for one in self.interpreters)
        system = SYSTEM_PATH.split(":")
        return ":".join(
            dict.fromkeys([*first, *(one for one in beside if one not in system), *system])
        )


def heap_mb(memory_mb: int) -> int:
    """Return the largest heap of a garbage-collected language in `memory_mb` of memory."""
    return memory_mb - max(min(BESIDE_HEAP_MB, memory_mb // 2), memory_mb // BESIDE_HEAP_SHARE)


def _sizes(memory_mb: int) -> dict[str, str]:
    return {"memory_mb": str(memory_mb), "heap_mb": str(heap_mb(memory_mb))}


def _argv(command: Iterable[str], words: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_fill(word, words) for word in command)


def _filled(env: Mapping[str, str], words: Mapping[str, str]) -> dict[str, str]:
    return {name: _fill(value, words) for name, value in env.items()}


def _fill(text: str, words: Mapping[str, str]) -> str:
    """Replace each known word in braces; values are not searched again."""
    return _WORD.sub(lambda found: words.get(found[1], found[0]), text)


def _package(name: str) -> Path | None:
    """Return the folder of a package of the server's environment, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None
