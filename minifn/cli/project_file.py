"""The functions of a project: the entries of `appwrite.config.json`, or a bare folder.

The file is that of Appwrite's CLI. `appwrite.json` is its name before version 8, in which functions
had a `specification`, and `variables` in the oldest; `includes` names a file with the functions
(`internal/config/local.go` of appwrite/sdk-for-cli).
"""

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minifn.ids import is_id
from minifn.languages.entry_files import entry_files

#: Names of the file, the newer first.
NAMES = ("appwrite.config.json", "appwrite.json")
#: Keys of an entry that are parameters of the API; the others are about its code.
SETTINGS = (
    "name", "runtime", "execute", "events", "schedule", "interval", "timeout", "enabled", "logging",
    "entrypoint", "commands", "scopes", "specification", "buildSpecification",
    "runtimeSpecification", "deploymentRetention", "description", "installationId",
    "providerRepositoryId", "providerBranch", "providerSilentMode", "providerRootDirectory",
    "providerBranches", "providerPaths",
)  # fmt: skip
#: Files of a folder that are never uploaded, unless a later pattern takes them again.
SECRET_FILES = (".env",)
_NOT_OF_IDS = re.compile(r"[^A-Za-z0-9._-]+")
_INDENT = re.compile(r"^[{\[]\r?\n([ \t]+)")


class ProjectError(ValueError):
    """A project cannot be read; the message is one line with the remedy."""


@dataclass(frozen=True, kw_only=True)
class FunctionEntry:
    """One function of a project."""

    id: str
    #: The folder of its code.
    folder: Path
    #: Parameters of the API: those of the file, or of a bare folder name, runtime and entrypoint.
    settings: Mapping[str, Any]
    #: Parameters of its variables: key, value and secret.
    variables: tuple[Mapping[str, Any], ...] = ()
    #: Patterns of files that are not uploaded.
    ignore: tuple[str, ...] = SECRET_FILES
    #: The file that has the entry, None for a bare folder.
    file: Path | None = None


class ProjectFile:
    """An `appwrite.config.json`. Writing keeps what minifn does not know, and the indentation."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one. Raises ProjectError."""
        self.path = path.absolute()
        self._content = _read(self.path, dict) if path.exists() else {"projectId": "minifn"}
        includes = self._content.get("includes")
        included = includes.get("functions") if isinstance(includes, dict) else None
        #: The file that lists the functions, whose folder their paths begin at.
        self.list_path = self.path.parent / included if isinstance(included, str) else self.path
        if not self.list_path.resolve().is_relative_to(self.path.parent.resolve()):
            raise ProjectError(f"{self.path}: the file in includes is outside of the project")
        listed = (
            self._content.get("functions", [])
            if self.list_path == self.path
            else _read(self.list_path, list)
        )
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise ProjectError(f"{self.list_path}: functions must be a list of objects")
        self._listed: list[dict[str, Any]] = listed

    @classmethod
    def find(cls, start: Path) -> "ProjectFile | None":
        """Return the file in `start` or the nearest folder above it, None without one.

        The home directory's counts in that directory alone. Raises ProjectError.
        """
        start = start.absolute()
        for folder in (start, *start.parents):
            if folder == Path.home() != start:
                return None
            for name in NAMES:
                if (folder / name).is_file():
                    return cls(folder / name)
        return None

    def functions(self) -> list[FunctionEntry]:
        """Return the functions of the project. Raises ProjectError."""
        return [self._entry(one) for one in self._listed]

    def put(self, entry: Mapping[str, Any]) -> None:
        """Add an entry, or replace the one with its `$id`, and write the file. Raises OSError."""
        same = [at for at, one in enumerate(self._listed) if one.get("$id") == entry["$id"]]
        if same:
            self._listed[same[0]] = dict(entry)
        else:
            self._listed.append(dict(entry))
        if self.list_path == self.path:
            self._content["functions"] = self._listed
            _write(self.path, self._content)
        else:
            _write(self.list_path, self._listed)

    def _entry(self, given: Mapping[str, Any]) -> FunctionEntry:
        own = given.get("$id")
        if not isinstance(own, str) or not is_id(own):
            raise ProjectError(f"{self.list_path}: the $id {own!r} of a function is not an id")
        path = given.get("path")
        if not isinstance(path, str) or not path:
            raise ProjectError(f"{self.list_path}: the function {own} has no path")
        return FunctionEntry(
            id=own,
            folder=(self.list_path.parent / path).resolve(),
            settings={"name": own, **{name: given[name] for name in SETTINGS if name in given}},
            variables=self._variables(own, given.get("vars", given.get("variables")) or ()),
            ignore=(*SECRET_FILES, *_patterns(given.get("ignore"))),
            file=self.path,
        )

    def _variables(self, own: str, given: Any) -> tuple[Mapping[str, Any], ...]:
        """Return variables, which are a list of key and value, or in old files an object."""
        if isinstance(given, dict):
            given = [{"key": key, "value": str(value)} for key, value in given.items()]
        if all(isinstance(one, dict) and {"key", "value"} <= one.keys() for one in given):
            kept = ("key", "value", "secret")
            plain = {"secret": False}
            return tuple(
                {**plain, **{name: one[name] for name in kept if name in one}} for one in given
            )
        raise ProjectError(f"{self.list_path}: vars of {own} must be a list of key and value")


def chosen(
    names: Sequence[str], start: Path, *, everything: bool = False, runtimes: Mapping[str, str]
) -> list[FunctionEntry]:
    """Return the functions that a command line names by ids and folders, in its order.

    An id is one of the project file at `start`. Without names it is the function of the folder
    `start`, the only one of its project, or with `everything` all of them. A folder without an
    entry is a function by itself, with the runtime that `runtimes` has for its family (`bare`).
    Raises ProjectError.
    """
    project = ProjectFile.find(start)
    by_id = {entry.id: entry for entry in project.functions()} if project else {}
    if everything:
        if not by_id:
            raise ProjectError(f"no {NAMES[0]} in {start} or above lists functions")
        return list(by_id.values())
    found = []
    for name in names or (".",):
        folder = start / name
        if name in by_id:
            found.append(by_id[name])
        elif folder.is_dir():
            found.append(_of_folder(folder, runtimes))
        else:
            known = f"the functions of {project.path} are {', '.join(by_id)}" if project else ""
            hint = known or f"and no {NAMES[0]} is here or above"
            raise ProjectError(f"{name} is neither a folder nor a function: {hint}")
    return found


def bare(folder: Path, runtimes: Mapping[str, str]) -> FunctionEntry:
    """Return the function of a folder without an entry.

    `runtimes`: family -> the runtime to use for it, of the families that can run. Raises
    ProjectError when none of them has an entry file there.
    """
    folder = folder.resolve()
    candidates = entry_files(folder)
    for entry in candidates:
        if entry.family in runtimes:
            settings = {
                "name": folder.name,
                "runtime": runtimes[entry.family],
                "entrypoint": entry.entrypoint,
            }
            return FunctionEntry(id=id_for(folder.name), folder=folder, settings=settings)
    if candidates:
        names = " or ".join(f"{entry.entrypoint} ({entry.family})" for entry in candidates)
        raise ProjectError(f"{folder} has {names}, which cannot run here: see `minifn doctor`")
    raise ProjectError(
        f"{folder} has no entry file such as main.py or src/main.js: `minifn init` makes one, or an"
        f" entry in {NAMES[0]} names it"
    )


def id_for(name: str) -> str:
    """Return an id made from the name of a folder."""
    return _NOT_OF_IDS.sub("-", name).strip("._-")[:36].rstrip("._-") or "function"


def _of_folder(folder: Path, runtimes: Mapping[str, str]) -> FunctionEntry:
    """Return the function of a folder: of its project, when that has just one for it."""
    folder = folder.resolve()
    project = ProjectFile.find(folder)
    entries = project.functions() if project else []
    inside = [entry for entry in entries if folder.is_relative_to(entry.folder)]
    if inside:
        return max(inside, key=lambda entry: len(entry.folder.parts))
    if project is None or not entries or project.path.parent != folder:
        return bare(folder, runtimes)
    if len(entries) > 1:
        names = ", ".join(entry.id for entry in entries)
        raise ProjectError(f"{project.path} has several functions: name one of {names}, or --all")
    return entries[0]


def _patterns(given: object) -> Iterable[str]:
    """Return the patterns of `ignore`, a list or a text of lines."""
    lines = given.splitlines() if isinstance(given, str) else given
    return [str(line) for line in lines] if isinstance(lines, list) else []


def _read(path: Path, kind: type[Any]) -> Any:
    """Return the JSON value of a file. Raises ProjectError for an unreadable or another one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ProjectError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, kind):
        wanted = "an object" if kind is dict else "a list"
        raise ProjectError(f"{path} must hold {wanted}")
    return content


def _write(path: Path, content: object) -> None:
    """Write JSON with the file's own indentation, in one step. Raises OSError."""
    found = _INDENT.match(path.read_text(encoding="utf-8-sig")) if path.exists() else None
    text = json.dumps(content, indent=found[1] if found else 4, ensure_ascii=False) + "\n"
    # A link stays a link.
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    new = Path(name)
    new.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
    new.replace(target)
