"""The Python that runs this server, as a program that a sandbox can run."""

import sys
from pathlib import Path


def own_interpreter() -> Path:
    """Return the real path of the Python that runs this server, outside any virtual environment."""
    return Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()


def own_binds() -> tuple[Path, ...]:
    """Return the directories of this server's Python that a sandbox must show besides /usr."""
    prefix = own_interpreter().parent.parent
    if prefix.is_relative_to("/usr") or prefix == Path("/"):
        return ()
    return tuple(
        path for path in (prefix / "bin", prefix / "lib", prefix / "lib64") if path.is_dir()
    )
