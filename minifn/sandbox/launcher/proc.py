"""What /proc says about processes. A process that is gone has no children and no memory: nothing here raises for it.

Where there is no /proc (macOS) every answer is empty, and only process groups can be killed.
"""

import contextlib
import os

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
#: A kernel without CONFIG_PROC_CHILDREN has no `children` files; parents are then read from every `stat`.
HAS_CHILDREN_FILES = os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110 - a small process


def read(path: str) -> bytes:
    """Return the content of a file of /proc, b"" when the process is gone or not ours to look at."""
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
    """Return every process of the machine that can be seen."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except OSError:
        return []


def children(pid: int, *, sure: bool = False) -> list[int]:
    """Return the children of every thread of a process.

    While some of them exit others may be missed, which matters to nobody who looks again; `sure` misses none, and reads
    about every process of the machine.
    """
    if sure or not HAS_CHILDREN_FILES:
        return [candidate for candidate in pids() if parent(candidate) == pid]
    try:
        tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
    except OSError:
        return []
    return [int(child) for task in tasks for child in read(f"/proc/{pid}/task/{task}/children").split()]


def descendants(pid: int) -> list[int]:
    """Return the tree below a process, without itself."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children(waiting.pop())
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


def started(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; with the pid it names a process for good."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def alive(pid: int) -> bool:
    """Tell whether a process exists and is not a zombie."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in (b"Z", b"X")


def rss_bytes(pid: int) -> int:
    """Return the resident memory; pages shared with other processes count in full."""
    fields = read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * PAGE_BYTES if fields else 0


def anonymous_bytes(pid: int) -> int:
    """Return the resident memory that belongs to no file and is not for sharing; after a fork both count it."""
    fields = read(f"/proc/{pid}/statm").split()
    return (int(fields[1]) - int(fields[2])) * PAGE_BYTES if fields else 0


def pss_bytes(pid: int) -> int:
    """Return the resident memory with shared pages divided among their users: exact, but some 20 times slower."""
    return _rolled_up(pid, b"Pss:") or rss_bytes(pid)


def anonymous_pss_bytes(pid: int) -> int:
    """Return `anonymous_bytes` with the pages of a fork divided among its processes: exact, but slow."""
    return _rolled_up(pid, b"Pss_Anon:") or anonymous_bytes(pid)


def _rolled_up(pid: int, name: bytes) -> int:
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def environment_value(pid: int, name: bytes) -> bytes:
    """Return a variable from the environment a process was started with, b"" when it has none."""
    for item in read(f"/proc/{pid}/environ").split(b"\0"):
        if item.startswith(name + b"="):
            return item[len(name) + 1 :]
    return b""


def oom_score_adj(pid: int) -> int:
    """Return how much earlier or later than others of its size a process is killed."""
    return int(read(f"/proc/{pid}/oom_score_adj") or 0)


def oom_kills() -> int:
    """Return how many processes the kernel has killed since boot because memory ran out.

    Those of all control groups count. 0 before Linux 4.13.
    """
    _, _, rest = read("/proc/vmstat").partition(b"\noom_kill ")
    return int(rest.split(maxsplit=1)[0]) if rest else 0


def send_signal(pid: int, number: int) -> bool:
    """Send a signal; tell whether there was such a process that we may signal."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def send_group_signal(pid: int, number: int) -> None:
    """Send a signal to a process group, if there is one left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
