"""Files that survive a loss of power, and the removal of trees that functions wrote."""

import contextlib
import errno
import os
import secrets
import stat
import time
from pathlib import Path

#: Most attempts to remove a tree to which a process still writes.
REMOVE_ATTEMPTS = 5


def remove_tree(path: Path) -> None:
    """Delete a file or a tree, if there is one. Raises OSError.

    Links are never followed. Directories may be closed, deeply nested, or still written to.
    """
    for attempt in range(REMOVE_ATTEMPTS):
        try:
            if path.is_dir() and not path.is_symlink():
                _empty(path)
                path.rmdir()
            else:
                path.unlink()
            return
        except OSError as exc:
            if not os.path.lexists(path):
                return
            if exc.errno not in (errno.ENOTEMPTY, errno.ENOENT) or attempt == REMOVE_ATTEMPTS - 1:
                raise
        # A process that is being killed wrote again.
        time.sleep(0.05)


def make_directories(*paths: Path) -> None:
    """Create directories, mode 0700, and their missing parents, durably. Raises OSError."""
    changed: dict[Path, None] = {}
    for path in paths:
        changed |= {one.parent: None for one in (path, *path.parents) if not one.exists()}
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError as exc:
            # A file, or a link that leads nowhere.
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(path)) from exc
    # Each once: it takes milliseconds.
    for directory in changed:
        # A directory that may be written to may not always be read.
        with contextlib.suppress(PermissionError):
            sync_directory(directory)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` survive a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Make everything below the directory `path` survive a loss of power. Raises OSError.

    One system call does it for a tree of any size.
    """
    # Imported with the first build; most starts do not need it.
    import ctypes

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Python's `os` has only `sync`, which waits for every disk and reports no error.
        failed = ctypes.CDLL(None, use_errno=True).syncfs(descriptor)
    finally:
        os.close(descriptor)
    if failed:
        # syncfs(2) may report the error of any file on that file system: each file reports its own.
        _sync_each(path)


def _sync_each(path: Path) -> None:
    for _, _, names, directory in os.fwalk(path):
        for name in names:
            if stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                descriptor = os.open(
                    name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory
                )
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        os.fsync(directory)


def _empty(path: Path) -> None:
    """Delete everything in a directory. Deeper directories are moved up, so paths stay short."""
    top = _open_directory(str(path), None)
    moved = f"{secrets.token_hex(8)}-"
    count = 0
    try:
        while names := os.listdir(top):  # noqa: PTH208 - a descriptor
            for name in names:
                if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=top)
                    continue
                inner = _open_directory(name, top)
                try:
                    for below in os.listdir(inner):  # noqa: PTH208
                        if stat.S_ISDIR(
                            os.stat(below, dir_fd=inner, follow_symlinks=False).st_mode
                        ):
                            count += 1
                            os.close(_open_directory(below, inner))
                            os.rename(below, f"{moved}{count}", src_dir_fd=inner, dst_dir_fd=top)
                        else:
                            os.unlink(below, dir_fd=inner)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)


def _open_directory(name: str, parent: int | None) -> int:
    """Open a directory to change its entries; a server that is not root opens its mode first."""
    if os.geteuid() != 0:
        os.chmod(name, 0o700, dir_fd=parent)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
