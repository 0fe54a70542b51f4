"""Finds the file and line that a traceback or a compiler's message is about."""

import re
from pathlib import Path

#: Python's frames: the innermost comes last.
_PYTHON = re.compile(r'File "([^"\n]+)", line (\d+)')
#: Other languages and compilers: the innermost comes first.
_OTHERS = re.compile(r"([\w./@+-]+\.\w+)(?::(\d+)|\((\d+))")


def shown(text: str, code: tuple[str, ...], folder: Path) -> str:
    """Return a text with the paths of a sandbox, below one of `code`, as paths of the folder."""
    for place in code:
        text = re.sub(rf"(?<![\w/]){re.escape(place)}/", f"{display(folder)}/", text)
    return text.replace(f"{Path.cwd()}/", "")


def display(path: Path) -> str:
    """Return a path as seen from the working directory, if it lies there."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def location(text: str, code: tuple[str, ...], folder: Path) -> str:
    """Return FILE:LINE of the first cause in a text, "" when it names none of the folder."""
    found = [(file, line) for file, line in reversed(_PYTHON.findall(text))]
    found += [(file, first or second) for file, first, second in _OTHERS.findall(text)]
    for file, line in found:
        for place in (*code, str(folder)):
            file = file.removeprefix("file://").removeprefix(f"{place}/")
        path = folder / file.removeprefix("./")
        if not Path(file).is_absolute() and path.is_file():
            return f"{display(path)}:{line}"
    return ""
