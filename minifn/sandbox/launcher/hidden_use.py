"""What processes hold without showing it by a path or a resident page: deleted files, and memory
that can be shared.

Interface: the kernel's Documentation/filesystems/proc.rst, `fd`, `fdinfo`, `maps` and `map_files`.
"""

# A small process, which does without pathlib.
# ruff: noqa: PTH115, PTH116, PTH123, PTH208

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from . import proc

#: How memory without a file of its own is called: by memfd_create, shared and anonymous, System V.
MEMORY = ("/memfd:", "/dev/zero", "/SYSV")
DELETED = " (deleted)"
#: A mapping of something deleted in `maps`: start, end, offset, inode, path.
MAPPED = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ (\d+) +(/.*) \(deleted\)")
#: The line of `fdinfo` with the number of descriptors that a Unix socket holds for its reader.
IN_FLIGHT = b"scm_fds:"
#: More open files, or bytes of `maps`, are no honest program's, and take too long to look through.
MOST_FILES, MOST_BYTES = 50_000, 1 << 24
TOO_MUCH = 1 << 62


class Held(NamedTuple):
    """What a tree holds; each thing counts once, however many processes hold it."""

    #: Bytes of memory that no process owns.
    memory: int
    #: Bytes of deleted files below the directory that was asked about.
    deleted: int
    #: Descriptors that were sent and not received. Nothing tells what they are of.
    in_flight: int
    #: Sockets: the inode and a process that has it.
    sockets: Mapping[int, int]


NOTHING, ALL = Held(0, 0, 0, {}), Held(TOO_MUCH, TOO_MUCH, 0, {})


def held(pids: Iterable[int], directory: str, *, mapped: bool = True) -> Held:
    """Return what these processes hold, of deleted files those below `directory` ("" for none).

    What is `mapped` and not open counts in full, touched or not, where only root may look closer.
    It is ALL when there is more to look through than an honest program has.
    """
    pids = list(pids)
    below = f"{os.path.realpath(directory)}/" if directory else ""
    memory: dict[int, int] = {}
    deleted: dict[int, int] = {}
    sockets: dict[int, int] = {}

    def kind(path: str) -> dict[int, int] | None:
        if path.startswith(MEMORY):
            return memory
        return deleted if below and path.startswith(below) else None

    files = seen = in_flight = 0
    for pid in pids:
        for place, number in _open_files(pid):
            files += 1
            if files > MOST_FILES:
                return ALL
            with contextlib.suppress(OSError):
                target = os.readlink(f"{place}/fd/{number}")
                if target.startswith("socket:"):
                    if (socket := int(target[8:-1])) not in sockets:
                        sockets[socket] = pid
                        in_flight += _in_flight(f"{place}/fdinfo/{number}")
                elif target.endswith(DELETED) and (found := kind(target)) is not None:
                    status = os.stat(f"{place}/fd/{number}")
                    found[status.st_ino] = status.st_blocks * 512
    is_open = {*memory, *deleted}
    for pid in pids if mapped else ():
        maps = _maps(pid, MOST_BYTES - seen + 1)
        seen += len(maps)
        if seen > MOST_BYTES:
            return ALL
        for line in maps.splitlines() if DELETED.encode() in maps else ():
            if not (parts := MAPPED.fullmatch(line)):
                continue
            start, end, offset, inode, name = parts.groups()
            if (found := kind(os.fsdecode(name))) is not None and int(inode) not in is_open:
                first, last = int(start, 16), int(end, 16)
                try:
                    path = f"/proc/{proc.living(pid)}/map_files/{first:x}-{last:x}"
                    size = os.stat(path).st_blocks * 512
                except OSError:
                    size = int(offset, 16) + last - first
                found[int(inode)] = max(size, found.get(int(inode), 0))
    return Held(sum(memory.values()), sum(deleted.values()), in_flight, sockets)


def _open_files(pid: int) -> Iterator[tuple[str, str]]:
    """Yield the directory below /proc and the number of each open file, of all its threads.

    They have the same, unless one was made to have its own.
    """
    tables: list[int] = []
    for thread in (proc.living(pid), *proc.threads(pid)[1:]):
        if not any(proc.same(proc.SAME_FILES, other, thread) for other in tables):
            tables.append(thread)
            with contextlib.suppress(OSError):
                for number in os.listdir(f"/proc/{thread}/fd"):
                    yield f"/proc/{thread}", number


def _in_flight(path: str) -> int:
    lines = proc.read(path).splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(IN_FLIGHT)), 0)


def _maps(pid: int, most: int) -> bytes:
    with contextlib.suppress(OSError), open(f"/proc/{proc.living(pid)}/maps", "rb") as file:
        return file.read(most)
    return b""
