"""`minifn init`: a starter function, and its entry in the project's file."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from minifn.cli.connecting import json_option
from minifn.cli.examples import examples, examples_root
from minifn.cli.handler_types import add_types
from minifn.cli.options import GivenPath, fail
from minifn.cli.project_file import NAMES, ProjectError, ProjectFile, id_for
from minifn.ids import is_id
from minifn.languages import RuntimeTable
from minifn.languages.entry_files import entry_files
from minifn.log_text import printable

#: The family without `--runtime`.
FAMILY = "python"
#: Settings of a new function, those of Appwrite's CLI.
SETTINGS: dict[str, Any] = {
    "execute": ["any"],
    "events": [],
    "scopes": [],
    "schedule": "",
    "timeout": 15,
    "enabled": True,
    "logging": True,
}


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Code to start with: its folder, its runtime and its settings."""

    folder: Path
    runtime: str
    settings: dict[str, Any]


def complete_families(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the families with a starter that begin with a text."""
    families = RuntimeTable.load(search_path="").starters()
    return [CompletionItem(key) for key in families if key.startswith(incomplete)]


def complete_templates(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the examples that begin with a text."""
    return [
        CompletionItem(one["$id"], help=one["name"])
        for one in examples()
        if one["$id"].startswith(incomplete)
    ]


@click.command()
@click.argument("directory", metavar="[DIR]", type=GivenPath(file_okay=False), default=".")
@click.option(
    "--runtime",
    metavar="FAMILY",
    shell_complete=complete_families,
    help=f"language of the starter, such as node or python  [default: {FAMILY}]",
)
@click.option(
    "--template",
    metavar="ID",
    shell_complete=complete_templates,
    help="begin from a bundled example, such as python-webhook",
)
@click.option(
    "--id", "function_id", metavar="ID", help="ID of the function  [default: that of DIR]"
)
@json_option
def init(
    directory: str,
    runtime: str | None,
    template: str | None,
    function_id: str | None,
    as_json: bool,
) -> None:
    """Write a starter function to DIR, and its project entry.

    The entry is in appwrite.config.json. Nothing is overwritten: a DIR that has code keeps it, and
    gets an entry alone.
    """
    if runtime and template:
        fail("--template has a runtime: leave --runtime out", status=2)
    folder = Path(directory).resolve()
    own = function_id or id_for(folder.name)
    if not is_id(own):
        fail(f"--id must be an ID, not {own!r}", status=2)
    beginning = _beginning(folder, runtime or "", template or "")
    try:
        project = ProjectFile.find(Path.cwd()) or ProjectFile(Path.cwd() / NAMES[0])
        if own in {entry.id for entry in project.functions()}:
            fail(f"{project.path} has a function {own} already: choose another with --id")
        written = _write(beginning, folder, typed=not template)
        entry = {
            "$id": own,
            "name": folder.name,
            "runtime": beginning.runtime,
            **beginning.settings,
            "path": os.path.relpath(folder, project.list_path.parent),
        }
        project.put(entry)
    except (ProjectError, OSError) as error:
        fail(str(error))
    if as_json:
        click.echo(json.dumps({**entry, "files": written, "project": str(project.path)}))
        return
    for name in written:
        click.echo(printable(os.path.relpath(folder / name)))
    click.echo(printable(f"{os.path.relpath(project.path)}: {own}, {beginning.runtime}"))
    click.echo(f"Deploy it by `minifn deploy {own}`, or try it by `minifn dev`.")


def _beginning(folder: Path, runtime: str, template: str) -> Beginning:
    """Return the beginning of the function in `folder`; a wrong choice ends the process."""
    if not _has_code(folder):
        return _example(template) if template else _starter(runtime or FAMILY)
    if template:
        fail(f"{folder} is not empty: a template needs a folder of its own", status=2)
    return _of_code(folder, runtime)


def _write(beginning: Beginning, folder: Path, *, typed: bool) -> list[str]:
    """Copy a beginning into `folder`, unless it is there; return the names of the files.

    `typed`: with the types of the handler's argument. Raises OSError.
    """
    if beginning.folder == folder:
        return []
    written = _copy(beginning.folder, folder)
    if typed:
        family = beginning.runtime.rpartition("-")[0]
        made = add_types(folder / beginning.settings["entrypoint"], family)
        written += [path.relative_to(folder).as_posix() for path in made]
    return written


def _starter(wanted: str) -> Beginning:
    """Return the starter of a family, or of one of its runtimes. Another ends the process."""
    table = RuntimeTable.load()
    family = wanted if wanted in table.starters() else wanted.rpartition("-")[0]
    if family not in table.starters():
        known = ", ".join(table.starters())
        fail(f"--runtime {wanted!r} has no starter; those that have one are {known}", status=2)
    starter, folder = table.starters()[family]
    commands = {"commands": starter.commands} if starter.commands else {}
    return Beginning(
        folder=folder,
        runtime=wanted if table.get(wanted) else _runtime(table, family),
        settings={**SETTINGS, "entrypoint": starter.entrypoint, **commands},
    )


def _has_code(folder: Path) -> bool:
    """Tell whether a folder has more than what belongs to projects."""
    known = (*NAMES, ".minifn", ".git", ".gitignore", "minifn-data")
    return folder.is_dir() and any(path.name not in known for path in folder.iterdir())


def _of_code(folder: Path, wanted: str) -> Beginning:
    """Return the settings of code that is there. Code without an entry file ends the process."""
    table = RuntimeTable.load()
    for entry in entry_files(folder):
        if wanted in ("", entry.family) or wanted.rpartition("-")[0] == entry.family:
            return Beginning(
                folder=folder,
                runtime=wanted if table.get(wanted) else _runtime(table, entry.family),
                settings={**SETTINGS, "entrypoint": entry.entrypoint},
            )
    kind = f" of {wanted}" if wanted else ""
    fail(f"{folder} has files, but no entry file{kind}: name it main, as in main.py")


def _example(wanted: str) -> Beginning:
    """Return a bundled example. Another ends the process."""
    found = {one["$id"]: one for one in examples()}.get(wanted)
    if found is None:
        known = ", ".join(one["$id"] for one in examples())
        fail(f"--template {wanted!r} is not one of {known}", status=2)
    family = found["runtime"].rpartition("-")[0]
    settings = {
        name: value
        for name, value in found.items()
        if name not in ("$id", "name", "runtime", "path", "specification")
    }
    return Beginning(
        folder=examples_root() / found["path"],
        runtime=_runtime(RuntimeTable.load(), family),
        settings=settings,
    )


def _runtime(table: RuntimeTable, family: str) -> str:
    """Return the runtime of a family that this machine has, or else its newest."""
    here = [one.id for one in table.runnable() if one.key == family]
    return (here or [one.id for one in table.all() if one.key == family])[-1]


def _copy(source: Path, target: Path) -> list[str]:
    """Copy the files of a starter and return their names. Raises OSError."""
    names = sorted(
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    for name in names:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, path)
    return names
