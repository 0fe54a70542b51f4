"""The system call filters of sandboxes, as the bytes the kernel takes: made by `assemble.py`, read here."""

from functools import cache
from pathlib import Path

from minifn.sandbox.launcher.confine import TRUNCATE_SINCE

#: `platform.machine()` of those there are filters for.
MACHINES = ("x86_64", "aarch64")


def process_program(machine: str, *, own_uid: bool, landlock: int) -> bytes:
    """Return the filter for a process without a namespace, beside that version of Landlock (0 for none).

    `own_uid`: its user has no other processes. Where Landlock has no say in truncation, the filter has.
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
    """Return the filter for `platform.machine()` as an array of struct sock_filter, b"" for one we do not know.

    Without a namespace of its own a process is also kept from the settings of other processes, and makes no Unix
    sockets but pairs: nothing else keeps it from those of the machine that everyone may connect to. Without `own_uid`
    it is kept from attributes and events of files, which belong to its user. Without `truncation` it empties only what
    it opens for writing.
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
