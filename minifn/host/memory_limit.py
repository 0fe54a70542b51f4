"""The memory limit of the server and its functions together: the machine's or a control group's.

Interface: the kernel's Documentation/admin-guide/cgroup-v2.rst ("Memory") and
cgroup-v1/memory.rst.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from minifn.host.control_groups import own_group, read

#: Files of a group that hold its limits and its use, in each version.
V2_LIMITS, V2_USE = ("memory.max", "memory.high"), "memory.current"
V1_LIMITS, V1_USE = ("memory.limit_in_bytes",), "memory.usage_in_bytes"
MACHINE = "the machine"
#: Seconds for which a look is shared.
GLANCE_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """The smallest memory limit, and the memory that is available below the limits."""

    limit_bytes: int
    #: Bytes until the machine, or the first of the groups, is full.
    available_bytes: int
    #: The origin of the limit: MACHINE, or the directory of a control group.
    source: str


class Glances:
    """Looks that are shared by all who ask within GLANCE_SECONDS, such as in one turn of a loop."""

    def __init__(self) -> None:
        self._due = 0.0
        self._memory: Memory

    def available_bytes(self) -> int:
        """Return the bytes that were available at the last look."""
        now = time.monotonic()
        if now >= self._due:
            self._memory, self._due = look(), now + GLANCE_SECONDS
        return self._memory.available_bytes


def look(place: str = "/proc/self") -> Memory:
    """Return the smallest limit of a process: of the machine, its control group and those above.

    `place` is the process in /proc. Takes less than a millisecond.
    """
    machine = psutil.virtual_memory()
    limits, available = [(machine.total, MACHINE)], [machine.available]
    cgroup, mountinfo = read(f"{place}/cgroup"), read(f"{place}/mountinfo")
    for controller, names, use in (("", V2_LIMITS, V2_USE), ("memory", V1_LIMITS, V1_USE)):
        own = own_group(cgroup, mountinfo, controller)
        for directory in (own, *map(str, Path(own).parents)) if own else ():
            found = [_number(f"{directory}/{name}") for name in names]
            if directory == own:
                # Version 1 also reports the limit of groups above, which a container may not see.
                found.append(_numbers(f"{own}/memory.stat").get("hierarchical_memory_limit"))
            least = min((limit for limit in found if limit is not None), default=machine.total)
            if least < machine.total:
                used = _number(f"{directory}/{use}") or 0
                given_back = _given_back(_numbers(f"{directory}/memory.stat"))
                limits.append((least, directory))
                available.append(max(0, least - used + given_back))
    limit_bytes, source = min(limits)
    return Memory(limit_bytes=limit_bytes, available_bytes=min(available), source=source)


def _given_back(stat: dict[str, int]) -> int:
    """Return how much of a group's use is cached files that the kernel reclaims under pressure.

    Pages that a process has mapped are left out: programs need theirs to run.
    """
    # The names of version 1 that include the groups below begin with `total_`.
    prefix, mapped = (
        ("total_", "total_mapped_file") if "total_cache" in stat else ("", "file_mapped")
    )
    cached = stat.get(f"{prefix}inactive_file", 0) + stat.get(f"{prefix}active_file", 0)
    return max(0, cached - stat.get(mapped, 0)) + stat.get("slab_reclaimable", 0)


def _number(path: str) -> int | None:
    """Return the number that a file holds, None for `max` and without such a file."""
    text = read(path).strip()
    return int(text) if text.isdecimal() else None


def _numbers(path: str) -> dict[str, int]:
    """Return the lines `name number` of a file."""
    pairs = (line.split() for line in read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
