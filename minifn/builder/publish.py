"""The last step of a build: its output is checked, measured and given to the server.

The function can then only read it. A build runs untrusted code in a directory that it owns, so
nothing here follows a symbolic link, and a function gets only files that the build owned. All
processes of the build have ended.
"""

import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import msgspec

from minifn.host.files import remove_tree
from minifn.host.space import TreeRefused, TreeSize, check_level

#: Most files and directories of a build.
OUTPUT_FILES_MAX = 300_000


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of a tree during its build, and once it is published; -1 keeps an owner."""

    builder_uid: int
    uid: int = -1
    gid: int = -1
    #: Whether every user of the machine may read it.
    everyone: bool = False


def check_usage(usage: TreeSize, limit_bytes: int) -> None:
    """Raise TreeRefused when a build's output is larger than allowed."""
    if usage.size_bytes > limit_bytes:
        raise TreeRefused(
            f"the build is larger than {limit_bytes:,} bytes (the server's MINIFN_BUILD_LIMIT)"
        )
    if usage.files + usage.directories > OUTPUT_FILES_MAX:
        raise TreeRefused(f"the build has more than {OUTPUT_FILES_MAX:,} files and directories")


def give_to(directory: Path, uid: int) -> None:
    """Give `directory` and all below it to `uid`.

    The directory itself comes last: until then that user cannot enter it and move entries.
    """
    for _, directories, files, descriptor in os.fwalk(directory, topdown=False, onerror=_raise):
        for name in (*directories, *files):
            os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(directory, uid, uid)


def seal(
    directory: Path,
    owner: Owner,
    link_roots: tuple[str, ...],
    *,
    limit_bytes: int,
    keep: tuple[str, ...] = (),
) -> TreeSize:
    """Publish a finished build: owners become those of `owner`, modes 0750 or 0640.

    Without a group the modes are 0700 and 0600, for everyone 0755 and 0644. Absolute links may lead
    below `link_roots` (paths in the build's sandbox), relative links must stay in the tree.
    Sockets, pipes and devices are removed. So is all that no glob of `keep` names, unless that is
    empty. Returns the size of the rest. Raises TreeRefused and OSError.

    A process of the build's user that still lives can change nothing: each directory changes its
    owner before it is read, and owners change before modes, which only an owner can change back.
    """
    size_bytes = files = folders = 0
    #: (device, inode) of hard-linked files already taken over.
    taken: set[tuple[int, int]] = set()
    others = 0o055 if owner.everyone else 0o050 if owner.gid != -1 else 0
    os.chown(directory, owner.uid, owner.gid)
    directory.chmod(0o700 | others)
    for folder, directories, names, descriptor in os.fwalk(directory, onerror=_raise):
        place = Path(folder).relative_to(directory)
        check_level(len(place.parts))
        if keep:
            _remove_rest(Path(folder), place, directories, keep, inside=True)
            _remove_rest(Path(folder), place, names, keep, inside=False)
        for name in (*directories, *names):
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            mode = status.st_mode
            path = place / name
            _take_over(path, status, descriptor, owner, taken)
            if stat.S_ISLNK(mode):
                _check_link(path, os.readlink(name, dir_fd=descriptor), link_roots)
            elif not _set_mode(name, descriptor, mode, others):
                continue
            size_bytes += status.st_size if stat.S_ISREG(mode) else 0
            folders += stat.S_ISDIR(mode)
            files += not stat.S_ISDIR(mode)
    usage = TreeSize(size_bytes=size_bytes, files=files, directories=folders)
    check_usage(usage, limit_bytes)
    return usage


def _remove_rest(
    folder: Path, place: Path, names: list[str], keep: tuple[str, ...], *, inside: bool
) -> None:
    """Remove the entries of a folder that no glob of `keep` names, from `names` as well.

    `place` is the folder's path in the tree. With `inside`, an entry above a named one stays.
    """
    globs = [PurePosixPath(glob).parts for glob in keep]
    for name in tuple(names):
        path = (*place.parts, name)
        if not any(
            all(map(fnmatchcase, path, glob)) and (inside or len(glob) <= len(path))
            for glob in globs
        ):
            remove_tree(folder / name)
            names.remove(name)


def _take_over(
    path: Path,
    status: os.stat_result,
    descriptor: int,
    owner: Owner,
    taken: set[tuple[int, int]],
) -> None:
    """Change the owner of an entry of the directory `descriptor`. Raises TreeRefused."""
    from minifn.archive.unpack_main import shown

    number = (status.st_dev, status.st_ino)
    if status.st_uid != owner.builder_uid and number not in taken:
        raise TreeRefused(f"{shown(str(path))} belongs to another user (uid {status.st_uid})")
    os.chown(path.name, owner.uid, owner.gid, dir_fd=descriptor, follow_symlinks=False)
    if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
        taken.add(number)


def _set_mode(name: str, descriptor: int, mode: int, others: int) -> bool:
    """Set the mode of a file or directory, or remove another entry; tell whether it stays.

    `others`: the rights of group and others.
    """
    if stat.S_ISREG(mode):
        executable = 0o100 | others & 0o011 if mode & 0o100 else 0
        os.chmod(name, 0o600 | others & 0o044 | executable, dir_fd=descriptor)
    elif stat.S_ISDIR(mode):
        os.chmod(name, 0o700 | others, dir_fd=descriptor)
    else:
        os.unlink(name, dir_fd=descriptor)
        return False
    return True


def _check_link(path: Path, link: str, roots: tuple[str, ...]) -> None:
    from minifn.archive.unpack_main import leads_outside, shown

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
