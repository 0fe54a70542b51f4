"""Closes addresses to sandboxes that pasta connects; run as a program, in one that is made.

pasta passes on all that its interface gets, and a function may bind its sockets to that interface:
Linux then takes an address for a neighbour even if its route is prohibited, and gets an answer. So
a closed address becomes one of the sandbox's own, and packets to it never reach the interface.
A function has no right to change routes: pasta's user namespace, not its own, owns the network.
Interfaces: rtnetlink(7), ioctl_ns(2).
"""

# A small process, which does without pathlib.
# ruff: noqa: PTH123

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator

#: Numbers of linux/rtnetlink.h: messages, the local table, scopes and types of routes, attributes.
NEW_ROUTE, GET_ROUTE = 24, 26
TABLE_LOCAL, PROTOCOL_STATIC, SCOPE_HOST, LOCAL, ANYCAST = 255, 4, 254, 2, 4
DESTINATION, INTERFACE = 1, 4
#: Numbers of linux/netlink.h: flags of a request, the ends of an answer, and the option by which
#: the kernel lists the wanted table alone.
REQUEST, ACKNOWLEDGE, DUMP, CREATE = 0x1, 0x4, 0x300, 0x400
ERROR, DONE = 2, 3
SOL_NETLINK, STRICT_CHECK = 270, 12
#: Request for the user namespace that owns another namespace.
OWNER = 0xB701
LOOPBACK = "lo"


def own_addresses() -> list[str]:
    """Return the addresses at which this machine answers, loopback excepted, as `address/bits`.

    Raises OSError.
    """
    return [
        address
        for family in _families()
        for address in _local(family)
        if not address.startswith(("127.", "::1/"))
    ]


def close(addresses: Iterable[str]) -> bool:
    """Close addresses to the network of this process; False without an interface beside loopback.

    Raises OSError, and ValueError for a text that is no address.
    """
    interfaces = [number for number, name in socket.if_nameindex() if name != LOOPBACK]
    families = _families()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asked:
        for text in addresses:
            host, _, bits = text.partition("/")
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            packed = socket.inet_pton(family, host.partition("%")[0])
            for interface in interfaces if family in families else ():
                _add(asked, family, packed, int(bits or len(packed) * 8), interface)
    return bool(interfaces)


def close_within(network: int, addresses: Iterable[str]) -> None:
    """Close addresses to the network with this descriptor, which this process joins for good.

    Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for namespace in (fcntl.ioctl(network, OWNER), network):
        if libc.setns(namespace, 0):
            raise OSError(ctypes.get_errno(), "a sandbox's network cannot be joined")
    close(addresses)


def _families() -> list[int]:
    """Return the families of addresses that this network has."""
    return [socket.AF_INET, *([socket.AF_INET6] if os.path.exists("/proc/net/if_inet6") else [])]  # noqa: PTH110


def _message(kind: int, flags: int, content: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(content), kind, REQUEST | flags, 0, 0) + content


def _add(asked: socket.socket, family: int, packed: bytes, bits: int, interface: int) -> None:
    """Make an address the network's own. Raises OSError."""
    content = struct.pack(
        *("=BBBBBBBBI", family, bits, 0, 0),
        *(TABLE_LOCAL, PROTOCOL_STATIC, SCOPE_HOST, LOCAL, 0),
    )
    content += struct.pack("=HH", 4 + len(packed), DESTINATION) + packed
    content += struct.pack("=HHI", 8, INTERFACE, interface)
    asked.send(_message(NEW_ROUTE, ACKNOWLEDGE | CREATE, content))
    (failure,) = struct.unpack_from("=i", asked.recv(1 << 16), 16)
    if failure and -failure != errno.EEXIST:
        raise OSError(-failure, os.strerror(-failure))


def _local(family: int) -> Iterator[str]:
    """Yield what this network takes for its own."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asked:
        with contextlib.suppress(OSError):
            asked.setsockopt(SOL_NETLINK, STRICT_CHECK, 1)
        wanted = struct.pack("=BBBBBBBBI", family, 0, 0, 0, TABLE_LOCAL, 0, 0, 0, 0)
        asked.send(_message(GET_ROUTE, DUMP, wanted))
        while data := asked.recv(1 << 17):
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind == DONE:
                    return
                if kind == ERROR:
                    (failure,) = struct.unpack_from("=i", data, 16)
                    raise OSError(-failure, "the machine's addresses cannot be read")
                bits, table, route = (data[16 + at] for at in (1, 4, 7))
                if table == TABLE_LOCAL and route in (LOCAL, ANYCAST):
                    yield f"{socket.inet_ntop(family, _destination(data[28:length]))}/{bits}"
                data = data[-length % 4 + length :]


def _destination(attributes: bytes) -> bytes:
    while len(attributes) >= 4:
        size, kind = struct.unpack_from("=HH", attributes)
        if kind == DESTINATION:
            return attributes[4:size]
        attributes = attributes[-size % 4 + size :]
    raise OSError(0, "a route without a destination")


def main(place: str, *given: str) -> None:
    """Close the given addresses and those in the file `place`, then run the program after `--`."""
    end = given.index("--")
    try:
        with open(place) as file:
            is_closed = close([*given[:end], *file.read().split()])
    except OSError as error:
        sys.exit(f"addresses of the network cannot be closed: {error.strerror or error}")
    if not is_closed:
        sys.exit("pasta made no interface: addresses of the network cannot be closed")
    program = given[end + 1 :]
    os.execv(program[0], program)


if __name__ == "__main__":
    main(*sys.argv[1:])
