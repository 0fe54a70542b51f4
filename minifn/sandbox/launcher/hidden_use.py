"""What processes hold without showing it by a path or a resident page: deleted files, and memory that can be shared.

Interface: the kernel's Documentation/filesystems/proc.rst, `fd`, `maps` and `map_files`.
"""

# A small process, which does without pathlib.
# ruff: noqa: PTH115, PTH116, PTH123, PTH208

import contextlib
import os
import re
from collections.abc import Iterable

from . import proc

#: How memory without a file of its own is called: by memfd_create, shared and anonymous, System V.
MEMORY = ("/memfd:", "/dev/zero", "/SYSV")
DELETED = " (deleted)"
#: A mapping of something deleted in `maps`: start, end, offset, inode, path.
MAPPED = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ (\d+) +(/.*) \(deleted\)")
#: What a Unix socket may keep for its reader (net.core.wmem_default), and how many of them a tree has for free, as they
#: seldom keep anything. The kernel bounds what those of other families keep.
SOCKET_BYTES, FREE_SOCKETS = 212_992, 256
#: More open files, or bytes of `maps`, are no honest program's, and take too long to look through.
MOST_FILES, MOST_BYTES = 50_000, 1 << 24
TOO_MUCH = 1 << 62


def held_bytes(pids: Iterable[int], directory: str, *, mapped: bool = True) -> tuple[int, int]:
    """Return the bytes of memory that no process owns, and of deleted files below `directory` ("" for none).

    Each counts once, however many processes hold it. What is `mapped` and not open counts in full, touched or not,
    where only root may look closer. Both are TOO_MUCH when there is more to look through than an honest program has.
    """
    pids = list(pids)
    below = f"{os.path.realpath(directory)}/" if directory else ""
    memory: dict[int, int] = {}
    deleted: dict[int, int] = {}
    sockets: dict[str, int] = {}

    def kind(path: str) -> dict[int, int] | None:
        if path.startswith(MEMORY):
            return memory
        return deleted if below and path.startswith(below) else None

    files = seen = 0
    for pid in pids:
        for path in _open_files(pid):
            files += 1
            if files > MOST_FILES:
                return TOO_MUCH, TOO_MUCH
            with contextlib.suppress(OSError):
                target = os.readlink(path)
                if target.startswith("socket:"):
                    sockets[target[8:-1]] = pid
                elif target.endswith(DELETED) and (found := kind(target)) is not None:
                    status = os.stat(path)
                    found[status.st_ino] = status.st_blocks * 512
    is_open = {*memory, *deleted}
    for pid in pids if mapped else ():
        maps = _maps(pid, MOST_BYTES - seen + 1)
        seen += len(maps)
        if seen > MOST_BYTES:
            return TOO_MUCH, TOO_MUCH
        for line in maps.splitlines() if DELETED.encode() in maps else ():
            if not (parts := MAPPED.fullmatch(line)):
                continue
            start, end, offset, inode, name = parts.groups()
            if (found := kind(os.fsdecode(name))) is not None and int(inode) not in is_open:
                first, last = int(start, 16), int(end, 16)
                try:
                    size = os.stat(f"/proc/{pid}/map_files/{first:x}-{last:x}").st_blocks * 512
                except OSError:
                    size = int(offset, 16) + last - first
                found[int(inode)] = max(size, found.get(int(inode), 0))
    return sum(memory.values()) + _socket_bytes(sockets), sum(deleted.values())


def machine_bytes() -> int:
    """Return how much of that memory the whole machine holds, 0 where it does not say."""
    for line in proc.read("/proc/meminfo").splitlines():
        if line.startswith(b"Shmem:"):
            return int(line.split()[1]) * 1024
    return 0


def _socket_bytes(sockets: dict[str, int]) -> int:
    """Return the most that the Unix sockets among these (inode: a process that has it) may keep."""
    if len(sockets) <= FREE_SOCKETS:
        return 0
    spaces: dict[str, int] = {}
    for pid in set(sockets.values()):
        with contextlib.suppress(OSError):
            spaces[os.readlink(f"/proc/{pid}/ns/net")] = pid
    fields = [line.split() for pid in spaces.values() for line in proc.read(f"/proc/{pid}/net/unix").splitlines()]
    of_unix = {field[6].decode() for field in fields if len(field) > 6}
    return max(0, len(of_unix.intersection(sockets)) - FREE_SOCKETS) * SOCKET_BYTES


def _open_files(pid: int) -> Iterable[str]:
    with contextlib.suppress(OSError):
        return [f"/proc/{pid}/fd/{number}" for number in os.listdir(f"/proc/{pid}/fd")]
    return []


def _maps(pid: int, most: int) -> bytes:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/maps", "rb") as file:
        return file.read(most)
    return b""
