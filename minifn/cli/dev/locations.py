"""Finds the file and line that a traceback or a compiler's message is about."""

import re
from pathlib import Path

#: Python's frames: the innermost comes last.
_PYTHON = re.compile(r'File "([^"\n]+)", line (\d+)')
#: Other languages and compilers: the innermost comes first.
_OTHERS = re.compile(r"([^\s\"'()]{1,300}\.\w{1,10})(?::(\d+)|\((\d+)| on line (\d+))")


def shown(text: str, code: tuple[str, ...], folder: Path) -> str:
    """Return a text with the paths of a function's code as paths of its folder.

    `code` has patterns of the directories by which sandboxes know it.
    """
    place = re.compile(rf"(?<![\w/])(?:{'|'.join(code)})/")
    return place.sub(lambda _: f"{folder}/", text).replace(f"{Path.cwd()}/", "")


def display(path: Path) -> str:
    """Return a path as seen from the working directory, if it lies there."""
    return str(path).removeprefix(f"{Path.cwd()}/")


def location(text: str, code: tuple[str, ...], folder: Path) -> str:
    """Return FILE:LINE of the first cause in a text, "" when it names none of the folder."""
    found = [(file, line) for file, line in reversed(_PYTHON.findall(text))]
    found += [(file, "".join(numbers)) for file, *numbers in _OTHERS.findall(text)]
    for file, line in found:
        # A relative path begins at the folder.
        plain = file.removeprefix("file://")
        path = Path(folder, re.sub(rf"^(?:{'|'.join(code)})/", lambda _: f"{folder}/", plain))
        if path.is_relative_to(folder) and path.is_file():
            return f"{display(path)}:{line}"
    return ""
