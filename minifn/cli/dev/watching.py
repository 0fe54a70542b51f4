"""Changes of files below folders: what was changed, added or removed, within milliseconds.

The kernel's events only say when to look: the folders are then compared with what they were, so
that no change is lost while new folders are not watched yet.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from watchfiles import awatch

from minifn.archive.folders import Folder

logger = logging.getLogger("minifn.dev")

#: Milliseconds without another event after which a change counts as complete, and the most that
#: it is waited for.
STEP_MS, DEBOUNCE_MS = 10, 200
#: Milliseconds between looks where the kernel tells nothing.
POLL_MS = 200
#: Milliseconds between looks without an event: one may be missed while a watch begins.
LOOK_MS = 2000

#: Path -> its time and size.
State = dict[Path, tuple[int, int]]


def state_of(folders: list[Folder], files: list[Path]) -> State:
    """Return the state of all kept files of the folders, and of the `files` that exist."""
    found: State = {}
    for folder in folders:
        for path, status in folder.files():
            found[folder.path / path] = (status.st_mtime_ns, status.st_size)
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        found[file] = (status.st_mtime_ns, status.st_size)
    return found


def directories(folders: list[Folder], files: list[Path]) -> set[Path]:
    """Return the existing directories whose entries matter."""
    found = {file.parent for file in files if file.parent.is_dir()}
    for folder in folders:
        found.update(_below(folder, folder.path, ""))
    return found


def _below(folder: Folder, place: Path, path: str) -> Iterator[Path]:
    try:
        entries = list(place.iterdir())
    except OSError:
        # Removed meanwhile, or not meant for functions.
        return
    yield place
    for one in entries:
        below = f"{path}{one.name}"
        if one.is_dir() and not one.is_symlink() and folder.keeps(below, True):
            yield from _below(folder, one, f"{below}/")


async def changes(
    folders: list[Folder], files: list[Path], known: State, note: Callable[[str], None]
) -> AsyncIterator[set[Path]]:
    """Yield the paths that differ from `known`, each time some do; never ends.

    `known` becomes the present state. `note` is told once when the kernel has no watches left and
    the folders are polled.
    """
    polls = False
    while True:
        watched = directories(folders, files)
        if changed := _update(known, state_of(folders, files)):
            yield changed
            continue
        try:
            async for _ in _events(watched, polls):
                if changed := _update(known, state_of(folders, files)):
                    yield changed
                if directories(folders, files) != watched:
                    break
        except FileNotFoundError:
            # A directory was removed meanwhile.
            continue
        except (OSError, RuntimeError) as exc:
            if polls:
                raise
            polls = True
            note(
                f"the kernel has no watches left ({exc}): folders are looked at every {POLL_MS} ms"
            )


def _events(watched: set[Path], polls: bool) -> AsyncIterator[object]:
    """Yield when something may have happened in the directories; raises OSError, RuntimeError."""
    return awatch(
        *watched,
        recursive=False,
        watch_filter=None,
        step=STEP_MS,
        debounce=DEBOUNCE_MS,
        force_polling=polls or None,
        poll_delay_ms=POLL_MS,
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )


def _update(known: State, now: State) -> set[Path]:
    """Make `known` equal to `now`, and return the paths that differed."""
    changed = {path for path in known.keys() | now.keys() if known.get(path) != now.get(path)}
    known.clear()
    known.update(now)
    return changed
