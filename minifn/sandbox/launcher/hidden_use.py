"""Resources that RSS and directory listings miss: deleted files still open, shared memory.

Interface: the kernel's Documentation/filesystems/proc.rst, `fd`, `fdinfo`, `maps` and `map_files`.
"""

# A small process, which does without pathlib.
# ruff: noqa: PTH115, PTH116, PTH123, PTH208

import contextlib
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import NamedTuple

from . import proc

#: Names of memory without a file: of memfd_create, shared anonymous maps, System V.
MEMORY = ("/memfd:", "/dev/zero", "/SYSV")
DELETED = " (deleted)"
#: A line of `maps` about something deleted: start, end, offset, inode, path.
MAPPED = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ (\d+) +(/.*) \(deleted\)")
#: The line of `fdinfo` with the number of descriptors that a Unix socket holds for its reader.
IN_FLIGHT = b"scm_fds:"
#: Most open files, and bytes of `maps`, that are read. No honest program has more.
MOST_FILES, MOST_BYTES = 50_000, 1 << 24
#: Bytes that stand for more than any limit.
TOO_MUCH = 1 << 62


class Held(NamedTuple):
    """Hidden resources of a tree; each counts once, even if several processes hold it."""

    #: Bytes of memory that no process owns.
    memory: int
    #: Bytes of deleted files below the wanted directory.
    deleted: int
    #: Descriptors that were sent and not received. Nothing tells what they refer to.
    in_flight: int
    #: A process that has the socket, by the socket's inode.
    sockets: Mapping[int, int]


NOTHING, ALL = Held(0, 0, 0, {}), Held(TOO_MUCH, TOO_MUCH, 0, {})


def held(pids: Iterable[int], directory: str, *, mapped: bool = True) -> Held:
    """Return the hidden resources of these processes.

    Deleted files count below `directory`, "" for none. With `mapped`, mappings count as well; those
    of files that are not open count in full, touched or not, unless root may look closer. The
    result is ALL when there is more to read than an honest program has.
    """
    pids = list(pids)
    search = _Search(f"{os.path.realpath(directory)}/" if directory else "")
    if not search.read_open(pids) or (mapped and not search.read_maps(pids)):
        return ALL
    memory, deleted = sum(search.memory.values()), sum(search.deleted.values())
    return Held(memory, deleted, search.in_flight, search.sockets)


class _Search:
    """The resources found so far, as bytes by inode."""

    def __init__(self, below: str) -> None:
        self._below = below
        self.memory: dict[int, int] = {}
        self.deleted: dict[int, int] = {}
        self.sockets: dict[int, int] = {}
        self.in_flight = 0

    def _kind(self, path: str) -> dict[int, int] | None:
        """Return where something deleted counts, None for nowhere."""
        if path.startswith(MEMORY):
            return self.memory
        return self.deleted if self._below and path.startswith(self._below) else None

    def read_open(self, pids: Iterable[int]) -> bool:
        """Look at open files; tell whether there were no more than MOST_FILES."""
        count = 0
        for pid in pids:
            for place, number in _open_files(pid):
                count += 1
                if count > MOST_FILES:
                    return False
                with contextlib.suppress(OSError):
                    self._add_open(pid, place, number)
        return True

    def _add_open(self, pid: int, place: str, number: str) -> None:
        target = os.readlink(f"{place}/fd/{number}")
        if target.startswith("socket:"):
            if (socket := int(target[8:-1])) not in self.sockets:
                self.sockets[socket] = pid
                self.in_flight += _in_flight(f"{place}/fdinfo/{number}")
        elif target.endswith(DELETED) and (found := self._kind(target)) is not None:
            status = os.stat(f"{place}/fd/{number}")
            found[status.st_ino] = status.st_blocks * 512

    def read_maps(self, pids: Iterable[int]) -> bool:
        """Look at mappings; tell whether they took no more than MOST_BYTES to describe."""
        is_open = {*self.memory, *self.deleted}
        count = 0
        for pid in pids:
            maps = _maps(pid, MOST_BYTES - count + 1)
            count += len(maps)
            if count > MOST_BYTES:
                return False
            for line in maps.splitlines() if DELETED.encode() in maps else ():
                if parts := MAPPED.fullmatch(line):
                    self._add_mapped(pid, parts, is_open)
        return True

    def _add_mapped(self, pid: int, parts: re.Match[bytes], is_open: Container[int]) -> None:
        start, end, offset, inode, name = parts.groups()
        if (found := self._kind(os.fsdecode(name))) is None or int(inode) in is_open:
            return
        first, last = int(start, 16), int(end, 16)
        try:
            path = f"/proc/{proc.living(pid)}/map_files/{first:x}-{last:x}"
            size = os.stat(path).st_blocks * 512
        except OSError:
            size = int(offset, 16) + last - first
        found[int(inode)] = max(size, found.get(int(inode), 0))


def _open_files(pid: int) -> Iterator[tuple[str, str]]:
    """Yield the directory below /proc and the number of each open file of all its threads.

    Threads share their open files, except one that was made with its own.
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
