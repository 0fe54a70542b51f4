"""One function that is developed: its folder, its dependencies, and what its sandbox shows."""

import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from minifn.archive.folders import Folder, copy_folder
from minifn.archive.ignore_patterns import IgnorePatterns
from minifn.archive.packing import MADE_AGAIN, PackingRules
from minifn.builder.publish import Owner, seal
from minifn.cli.project_file import FunctionEntry
from minifn.languages import Installed
from minifn.models import Function
from minifn.parts import Parts
from minifn.process_env import CODE, function_uid
from minifn.sandbox.command import Bind
from minifn.sandbox.engines import user_under
from minifn.workers.specs import LiveCode

#: Patterns of files that editors and tools make beside the code, or that hold secrets.
BESIDE_CODE = (
    *("*~", "*.swp", "*.swx", "4913", ".#*", "\\#*#", "*.tmp.[0-9]*", ".env.*", "runtime-env/"),
    *(".hg/", ".svn/", "venv/", ".mypy_cache/", ".ruff_cache/", ".pytest_cache/"),
)
#: Files of the folder's top, besides those that a language names, with which dependencies change.
LOCK_FILES = (
    *("*.lock", "*-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "bun.lockb", ".npmrc"),
    *("requirements*.txt", "constraints*.txt", "setup.py", "setup.cfg", ".python-version"),
)
#: A command that only installs dependencies.
_INSTALLS = re.compile(
    r"(npm (install|i|ci)|yarn( install)?|pnpm (install|i)|bun (install|i)"
    r"|(python3? -m )?pip3? install|uv (sync|pip (install|sync))|poetry install)\b[^|<>]*"
)
#: Most entries of a folder that a sandbox shows one by one.
BINDS_MAX = 200
_HARMLESS = IgnorePatterns(MADE_AGAIN)


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """The build that the dependencies of a function come from."""

    deployment_id: str
    #: Hash of the files that it depends on.
    fingerprint: str
    #: Names of the folder's entries when it was copied for the build.
    copied: tuple[str, ...]


class DevFunction:
    """A function of the project."""

    def __init__(self, parts: Parts, entry: FunctionEntry) -> None:
        self._parts = parts
        self.entry = entry
        self.folder = Folder(path=entry.folder, keeps=self._keeps)
        self.read_rules()
        self.installed: Installed = parts.runtimes.resolve(str(entry.settings["runtime"]))
        #: None until there is one that can run.
        self.built: Built | None = None
        #: Files of the folder that were copied over the build, where no sandbox shows the folder.
        self._copied: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """The function's id."""
        return self.entry.id

    @property
    def entrypoint(self) -> str:
        """The entry file, relative to the folder."""
        return str(self.entry.settings.get("entrypoint", ""))

    @property
    def commands(self) -> str:
        """The function's build commands."""
        return str(self.entry.settings.get("commands", ""))

    @property
    def runs_from_folder(self) -> bool:
        """Whether its code needs no build: only dependencies are installed."""
        commands = filter(None, map(str.strip, re.split(r"&&|;|\n", self.commands)))
        return (
            self.installed.family.reload
            and all(_INSTALLS.fullmatch(command) for command in commands)
            and (self.folder.path / self.entrypoint).is_file()
        )

    def read_rules(self) -> None:
        """Read the ignore files: what git ignores is neither watched nor shown to the function."""
        rules = PackingRules(self.folder.path, (*self.entry.ignore, *BESIDE_CODE))
        self._leaves_out = functools.cache(rules.leaves_out)

    def _keeps(self, path: str, is_directory: bool) -> bool:
        return not self._leaves_out(path, directory=is_directory)

    def fingerprint(self) -> str:
        """Return a hash of all that its build is made from. Raises OSError.

        Those are all its files, or only those of its dependencies when it runs from its folder.
        """
        version = self.installed.interpreter.version_text
        place = str(self.folder.path)
        facts = (self.installed.runtime.id, version, self.commands, self.entrypoint, place)
        digest = hashlib.sha256(repr(facts).encode())
        files = (
            self.dependency_files()
            if self.runs_from_folder
            else [path for path, _ in self.folder.files()]
        )
        for name in files:
            digest.update(name.encode() + b"\0" + (self.folder.path / name).read_bytes() + b"\0")
        return digest.hexdigest()

    def dependency_files(self) -> list[str]:
        """Return the existing files with which its dependencies change. Raises OSError."""
        patterns = (*LOCK_FILES, *(install.file for install in self.installed.family.install))
        top = (
            name for name in self.folder.top() if any(fnmatchcase(name, one) for one in patterns)
        )
        named = (word.removeprefix("./") for word in self.commands.split())
        found = sorted({*top, *named})
        return [name for name in found if (self.folder.path / name).is_file()]

    # Paths that its sandbox shows

    def live_code(self, built: Built) -> LiveCode:
        """Return what runs in place of a build."""
        return LiveCode(binds=lambda: self._binds(built))

    def _binds(self, built: Built) -> tuple[Bind, ...]:
        """Return the entries of the folder, and those that the build made; () for a copy."""
        if not self.is_shown:
            return ()
        directory = self._parts.data.build(built.deployment_id)
        # Bytecode is that of the copied files.
        known = {*built.copied, "__pycache__"}
        made = (one.name for one in directory.iterdir() if one.name not in known)
        sources = {name: directory / name for name in made}
        sources |= self._shown("")
        return tuple(
            Bind(source=source, target=f"{CODE}/{name}")
            for name, source in sources.items()
            if source.exists()
        )

    def _shown(self, below: str) -> dict[str, Path]:
        """Return the entries that a sandbox shows with all below them, by path. Raises OSError.

        A directory in which something is left out, such as a secret, is shown by its entries. A
        sandbox follows links to wherever they lead, so only those to what it shows itself count.
        """
        found: dict[str, Path] = {}
        with os.scandir(self.folder.path / below) as entries:
            for one in entries:
                path = f"{below}{one.name}"
                source = (self.folder.path / path).resolve()
                if not self._keeps(path, one.is_dir()):
                    continue
                if not one.is_symlink() and one.is_dir() and self._hides(path):
                    found |= self._shown(f"{path}/")
                elif not one.is_symlink() or self._is_shown_too(source):
                    found[path] = source
        return found

    def _is_shown_too(self, target: Path) -> bool:
        root = self.folder.path.resolve()
        if not target.is_relative_to(root) or not target.exists():
            return False
        path = target.relative_to(root).as_posix()
        return self._keeps(path, target.is_dir()) and not (target.is_dir() and self._hides(path))

    def _hides(self, path: str) -> bool:
        """Tell whether something below a directory is left out that is not just made again."""
        with (
            contextlib.suppress(FileNotFoundError, PermissionError),
            os.scandir(self.folder.path / path) as entries,
        ):
            for one in entries:
                name, directory = f"{path}/{one.name}", one.is_dir(follow_symlinks=False)
                if not self._keeps(name, directory):
                    if not _HARMLESS.decide(name, directory):
                        return True
                elif directory and self._hides(name):
                    return True
        return False

    @property
    def is_shown(self) -> bool:
        """Whether the engine shows the folder itself, readable for the function's user."""
        if not self._parts.engine.namespaces or len(self._shown("")) > BINDS_MAX:
            return False
        return os.geteuid() != 0 or all(status.st_mode & 0o004 for _, status in self.folder.files())

    def copy(self, built: Built, function: Function) -> None:
        """Copy the folder over its build, unless the engine shows it.

        Raises FolderRefused, TreeRefused and OSError.
        """
        if self.is_shown:
            return
        directory = self._parts.data.build(built.deployment_id)
        self._copied = frozenset(copy_folder(self.folder, directory, self._copied))
        uid = user_under(self._parts.engine, function_uid(function))
        owner = Owner(builder_uid=os.geteuid(), uid=0 if uid else -1, gid=uid or -1)
        seal(directory, owner, ("/",), limit_bytes=self._parts.config.build_limit)


def wanted_variables(
    entry: FunctionEntry, more: Mapping[str, str]
) -> dict[str, Mapping[str, object]]:
    """Return the variables of a function by key; those of `more` win."""
    own = {str(one["key"]): one for one in entry.variables}
    given = {key: {"key": key, "value": value, "secret": False} for key, value in more.items()}
    return {**own, **given}
