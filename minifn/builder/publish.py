"""The last step of a build: its output is checked, measured and made the server's own, read-only to the function.

A build runs whatever its author likes in a directory that it owns, so nothing here follows a symbolic link, and
nothing is handed to a function that the build did not own before. All of the build's processes have ended by now.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from minifn.archive.unpack_main import leads_outside, shown

#: What a build may leave behind.
OUTPUT_BYTES_MAX = 2_000_000_000
OUTPUT_FILES_MAX = 300_000
LEVELS_MAX = 100
#: Builds stop when the disk has less than this left, or less than this share of it when that is smaller.
FREE_BYTES_FLOOR = 1_000_000_000
FREE_SHARE_FLOOR = 0.1


class OutputRefused(Exception):
    """A build's output cannot be published, or there is no room for it; the message says why."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """How much lies below a directory: the sizes of its files, and how many they and the directories are."""

    size_bytes: int = 0
    files: int = 0
    directories: int = 0


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who owned a tree while it was built, and who owns it once it is published; -1 leaves an owner alone."""

    builder_uid: int
    uid: int = -1
    gid: int = -1


def check_space(path: Path) -> None:
    """Raise OutputRefused when the disk that holds `path` is close to full."""
    disk = shutil.disk_usage(path)
    if disk.free < min(FREE_BYTES_FLOOR, disk.total * FREE_SHARE_FLOOR):
        raise OutputRefused(f"the server's disk is almost full ({disk.free // 1_000_000:,} MB left)")


def check_usage(usage: Usage) -> None:
    """Raise OutputRefused when a build has grown beyond what may be published."""
    if usage.size_bytes > OUTPUT_BYTES_MAX:
        raise OutputRefused(f"the build is larger than {OUTPUT_BYTES_MAX // 1_000_000:,} MB")
    if usage.files + usage.directories > OUTPUT_FILES_MAX:
        raise OutputRefused(f"the build has more than {OUTPUT_FILES_MAX:,} files and directories")


def measure(directory: Path) -> Usage:
    """Return what lies below `directory`, which may change meanwhile; links count as files of no size.

    Raises OutputRefused when it nests too deep, or has a directory that cannot be read.
    """
    size_bytes = files = directories = 0
    for status in _walk(str(directory), None, 0):
        directories += stat.S_ISDIR(status.st_mode)
        files += not stat.S_ISDIR(status.st_mode)
        size_bytes += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return Usage(size_bytes=size_bytes, files=files, directories=directories)


def _walk(name: str, parent: int | None, level: int) -> Iterator[os.stat_result]:
    check_level(level)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError):
        # Gone, or replaced.
        return
    except PermissionError as exc:
        # A server that is not root sees into no directory that a build has closed, and a disk can be filled from there.
        raise OutputRefused(f"the directory {shown(name)} is closed to the server") from exc
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield status
                if stat.S_ISDIR(status.st_mode):
                    yield from _walk(entry.name, descriptor, level + 1)
    finally:
        os.close(descriptor)


def check_level(level: int) -> None:
    """Raise OutputRefused for a directory that lies deeper than any build needs."""
    if level > LEVELS_MAX:
        raise OutputRefused(f"directories nest more than {LEVELS_MAX} levels deep")


def own(directory: Path, uid: int) -> None:
    """Give `directory` and all below it to `uid`, itself last: until then that user cannot get in and move things."""
    for _, directories, files, descriptor in os.fwalk(directory, topdown=False, onerror=_raise):
        for name in (*directories, *files):
            os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(directory, uid, uid)


def seal(directory: Path, owner: Owner, link_roots: tuple[str, ...]) -> Usage:
    """Hand a finished build over: modes become 0750 or 0640 (0700 and 0600 without a group), owners those of `owner`.

    Absolute links may lead below `link_roots` (paths as the build saw them), relative ones nowhere out of the tree.
    Sockets, pipes and devices are removed. Returns what is left. Raises OutputRefused and OSError.

    Should a process of the build's user still live, it changes nothing: a directory is taken from it before it is
    read, and owners change before modes, which only an owner can change back.
    """
    size_bytes = files = folders = 0
    #: (device, inode) of files with several names: whoever comes to the second one finds them taken already.
    taken: set[tuple[int, int]] = set()
    group = 0o050 if owner.gid != -1 else 0
    os.chown(directory, owner.uid, owner.gid)
    directory.chmod(0o700 | group)
    for folder, directories, names, descriptor in os.fwalk(directory, onerror=_raise):
        place = Path(folder).relative_to(directory)
        check_level(len(place.parts))
        for name in (*directories, *names):
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            path = place / name
            number = (status.st_dev, status.st_ino)
            if status.st_uid != owner.builder_uid and number not in taken:
                raise OutputRefused(f"{shown(str(path))} belongs to somebody else (uid {status.st_uid})")
            os.chown(name, owner.uid, owner.gid, dir_fd=descriptor, follow_symlinks=False)
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                taken.add(number)
            if stat.S_ISLNK(status.st_mode):
                _check_link(path, os.readlink(name, dir_fd=descriptor), link_roots)
            elif stat.S_ISREG(status.st_mode):
                executable = 0o100 | group & 0o010 if status.st_mode & 0o100 else 0
                os.chmod(name, 0o600 | group & 0o040 | executable, dir_fd=descriptor)
                size_bytes += status.st_size
            elif stat.S_ISDIR(status.st_mode):
                folders += 1
                os.chmod(name, 0o700 | group, dir_fd=descriptor)
            else:
                os.unlink(name, dir_fd=descriptor)
                continue
            files += not stat.S_ISDIR(status.st_mode)
    usage = Usage(size_bytes=size_bytes, files=files, directories=folders)
    check_usage(usage)
    return usage


def _check_link(path: Path, link: str, roots: tuple[str, ...]) -> None:
    if link.startswith("/"):
        inside = ".." not in link.split("/") and any(Path(link).is_relative_to(root) for root in roots)
    else:
        inside = not leads_outside(len(path.parts) - 1, link)
    if not inside:
        raise OutputRefused(f"{shown(str(path))} links to {shown(link)}, outside the deployment")


def _raise(error: OSError) -> None:
    raise error
