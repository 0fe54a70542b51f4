"""Reloaders of development servers, and a place for files that they must not see."""

import hashlib
import multiprocessing
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def watched_folder(folder: Path) -> Path | None:
    """Return the directory around `folder` that uvicorn's reloader watches, None where new code goes unnoticed.

    Reads the settings that uvicorn gives to the process that it starts anew (`uvicorn/_subprocess.py`).
    """
    config: Any = getattr(multiprocessing.current_process(), "_kwargs", {}).get("config")
    if not getattr(config, "should_reload", False):
        return None
    # Imported here: a server without a reloader has no use for it.
    from uvicorn.supervisors.watchfilesreload import FileFilter

    place = folder.resolve()
    if not FileFilter(config)(place / "main.py"):
        return None
    around = {place, *place.parents}
    return next((path for path in config.reload_dirs if path.resolve() in around), None)


def unwatched_place(environ: Mapping[str, str], folder: Path) -> Path:
    """Return the directory of the user's own that takes what `folder` must not hold; the same at every start."""
    state = environ.get("XDG_STATE_HOME", "")
    if not state:
        # The users of functions may not pass through root's home directory.
        state = "/var/lib" if os.geteuid() == 0 else str(Path.home() / ".local/state")
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(state) / "minifn" / f"{folder.name}-{name}"
