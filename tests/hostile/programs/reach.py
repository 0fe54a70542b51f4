"""Hostile functions that reach for what belongs to others: files, processes, sockets, memory."""

# Attacks name the exact system call.
# ruff: noqa: PTH101, PTH104, PTH108, PTH110, PTH115, PTH116, PTH118, PTH123, PTH208, PTH211

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import resource
import signal
import socket
from pathlib import Path

from .attack import LIBC, Held, Left, attack, call, is_visible, system_call

#: Arguments of ioprio_set(2): a process, and the lowest priority of the best-effort class.
PRIORITY_OF_PROCESS, LAST = 1, 2 << 13 | 7
#: Argument of inotify_add_watch(2).
IN_ALL_EVENTS = 0xFFF


@attack
def read_database(targets: dict[str, str]) -> str:
    return Path(targets["database"]).read_text()


@attack
def list_data(targets: dict[str, str]) -> str:
    return str(os.listdir(targets["data"]))


@attack
def look_at_database(targets: dict[str, str]) -> str:
    return f"it has {os.stat(targets['database']).st_size} bytes"


@attack
def change_database_mode(targets: dict[str, str]) -> str:
    os.chmod(targets["database"], 0)
    os.chmod(targets["database"], 0o600)
    return "made the database unreadable"


@attack
def link_database(targets: dict[str, str]) -> str:
    """Give the file a second name, which stays when the server removes the file."""
    os.link(targets["database"], os.path.join(os.environ["TMPDIR"], "database"))
    return "has a name for the database"


@attack
def mark_database(targets: dict[str, str]) -> str:
    """Set an attribute, which needs no right to open the file."""
    os.setxattr(targets["database"], "user.planted", b"x")
    os.removexattr(targets["database"], "user.planted")
    return "gave the database an attribute"


@attack
def watch_data(targets: dict[str, str]) -> str:
    """Watch events, each of which names a file that came or went."""
    call(LIBC.inotify_add_watch(call(LIBC.inotify_init()), targets["data"].encode(), IN_ALL_EVENTS))
    return "is told of the files in the data directory"


@attack
def write_data(targets: dict[str, str]) -> str:
    Path(targets["data"], "planted").write_text("x")
    return "planted a file in the data directory"


@attack
def write_own_code(targets: dict[str, str]) -> str:
    with contextlib.suppress(OSError):
        os.chmod(Path(__file__).parent, 0o777)
    Path(__file__).with_name("planted.py").write_text("x")
    return "changed its own code"


@attack
def write_outside_tmp(targets: dict[str, str]) -> str:
    private = os.path.realpath(os.environ["TMPDIR"])
    for place in (
        "/",
        "/etc",
        "/usr/bin",
        "/var/tmp",
        "/dev",
        "/run",
        "/home",
        "/opt",
        "/srv",
        "/tmp",
    ):
        if private != place:
            with contextlib.suppress(OSError):
                path = Path(place, f"planted-{os.getpid()}")
                path.write_text("x")
                path.unlink()
                return f"wrote in {place}"
    raise Held("nothing is writable")


@attack
def swap_tmp(targets: dict[str, str]) -> str:
    """Leave links that a careless removal of the directory would follow."""
    private = os.environ["TMPDIR"]
    os.rename(private, f"{private}-aside")
    os.symlink(targets["keepsake"], private)
    os.unlink(private)
    os.rename(f"{private}-aside", private)
    return "put a link in the place of its temporary directory"


@attack
def plant_links(targets: dict[str, str]) -> str:
    """Swap the directory while it is measured and removed."""
    for number, target in enumerate((targets["keepsake"], targets["database"], "/", "..")):
        os.symlink(target, os.path.join(os.environ["TMPDIR"], f"link{number}"))
    raise Left("links")


@attack
def read_other_build(targets: dict[str, str]) -> str:
    return Path(targets["other_build"], "programs/attack.py").read_text()


@attack
def server_environment(targets: dict[str, str]) -> str:
    for pid in ("1", "self", targets["server"], targets["launcher"]):
        with contextlib.suppress(OSError):
            if "SERVER_SECRET" in Path(f"/proc/{pid}/environ").read_text(errors="replace"):
                return f"of {pid}"
    raise Held("no secret in any environment")


@attack
def other_environment(targets: dict[str, str]) -> str:
    text = Path(f"/proc/{targets['other']}/environ").read_text()
    if "OTHER_SECRET" not in text:
        raise Held("another process has that number here")
    return text


@attack
def see_processes(targets: dict[str, str]) -> str:
    lines = [path.read_text(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline")]
    if not any("victim" in line for line in lines):
        raise Held(f"sees only {len(lines)} processes")
    return "another function's command line"


@attack
def other_descriptors(targets: dict[str, str]) -> str:
    for victim, word in (("server", "driver"), ("launcher", "launcher"), ("other", "victim")):
        with contextlib.suppress(OSError, Held):
            is_visible(int(targets[victim]), word)
            return f"the {victim} has {os.readlink(f'/proc/{targets[victim]}/fd/0')}"
    raise Held("none can be read")


def signal_one(pid: int) -> str:
    os.kill(pid, 0)
    return f"may signal {pid}"


@attack
def signal_server(targets: dict[str, str]) -> str:
    is_visible(int(targets["server"]), "driver")
    return signal_one(int(targets["server"]))


@attack
def signal_launcher(targets: dict[str, str]) -> str:
    is_visible(int(targets["launcher"]), "launcher")
    return signal_one(int(targets["launcher"]))


@attack
def signal_other(targets: dict[str, str]) -> str:
    is_visible(int(targets["other"]), "victim")
    return signal_one(int(targets["other"]))


@attack
def signal_everybody(targets: dict[str, str]) -> str:
    # The signal is harmless. The result tells nothing: for many targets the kernel hides refusals.
    os.kill(-1, signal.SIGURG)
    raise Left("a signal for everybody")


@attack
def signal_by_descriptor(targets: dict[str, str]) -> str:
    """Have the kernel send it, when something happens at a pipe."""
    read, write = os.pipe()
    fcntl.fcntl(read, fcntl.F_SETOWN, int(targets["other"]))
    fcntl.fcntl(read, 10, signal.SIGUSR2)  # F_SETSIG
    fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC)
    os.write(write, b"x")
    raise Left("a signal for another function")


@attack
def limit_server(targets: dict[str, str]) -> str:
    pid = int(targets["server"])
    is_visible(pid, "driver")
    resource.prlimit(pid, resource.RLIMIT_CORE, resource.prlimit(pid, resource.RLIMIT_CORE))
    return "may set the server's limits"


@attack
def renice_other(targets: dict[str, str]) -> str:
    pid = int(targets["other"])
    is_visible(pid, "victim")
    for change in (
        lambda: os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid) + 1),
        lambda: os.sched_setaffinity(pid, os.sched_getaffinity(pid)),
        lambda: os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0)),
        lambda: system_call("ioprio_set", PRIORITY_OF_PROCESS, pid, LAST),
    ):
        with contextlib.suppress(PermissionError):
            change()
            return "changed how another function is scheduled"
    raise Held("may change nothing")


@attack
def renice_everybody(targets: dict[str, str]) -> str:
    """Name no process: 0 means all of the own user."""
    pid = int(targets["server"])
    is_visible(pid, "driver")
    with contextlib.suppress(PermissionError):
        if os.stat(f"/proc/{pid}").st_uid != os.getuid():
            raise Held("the server is another user's")
    try:
        # The niceness is the present one, because none can return to a lower one. Processes with a
        # higher one refuse.
        os.setpriority(os.PRIO_USER, 0, os.getpriority(os.PRIO_PROCESS, 0))
    except OSError as error:
        if error.errno != errno.EACCES:
            raise
    return "may change the priority of all that belongs to its user"


@attack
def sacrifice_server(targets: dict[str, str]) -> str:
    """Raise the server's score: the highest is killed first when memory runs out."""
    path = f"/proc/{targets['server']}/oom_score_adj"
    is_visible(int(targets["server"]), "driver")
    Path(path).write_text(Path(path).read_text())
    return "may set the server's score"


@attack
def spare_itself(targets: dict[str, str]) -> str:
    """Lower its own score, so that the server, which is larger, is killed first."""
    Path("/proc/self/oom_score_adj").write_text("0")
    return "has the score of the server"


@attack
def trace_other(targets: dict[str, str]) -> str:
    is_visible(int(targets["other"]), "victim")
    seize = 0x4206
    call(LIBC.ptrace(seize, int(targets["other"]), 0, 0))
    return "traced another function"


@attack
def read_memory(targets: dict[str, str]) -> str:
    is_visible(int(targets["other"]), "victim")
    with open(f"/proc/{targets['other']}/mem", "rb"):
        return "opened another function's memory"


@attack
def inherited_descriptors(targets: dict[str, str]) -> str:
    listing = os.open("/proc/self/fd", os.O_RDONLY)
    found = {int(name) for name in os.listdir(listing)} - {0, 1, 2, listing}
    strange = [
        os.readlink(f"/proc/self/fd/{number}")
        for number in found
        if os.path.exists(f"/proc/self/fd/{number}")
    ]
    # libffi keeps its own file open, for the code of callbacks.
    strange = [name for name in strange if not re.match(r"/proc/|/usr/lib/.*/libffi\.so", name)]
    if not strange:
        raise Held("none")
    return ", ".join(strange)


@attack
def type_into_terminal(targets: dict[str, str]) -> str:
    for number in range(3):
        if os.isatty(number):
            return "has a terminal"
    os.close(os.open("/dev/tty", os.O_RDWR))
    return "opened the terminal"


@attack
def write_to_terminal(targets: dict[str, str]) -> str:
    os.close(os.open(targets["terminal"], os.O_WRONLY | os.O_NOCTTY))
    return "opened the server's terminal"


@attack
def other_socket(targets: dict[str, str]) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(targets["socket"])
    return "connected to a socket of the machine"


@attack
def abstract_socket(targets: dict[str, str]) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + targets["abstract"])
    return "connected"


@attack
def loopback(targets: dict[str, str]) -> str:
    with socket.create_connection(("127.0.0.1", int(targets["port"])), timeout=2):
        return "connected to a port of the host"


@attack
def system_v_memory(targets: dict[str, str]) -> str:
    LIBC.shmat.restype = ctypes.c_ssize_t
    address = call(LIBC.shmat(int(targets["segment"]), None, 0))
    return f"{ctypes.string_at(address).decode()} in a segment of the server"


@attack
def posix_memory(targets: dict[str, str]) -> str:
    return Path(targets["shared"]).read_text()
