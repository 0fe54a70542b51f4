"""Reads /proc about processes. A process that is gone has no children and no memory, and no error.

The files of a process whose first thread has ended are empty, even if other threads live. So it is
read through one that lives (`living`), whose number names the same memory, open files and
environment.
Without a /proc (macOS) every answer is empty, and only process groups can be killed.
"""

import contextlib
import ctypes
import os
from collections.abc import Container

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
#: Whether the kernel has `children` files (CONFIG_PROC_CHILDREN); without them parents are read
#: from every `stat`.
HAS_CHILDREN_FILES = os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110

#: States of a thread that has ended, in `stat`.
GONE = (b"Z", b"X")
#: The system call kcmp by architecture, and what it compares (linux/kcmp.h).
KCMP = {"x86_64": 312, "aarch64": 272}
SAME_MEMORY, SAME_FILES = 1, 2


def read(path: str) -> bytes:
    """Return the content of a file of /proc, b"" when the process is gone or may not be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    parts = []
    try:
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
    return b"".join(parts)


def pids() -> list[int]:
    """Return every visible process of the machine."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except OSError:
        return []


def children(pid: int, *, sure: bool = False) -> list[int]:
    """Return the children of every thread of a process.

    While some of them exit, others may be missed until the next look. `sure` misses none, but reads
    every process of the machine.
    """
    if sure or not HAS_CHILDREN_FILES:
        return [candidate for candidate in pids() if parent(candidate) == pid]
    lists = (read(f"/proc/{pid}/task/{thread}/children") for thread in threads(pid))
    return [int(child) for found in lists for child in found.split()]


def descendants(pid: int, without: Container[int] = ()) -> list[int]:
    """Return the tree below a process, without itself and without the families in `without`."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = [child for child in children(waiting.pop()) if child not in without]
        found += below
        waiting += below
    return found


def family(pid: int) -> list[int]:
    """Return a process and the tree below it."""
    return [pid, *descendants(pid)]


def _stat(pid: int) -> list[bytes]:
    """Return the fields of `stat` after the name (which may hold spaces): state is the first."""
    return read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def parent(pid: int) -> int:
    """Return the parent's pid, 0 when the process is gone."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def ancestors(pid: int) -> list[int]:
    """Return the processes above a process, the nearest first."""
    found: list[int] = []
    while pid := parent(pid):
        found.append(pid)
    return found


def session(pid: int) -> int:
    """Return the process that leads its session, 0 when the process is gone."""
    fields = _stat(pid)
    return int(fields[3]) if fields else 0


def wait_status(pid: int) -> int | None:
    """Return the raw wait status of a process that was not reaped yet, None when it is gone."""
    fields = _stat(pid)
    return int(fields[49]) if fields else None


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of those that it has reaped, 0 when it is gone."""
    return sum(map(int, _stat(pid)[11:15])) / TICKS_A_SECOND


def started(pid: int) -> int:
    """Return when a process started, in clock ticks since boot, 0 when it is gone.

    The start and the pid together name a process uniquely.
    """
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def alive(pid: int) -> bool:
    """Tell whether a process exists and is not a zombie: one of its threads runs."""
    fields = _stat(pid)
    return bool(fields) and (fields[0] not in GONE or int(fields[17]) > 1)


def threads(pid: int) -> list[int]:
    """Return the threads of a process, first the one whose number is the pid."""
    try:
        found = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
    except OSError:
        return []
    return sorted(map(int, found), key=pid.__ne__)


def living(pid: int) -> int:
    """Return a living thread of a process: `pid` if the first one lives, 0 for none."""
    fields = _stat(pid)
    if not fields or fields[0] not in GONE:
        return pid if fields else 0
    others = threads(pid)[1:]
    return next((number for number in others if (_stat(number) or GONE)[0] not in GONE), 0)


def sizes(pid: int) -> tuple[int, int, int]:
    """Return the bytes of a process's address space, resident memory, and shareable part of that.

    The shareable part belongs to files or to shared memory. Pages shared with other processes
    count in full.
    """
    fields = read(f"/proc/{pid}/statm").split()
    if fields and fields[0] == b"0" and (thread := living(pid)) not in (0, pid):
        fields = read(f"/proc/{thread}/statm").split()
    size, resident, shared = map(int, fields[:3] or (0, 0, 0))
    return size * PAGE_BYTES, resident * PAGE_BYTES, shared * PAGE_BYTES


def exact_bytes(pid: int) -> tuple[int, int]:
    """Return the bytes of a process's resident memory, and the private part that is of no file.

    Shared pages are divided among their users. Slower than `sizes`, by 30 ms for a gigabyte, and
    replaced by it where the kernel forbids the look.
    """
    fields = _named(f"/proc/{living(pid)}/smaps_rollup")
    if b"Pss" not in fields:
        _, resident, shared = sizes(pid)
        return resident, resident - shared
    return fields[b"Pss"], fields.get(b"Pss_Anon", 0)


def table_bytes(pid: int) -> int:
    """Return the bytes of a process's page tables: sparse maps make them large."""
    return _named(f"/proc/{living(pid)}/status").get(b"VmPTE", 0)


def machine() -> dict[bytes, int]:
    """Return the bytes that the whole machine uses, by name (`AnonPages`, `Shmem`)."""
    return _named("/proc/meminfo")


def _named(path: str) -> dict[bytes, int]:
    """Return the sizes in a file with lines such as `VmPTE:  12 kB`, as bytes."""
    lines = [line.split() for line in read(path).splitlines() if line.endswith(b" kB")]
    return {words[0].rstrip(b":"): int(words[1]) * 1024 for words in lines}


def same(kind: int, one: int, other: int) -> bool:
    """Tell whether two threads share their memory (SAME_MEMORY) or open files (SAME_FILES).

    False where kcmp(2) does not answer.
    """
    number = KCMP.get(os.uname().machine)
    return number is not None and ctypes.CDLL(None).syscall(number, one, other, kind, 0, 0) == 0


def environment_value(pid: int, name: bytes) -> bytes:
    """Return a variable of the environment that a process started with, b"" for none."""
    for item in (read(f"/proc/{pid}/environ") or read(f"/proc/{living(pid)}/environ")).split(b"\0"):
        if item.startswith(name + b"="):
            return item[len(name) + 1 :]
    return b""


def oom_score_adj(pid: int) -> int:
    """Return a process's OOM score adjustment, from -1000 (never killed) to 1000 (first)."""
    return int(read(f"/proc/{pid}/oom_score_adj") or 0)


def oom_kills() -> int:
    """Return how many processes the kernel has killed since boot because memory ran out.

    Those killed by the limit of a control group count. 0 before Linux 4.13.
    """
    _, _, rest = read("/proc/vmstat").partition(b"\noom_kill ")
    return int(rest.split(maxsplit=1)[0]) if rest else 0


def send_signal(pid: int, number: int) -> bool:
    """Send a signal; tell whether the process exists and may be signalled."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def send_group_signal(pid: int, number: int) -> None:
    """Send a signal to a process group, if it still exists."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
