"""The system call filters of sandboxes, as bytes for the kernel; `assemble.py` makes them."""

import struct
from functools import cache
from pathlib import Path

from minifn.sandbox.launcher.confine import TRUNCATE_SINCE

#: Values of `platform.machine()` for which there are filters.
MACHINES = ("x86_64", "aarch64")
#: A filter that refuses memfd_secret with EPERM, by the number that it has on every machine.
NO_SECRET_MEMORY = struct.pack(
    "=" + "HBBI" * 4,
    *(0x20, 0, 0, 0),
    *(0x15, 0, 1, 447),
    *(0x06, 0, 0, 0x00050001),
    *(0x06, 0, 0, 0x7FFF0000),
)


def process_program(machine: str, *, own_uid: bool, landlock: int) -> bytes:
    """Return the filter for a process without a namespace.

    `own_uid`: its user has no other processes. `landlock`: the version of Landlock beside the
    filter, 0 for none. The filter refuses truncation beside a version that cannot.
    """
    return program(
        machine,
        namespaced=False,
        own_uid=own_uid,
        truncation=landlock == 0 or landlock >= TRUNCATE_SINCE,
    )


@cache
def program(
    machine: str, *, namespaced: bool = True, own_uid: bool = True, truncation: bool = True
) -> bytes:
    """Return the filter for a machine as an array of struct sock_filter, b"" for an unknown one.

    Without a namespace of its own a process also cannot change settings of other processes, and
    makes only pairs of Unix sockets, because it could connect to the machine's public ones. Without
    `own_uid` it cannot use attributes and events of files, which belong to its user. Without
    `truncation` it empties only files that it opens for writing.
    """
    if machine not in MACHINES:
        return b""
    return (
        Path(__file__).parent / file_name(machine, namespaced, own_uid, truncation)
    ).read_bytes()


def file_name(machine: str, namespaced: bool, own_uid: bool, truncation: bool) -> str:
    """Return the name of the file that holds a filter."""
    kind = "namespaced" if namespaced else "own-uid" if own_uid else "shared-uid"
    return f"{machine}-{kind}{'' if truncation else '-no-truncation'}.bpf"
