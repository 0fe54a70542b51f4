"""Reloaders of development servers, and a place for files that they must not see."""

import contextlib
import hashlib
import logging
import multiprocessing
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minifn.host.datadir import DataDir
from minifn.host.files import make_directories

logger = logging.getLogger(__name__)

#: Most processes above this one that are looked at.
ANCESTORS_MAX = 16
_WATCHED = re.compile(r"^inotify wd:\w+ ino:([0-9a-f]+) ", re.MULTILINE)
_PARENT = re.compile(r"^PPid:\s*(\d+)", re.MULTILINE)


def watched_folder(folder: Path) -> Path | None:
    """Return the directory around `folder` that uvicorn's reloader watches, None for none.

    Reads the settings that uvicorn gives to the process that it restarts
    (`uvicorn/_subprocess.py`).
    """
    config = _uvicorn_config()
    if config is None:
        return None
    # Imported here: a server without a reloader has no use for it.
    from uvicorn.supervisors.watchfilesreload import FileFilter

    place = folder.resolve()
    if not FileFilter(config)(place / "main.py"):
        return None
    around = {place, *place.parents}
    return next((path for path in config.reload_dirs if path.resolve() in around), None)


def unwatched_place(environ: Mapping[str, str], folder: Path) -> Path:
    """Return the user's directory for the code of `folder`, the same at every start."""
    state = environ.get("XDG_STATE_HOME", "")
    if not state:
        # The users of functions may not pass through root's home directory.
        state = "/var/lib" if os.geteuid() == 0 else str(Path.home() / ".local/state")
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(state) / "minifn" / f"{folder.name}-{name}"


def hide_code(data: DataDir, environ: Mapping[str, str]) -> None:
    """Keep builds where a reloader does not see them: each would restart the app and itself."""
    watched = watched_folder(data.root)
    if watched is None:
        return
    place = unwatched_place(environ, data.root)
    said = f"the data directory {data.root} lies in {watched}, which a reloader watches"
    try:
        make_directories(place)
    except OSError as exc:
        reason = f"{place} cannot be made ({exc.strerror})"
    else:
        if watched_folder(place) is None:
            data.keep_code(place)
            logger.warning("%s: builds are kept in %s", said, place)
            return
        reason = f"so does {place}"
    logger.warning("%s, and %s: builds restart the app. Name another directory", said, reason)


def watching_process(folder: Path) -> str:
    """Return the name of a process above this one that watches `folder`, "" for none.

    So do granian, watchfiles and others that restart a program when a file changes. Linux shows
    the watched directories of each process. uvicorn's own reloader is left out: it has a filter
    that `watched_folder` knows.
    """
    if _uvicorn_config() is not None:
        return ""
    places = {place.stat().st_ino for place in (folder, folder.parent) if place.exists()}
    for process in _ancestors():
        with contextlib.suppress(OSError):
            if places & _watched_by(process):
                return (process / "comm").read_text().strip()
    return ""


def _uvicorn_config() -> Any:
    """Return the settings of the uvicorn that may restart this process, None without one."""
    config: Any = getattr(multiprocessing.current_process(), "_kwargs", {}).get("config")
    return config if getattr(config, "should_reload", False) else None


def _ancestors() -> Iterator[Path]:
    """Yield the processes above this one below /proc, the parent first, without init."""
    pid = os.getppid()
    for _ in range(ANCESTORS_MAX):
        process = Path("/proc") / str(pid)
        if pid <= 1 or not process.is_dir():
            return
        yield process
        try:
            found = _PARENT.search((process / "status").read_text())
        except OSError:
            return
        pid = int(found[1]) if found else 0


def _watched_by(process: Path) -> set[int]:
    """Return the inodes of the directories that a process watches. Raises OSError."""
    inodes: set[int] = set()
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()) == "anon_inode:inotify":
                about = (process / "fdinfo" / descriptor.name).read_text()
                inodes.update(int(inode, 16) for inode in _WATCHED.findall(about))
    return inodes
