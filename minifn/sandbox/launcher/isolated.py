"""Closes addresses to the isolated networks of commands that run."""

# A small process, which does without pathlib.
# ruff: noqa: PTH115

import contextlib
import functools
import os
import signal
from collections.abc import Collection, Iterable

from . import addresses
from .start import errand
from .tree import Tree


def close(trees: Iterable[Tree], closed: Collection[str]) -> set[int]:
    """Close addresses to the networks of all trees but the launcher's own network.

    Returns the pids of children that do it. A tree to which it is impossible is killed. One whose
    network is not made yet reads the addresses itself.
    """
    children = set()
    for item in trees:
        for network in _networks(item.members()):
            child = errand(functools.partial(_close, item.pid, network, closed))
            os.close(network)
            if child:
                children.add(child)
            else:
                item.reason, item.killed = "its network could not be isolated", True
    return children


def _networks(pids: Iterable[int]) -> list[int]:
    """Return descriptors of the networks of processes that are not this process's network."""
    known, found = {os.readlink("/proc/self/ns/net")}, []
    for pid in pids:
        with contextlib.suppress(OSError):
            name = os.readlink(f"/proc/{pid}/ns/net")
            if name not in known:
                found.append(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY))
                known.add(name)
    return found


def _close(root: int, network: int, closed: Collection[str]) -> None:
    """Close addresses to a network, or kill the root of the tree that has it."""
    try:
        addresses.close_within(network, closed)
    except BaseException:
        os.kill(root, signal.SIGKILL)
        raise
