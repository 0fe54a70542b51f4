"""Hostile functions, one per name: `attack.py NAME TARGETS` prints BREACHED and what it got, or HELD and why.

TARGETS is JSON that says where the victims are; a real attacker would look for them. Standard library only, and
nothing of minifn: this runs inside the sandbox.
"""

# Attacks say the system call they mean.
# ruff: noqa: PTH101, PTH108, PTH110, PTH115, PTH123, PTH208

import contextlib
import ctypes
import errno
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

ATTACKS: dict[str, Callable[[dict[str, str]], str]] = {}
LIBC = ctypes.CDLL(None, use_errno=True)


class Held(Exception):
    """The sandbox held, for the reason given."""


def attack(function: Callable[[dict[str, str]], str]) -> Callable[[dict[str, str]], str]:
    ATTACKS[function.__name__] = function
    return function


def call(result: int) -> int:
    """Return what a C function returned. Raises OSError for -1."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


@attack
def read_database(targets: dict[str, str]) -> str:
    return Path(targets["database"]).read_text()


@attack
def list_data(targets: dict[str, str]) -> str:
    return str(os.listdir(targets["data"]))


@attack
def change_database_mode(targets: dict[str, str]) -> str:
    os.chmod(targets["database"], 0)
    os.chmod(targets["database"], 0o600)
    return "made the database unreadable"


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
    for place in ("/", "/etc", "/usr/bin", "/var/tmp", "/dev", "/run", "/home", "/opt", "/srv", "/tmp"):
        if private != place:
            with contextlib.suppress(OSError):
                path = Path(place, f"planted-{os.getpid()}")
                path.write_text("x")
                path.unlink()
                return f"wrote in {place}"
    raise Held("nothing is writable")


@attack
def read_other_build(targets: dict[str, str]) -> str:
    return Path(targets["other_build"], "main.py").read_text()


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


def signal_one(pid: int) -> str:
    os.kill(pid, 0)
    return f"may signal {pid}"


def is_visible(pid: int, word: str) -> None:
    """Raise Held unless that process is the victim and not our own one of the same number."""
    with contextlib.suppress(PermissionError):  # hidden, but it is there
        if word not in Path(f"/proc/{pid}/cmdline").read_text(errors="replace"):
            raise Held("another process has that number here")


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
def limit_server(targets: dict[str, str]) -> str:
    pid = int(targets["server"])
    is_visible(pid, "driver")
    resource.prlimit(pid, resource.RLIMIT_CORE, resource.prlimit(pid, resource.RLIMIT_CORE))
    return "may set the server's limits"


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
def become_root(targets: dict[str, str]) -> str:
    if os.geteuid() == 0:
        return "is root"
    status = Path("/proc/self/status").read_text()
    if "CapEff:\t0000000000000000" not in status:
        return "has capabilities"
    if "NoNewPrivs:\t1" not in status:
        return "may gain privileges by setuid programs"
    os.setuid(0)
    return "became root"


@attack
def user_namespace(targets: dict[str, str]) -> str:
    call(LIBC.unshare(0x10000000))
    return "made a user namespace"


@attack
def user_namespace_by_clone(targets: dict[str, str]) -> str:
    number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
    if call(LIBC.syscall(number, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)) == 0:
        os._exit(0)
    return "made a user namespace"


@attack
def mount_something(targets: dict[str, str]) -> str:
    with contextlib.suppress(OSError):
        call(LIBC.unshare(0x10020000))  # what mounting takes: a user and a mount namespace
    call(LIBC.mount(b"none", os.environ["TMPDIR"].encode(), b"tmpfs", 0, None))
    return "mounted"


@attack
def kernel_interfaces(targets: dict[str, str]) -> str:
    got = []
    for name, number, arguments in (
        ("io_uring", 425, (1, ctypes.create_string_buffer(256))),
        ("bpf", {"x86_64": 321, "aarch64": 280}[os.uname().machine], (0, ctypes.create_string_buffer(128), 128)),
        ("keyctl", {"x86_64": 250, "aarch64": 219}[os.uname().machine], (0, -3, 0)),
        ("userfaultfd", {"x86_64": 323, "aarch64": 282}[os.uname().machine], (1,)),
    ):
        if LIBC.syscall(number, *arguments) >= 0:
            got.append(name)
    with contextlib.suppress(OSError):
        socket.socket(38, socket.SOCK_SEQPACKET).close()
        got.append("AF_ALG")
    if not got:
        raise Held("none answers")
    return ", ".join(got)


@attack
def inherited_descriptors(targets: dict[str, str]) -> str:
    listing = os.open("/proc/self/fd", os.O_RDONLY)
    found = {int(name) for name in os.listdir(listing)} - {0, 1, 2, listing}
    strange = [os.readlink(f"/proc/self/fd/{number}") for number in found if os.path.exists(f"/proc/self/fd/{number}")]
    # A script's own file may be open while it runs.
    strange = [name for name in strange if not name.startswith("/proc/") and name != os.path.realpath(__file__)]
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
def other_socket(targets: dict[str, str]) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(targets["socket"])
    return "connected to the server's socket"


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
def fork_bomb(targets: dict[str, str]) -> str:
    made, end = 0, time.monotonic() + 20
    while made < 3000 and time.monotonic() < end:
        try:
            if os.fork() == 0:
                time.sleep(30)
                os._exit(0)
        except OSError as error:
            raise Held(f"{made} processes") from error
        made += 1
    return f"{made} processes"


@attack
def memory_bomb(targets: dict[str, str]) -> str:
    block = []
    for _ in range(64):
        block.append(b"x" * 2**24)
    return f"{len(block) * 16} MB"


@attack
def memory_tree(targets: dict[str, str]) -> str:
    """Each process stays below its own limit."""
    for _ in range(8):
        if os.fork() == 0:
            held = b"x" * (48 * 2**20)
            time.sleep(20)
            os._exit(len(held) % 2)
    time.sleep(10)
    return "384 MB"


@attack
def shared_memory(targets: dict[str, str]) -> str:
    import mmap

    area = mmap.mmap(-1, 512 * 2**20)
    for at in range(0, len(area), 4096):
        area[at] = 1
    time.sleep(3)
    return "512 MB"


@attack
def fill_disk(targets: dict[str, str]) -> str:
    written = 0
    for number in range(64):
        with open(Path(os.environ["TMPDIR"], f"fill{number}"), "wb") as file:
            for _ in range(4):
                file.write(os.urandom(2**20))
                file.flush()
                written += 1
    time.sleep(5)
    return f"{written} MB"


@attack
def fill_devices(targets: dict[str, str]) -> str:
    """RAM behind /dev and /dev/shm counts for nobody."""
    written = 0
    for place in ("/dev", "/dev/shm"):
        with contextlib.suppress(OSError), open(f"{place}/fill-{os.getpid()}", "wb") as file:
            try:
                while written < 64:
                    file.write(b"x" * 2**20)
                    file.flush()
                    written += 1
            finally:
                os.unlink(file.name)
    if written < 64:
        raise Held(f"{written} MB")
    return f"{written} MB"


@attack
def open_everything(targets: dict[str, str]) -> str:
    held = []
    for number in range(4096):
        try:
            held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            raise Held(f"{number} descriptors") from error
    return f"{len(held)} descriptors"


@attack
def dump_core(targets: dict[str, str]) -> str:
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        raise Held("no core files")
    return "may write core files"


def main() -> None:
    if sys.argv[1] == "victim":
        time.sleep(1000)
    try:
        print("BREACHED", ATTACKS[sys.argv[1]](json.loads(sys.argv[2])), flush=True)
    except (Held, OSError, MemoryError) as error:
        name = errno.errorcode.get(error.errno or 0, "") if isinstance(error, OSError) else type(error).__name__
        print("HELD", name, error, flush=True)


main()
