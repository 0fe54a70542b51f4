"""The bundled examples: functions to deploy, or to start a project with."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from minifn.cli.project_file import FunctionEntry, ProjectFile

PACKAGE = Path(__file__).parents[1]


def examples_root() -> Path:
    """Return the examples' folder: inside an installed package, or beside it in a checkout."""
    installed = PACKAGE / "_examples"
    return installed if installed.is_dir() else PACKAGE.parent / "examples"


def examples() -> list[dict[str, Any]]:
    """Return the entries of the examples' `appwrite.json`."""
    described = json.loads((examples_root() / "appwrite.json").read_text())
    return list(described["functions"])


def example(function_id: str, runtime: str) -> FunctionEntry:
    """Return an example as a function of a project, with a runtime of this machine."""
    listed = ProjectFile(examples_root() / "appwrite.json").functions()
    [entry] = [one for one in listed if one.id == function_id]
    return dataclasses.replace(entry, settings={**entry.settings, "runtime": runtime})
