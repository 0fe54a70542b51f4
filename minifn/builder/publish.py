"""The last step of a build: its output is checked, measured and made the server's own, read-only to the function.

A build runs whatever its author likes in a directory that it owns, so nothing here follows a symbolic link, and
nothing is handed to a function that the build did not own before. All of the build's processes have ended by now.
"""

import os
import stat
from pathlib import Path

import msgspec

from minifn.archive.unpack_main import leads_outside, shown
from minifn.host.space import TreeRefused, TreeSize, check_level

#: Most files and directories of a build.
OUTPUT_FILES_MAX = 300_000


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who owned a tree while it was built, and who owns it once it is published; -1 leaves an owner alone."""

    builder_uid: int
    uid: int = -1
    gid: int = -1


def check_usage(usage: TreeSize, limit_bytes: int) -> None:
    """Raise TreeRefused when a build has grown beyond what may be published."""
    if usage.size_bytes > limit_bytes:
        raise TreeRefused(
            f"the build is larger than {limit_bytes:,} bytes (the server's MINIFN_BUILD_LIMIT)"
        )
    if usage.files + usage.directories > OUTPUT_FILES_MAX:
        raise TreeRefused(f"the build has more than {OUTPUT_FILES_MAX:,} files and directories")


def own(directory: Path, uid: int) -> None:
    """Give `directory` and all below it to `uid`, itself last: until then that user cannot get in and move things."""
    for _, directories, files, descriptor in os.fwalk(directory, topdown=False, onerror=_raise):
        for name in (*directories, *files):
            os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(directory, uid, uid)


def seal(
    directory: Path, owner: Owner, link_roots: tuple[str, ...], *, limit_bytes: int
) -> TreeSize:
    """Hand a finished build over: modes become 0750 or 0640 (0700 and 0600 without a group), owners those of `owner`.

    Absolute links may lead below `link_roots` (paths as the build saw them), relative ones nowhere out of the tree.
    Sockets, pipes and devices are removed. Returns what is left. Raises TreeRefused and OSError.

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
                raise TreeRefused(
                    f"{shown(str(path))} belongs to somebody else (uid {status.st_uid})"
                )
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
    usage = TreeSize(size_bytes=size_bytes, files=files, directories=folders)
    check_usage(usage, limit_bytes)
    return usage


def _check_link(path: Path, link: str, roots: tuple[str, ...]) -> None:
    if link.startswith("/"):
        inside = ".." not in link.split("/") and any(
            Path(link).is_relative_to(root) for root in roots
        )
    else:
        inside = not leads_outside(len(path.parts) - 1, link)
    if not inside:
        raise TreeRefused(f"{shown(str(path))} links to {shown(link)}, outside the deployment")


def _raise(error: OSError) -> None:
    raise error
