"""Memory that sockets (TCP, UDP, Unix, netlink) keep for their readers, by inode.

Interfaces: the kernel's Documentation/networking/proc_net_tcp.rst, sock_diag(7), linux/unix_diag.h.
"""

# A small process, which does without pathlib.
# ruff: noqa: PTH115

import contextlib
import ctypes
import functools
import os
import re
import socket
import struct
from collections.abc import Callable, Iterator, Mapping

from . import proc
from .start import errand

#: Tables of /proc/net that count queues in bytes.
TABLES = ("tcp", "tcp6", "udp", "udp6")
LISTENING = b"0A"
#: Pages that a processor may use before the sum of all has them: the default of
#: net.core.mem_pcpu_rsv, for kernels without that setting.
RESERVE_PAGES = 256
#: Numbers of linux/sock_diag.h and linux/unix_diag.h: the request, its flags (dump), the wanted
#: attributes (peer, queue lengths, memory), and those of an answer.
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, SHOWN = 4, 20, 0x301, 0x4 | 0x10 | 0x20
PEER, QUEUE, MEMORY = 2, 4, 5
NLMSG_ERROR, NLMSG_DONE, ALL_STATES, NOTHING = 2, 3, 0xFFFFFFFF, bytes(36)
#: Index of the written bytes in an answer's memory (SK_MEMINFO_WMEM_ALLOC), and the state of a
#: listening socket.
WRITTEN, LISTENS = 2, 10


class Queues:
    """The memory that sockets keep, by network namespace.

    Each namespace is read once, because it holds the sockets of many trees.
    """

    def __init__(self) -> None:
        self._internet: dict[str, dict[int, int]] = {}
        self._unix: dict[str, dict[int, int]] = {}

    def bytes_of(self, sockets: Mapping[int, int], spare: float = 0) -> int:
        """Return the bytes that these sockets keep (inode: a process that has it).

        TCP and UDP take longest to read, so they are left out while all of the machine keep no more
        than `spare`.
        """
        spaces: dict[str, int] = {}
        for pid in set(sockets.values()):
            with contextlib.suppress(OSError):
                spaces[os.readlink(f"/proc/{proc.living(pid)}/ns/net")] = pid
        tables = []
        for space, pid in spaces.items():
            if space not in self._unix:
                self._unix[space] = {**_netlink(pid), **_unix(pid, space, spare)}
            tables.append(self._unix[space])
            if self._most > spare:
                if space not in self._internet:
                    self._internet[space] = _internet(pid)
                tables.append(self._internet[space])
        return sum(table[inode] for table in tables for inode in table.keys() & sockets)

    @functools.cached_property
    def _most(self) -> int:
        """The most bytes that the TCP and UDP sockets of all namespaces keep.

        Each processor counts some pages by itself before the kernel's sum has them (include/net/
        proto_memory.h): without them the sum can say 0 beside a megabyte that waits to be read.
        """
        pages = [
            int(count) for count in re.findall(rb" mem (\d+)", proc.read("/proc/net/sockstat"))
        ]
        reserve = int(proc.read("/proc/sys/net/core/mem_pcpu_rsv") or RESERVE_PAGES)
        uncounted = len(pages) * reserve * (os.cpu_count() or 1)
        return (sum(pages) + uncounted) * proc.PAGE_BYTES


def _netlink(pid: int) -> dict[int, int]:
    """Return the bytes of each netlink socket in a process's network, by inode."""
    lines = proc.read(f"/proc/{proc.living(pid)}/net/netlink").splitlines()[1:]
    return {int(words[9]): int(words[4]) + int(words[5]) for words in map(bytes.split, lines)}


def _internet(pid: int) -> dict[int, int]:
    """Return the bytes of each TCP and UDP socket in a process's network, by inode.

    Connections that were not accepted, or that their sender has closed, count for the socket that
    listens on their port.
    """
    place = f"/proc/{proc.living(pid)}/net"
    found: dict[int, int] = {}
    listeners: dict[bytes, int] = {}
    ownerless: list[tuple[bytes, bytes, int]] = []
    for table in TABLES:
        for line in proc.read(f"{place}/{table}").splitlines()[1:]:
            _, local, remote, state, queues, *rest = line.split()
            inode = int(rest[4])
            if state == LISTENING:
                listeners[local.rpartition(b":")[2]] = inode
            elif kept := sum(int(part, 16) for part in queues.split(b":")):
                if inode:
                    found[inode] = kept
                else:
                    ownerless.append((local.rpartition(b":")[2], remote.rpartition(b":")[2], kept))
    for local, remote, kept in ownerless:
        if listener := listeners.get(local) or listeners.get(remote):
            found[listener] = found.get(listener, 0) + kept
    return found


def _unix(pid: int, space: str, spare: float) -> dict[int, int]:
    """Return the bytes of each Unix socket in a process's network, by inode.

    Empty where the kernel does not tell, and for a network of its own whose sockets cannot keep
    more than `spare`.
    """
    if space == os.readlink("/proc/self/ns/net"):
        return _dump()
    used = re.search(rb"used (\d+)", proc.read(f"/proc/{proc.living(pid)}/net/sockstat"))
    if used and int(used[1]) * _most_written() <= spare:
        return {}
    read, write = os.pipe()

    def answer() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        # A foreign network needs its user namespace first; joining one's own is refused.
        for kind in ("user", "net"):
            with contextlib.suppress(OSError):
                libc.setns(os.open(f"/proc/{proc.living(pid)}/ns/{kind}", os.O_RDONLY), 0)
        if os.readlink("/proc/self/ns/net") == space:
            with os.fdopen(write, "wb") as pipe:
                pipe.writelines(struct.pack("=QQ", *item) for item in _dump().items())

    child = errand(answer)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        content = pipe.read()
    if child:
        os.waitpid(child, 0)
    return dict(struct.iter_unpack("=QQ", content[: len(content) // 16 * 16]))


def _dump() -> dict[int, int]:
    """Return the bytes of each Unix socket in this process's network, by inode."""
    sent: dict[int, int] = {}
    lost: dict[int, tuple[int, int]] = {}
    header = struct.pack("=IHHII", 40, SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, 0, 0)
    request = header + struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, ALL_STATES, 0, SHOWN, 0, 0)
    kind = (socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
    with contextlib.suppress(OSError), socket.socket(*kind) as asked:
        asked.send(request)
        for state, inode, attributes in _answers(asked.recv):
            # The writer keeps the bytes that it wrote to a socket.
            (sent[inode],) = struct.unpack_from("=I", attributes.get(MEMORY, NOTHING), WRITTEN * 4)
            if unread := struct.unpack_from("=I", attributes.get(QUEUE, NOTHING))[0]:
                (peer,) = struct.unpack_from("=I", attributes.get(PEER, NOTHING))
                lost[inode] = (peer, unread if state == LISTENS else 1)
    # A writer that is gone, or waits to be accepted, does not tell how much it wrote: the most that
    # it may have written counts.
    for inode, (peer, writers) in lost.items():
        if peer not in sent:
            sent[inode] += writers * _most_written()
    return sent


def _most_written() -> int:
    """Return the most unread bytes that a Unix socket may have written."""
    return 2 * int(proc.read("/proc/sys/net/core/wmem_max") or 0)


def _answers(receive: Callable[[int], bytes]) -> Iterator[tuple[int, int, dict[int, bytes]]]:
    """Yield the state, inode and attributes of each socket in a dump."""
    while data := receive(1 << 17):
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            if kind in (NLMSG_DONE, NLMSG_ERROR) or length < 16:
                return
            _, _, state, _, inode = struct.unpack_from("=BBBBI", data, 16)
            attributes: dict[int, bytes] = {}
            at = 32
            while at + 4 <= length:
                size, attribute = struct.unpack_from("=HH", data, at)
                if size < 4:
                    break
                attributes[attribute] = data[at + 4 : at + size]
                at += -size % 4 + size
            yield state, inode, attributes
            data = data[-length % 4 + length :]
