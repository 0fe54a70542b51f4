"""Makes the filter files in this folder: a deny-list much like Docker's, without libseccomp.

    python -m minifn.sandbox.seccomp.assemble  # rewrites them; a test compares

Denied calls answer an error instead of killing, so that programs that merely probe go on. All other
calls are allowed: the kernel remembers those, so a filter costs next to nothing. Numbers are those
of Linux's unistd.h.
"""

import errno
import struct
from collections.abc import Iterable
from pathlib import Path

from . import MACHINES, file_name

# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6]
_NUMBER, _ARCH = 0, 4
_ARGUMENTS = (16, 24, 32)

# <linux/bpf_common.h>: BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_JMP|JSET|K,
# BPF_RET|K
_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000

#: Bit in the numbers of the x32 ABI on x86-64, which would evade a list of numbers.
_X32 = 0x40000000
#: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
_CLONE_NEW = 0x7E020000
#: TIOCSTI and TIOCLINUX type into the server's terminal (CVE-2017-5226).
_TERMINAL_REQUESTS = (0x5412, 0x541C)
#: AF_PACKET, AF_ALG, AF_VSOCK, AF_RDS. AF_NETLINK stays: getaddrinfo needs it.
_SOCKET_FAMILIES = (17, 38, 40, 21)
_AF_UNIX = 1
#: O_TRUNC, and the access mode of open.
_TRUNCATE, _ACCESS_MODE = 0o1000, 0b11

#: AUDIT_ARCH_* by `platform.machine()`.
ARCHITECTURES = dict(zip(MACHINES, (0xC000003E, 0xC00000B7), strict=True))
#: (namespaced, own_uid, truncation) of the filters that engines ask for.
KINDS = (
    (True, True, True),
    *((False, own_uid, truncation) for own_uid in (True, False) for truncation in (True, False)),
)

#: name: (x86-64, aarch64); 0 where an architecture has no such call.
DENIED: dict[str, tuple[int, int]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "create_module": (174, 0),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "syslog": (103, 116),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "vhangup": (153, 58),
    "iopl": (172, 0),
    "ioperm": (173, 0),
    "modify_ldt": (154, 0),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "personality": (135, 92),
    # Its pages are in no size of a process or a file, cannot be swapped, and outlive their mapping.
    "memfd_secret": (447, 447),
    # Detached System V objects belong to no process, so no watchdog sees whose memory they are.
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
}
#: Calls denied to a process without namespaces: System V and POSIX IPC, which all processes of a
#: user share. Numbers of segments and queues can be guessed, so using one is denied as well.
SHARED: dict[str, tuple[int, int]] = {
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}
#: Calls denied to a process with neither namespaces nor a user of its own: attributes of files that
#: it owns and cannot open, and events beside them, which tell names. Landlock covers neither.
SAME_USER: dict[str, tuple[int, int]] = {
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "inotify_add_watch": (254, 27),
}
#: Calls denied to a process without namespaces unless the pid is 0, the process itself: their
#: numbers and the argument that is the pid. Landlock does not cover them.
OTHERS: dict[str, tuple[int, int, int]] = {
    "prlimit64": (302, 261, 0),
    "sched_setaffinity": (203, 122, 0),
    "sched_setscheduler": (144, 119, 0),
    "sched_setparam": (142, 118, 0),
    "sched_setattr": (314, 274, 0),
    "setpriority": (141, 140, 1),
    "ioprio_set": (251, 30, 1),
}
#: Calls of OTHERS whose first argument tells the kind of the pid, and the kind (PRIO_USER,
#: IOPRIO_WHO_USER) for which 0 means every process of the user.
OF_USER = {"setpriority": 2, "ioprio_set": 3}
#: Calls that are judged by an argument.
CHECKED: dict[str, tuple[int, int]] = {
    "clone": (56, 220),
    "clone3": (435, 435),
    "ioctl": (16, 29),
    "socket": (41, 198),
}
#: Calls denied together with truncation: the call by path, and openat2, whose flags lie in memory.
TRUNCATE, OPENAT2 = (76, 45), (437, 437)
#: Calls that open, and the argument that holds their flags. With the access mode 0 or 3 (neither
#: reading nor writing) Landlock asks for no right to write, although O_TRUNC empties the file.
OPENING: dict[str, tuple[int, int, int]] = {"open": (2, 0, 1), "openat": (257, 56, 2)}


def assemble(machine: str, *, namespaced: bool, own_uid: bool, truncation: bool) -> bytes:
    """Return a filter as an array of struct sock_filter; the arguments are those of `program`."""
    instructions = _assemble(machine, namespaced, own_uid, truncation)
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions)


def _assemble(
    machine: str, namespaced: bool, own_uid: bool, truncation: bool
) -> Iterable[tuple[int, int, int, int]]:
    """Yield (code, jump when true, jump when false, operand)."""
    column = list(ARCHITECTURES).index(machine)
    yield from _load(_ARCH)
    # 32-bit programs have other numbers: none of their calls works.
    yield from _unless(ARCHITECTURES[machine], errno.ENOSYS)
    yield from _load(_NUMBER)
    if machine == "x86_64":
        yield (_AT_LEAST, 0, 1, _X32)
        yield _refuse(errno.ENOSYS)
    # Its flags lie in memory, which no filter can read; the C library then falls back on clone.
    yield from _when((CHECKED["clone3"][column],), errno.ENOSYS)
    denied = {**DENIED, **({} if namespaced else SHARED), **({} if own_uid else SAME_USER)}
    yield from _when(
        sorted(numbers[column] for numbers in denied.values() if numbers[column]), errno.EPERM
    )
    if not namespaced:
        yield from _itself_only(column)
    if not truncation:
        yield from _no_truncation(column)
    yield from _argument(
        CHECKED["clone"][column], 0, ((_ANY_BIT, 0, 1, _CLONE_NEW), _refuse(errno.EPERM))
    )
    # Without namespaces every socket with a path can be reached, and no filter sees the path.
    families = _SOCKET_FAMILIES if namespaced else (*_SOCKET_FAMILIES, _AF_UNIX)
    yield from _argument(CHECKED["ioctl"][column], 1, _when(_TERMINAL_REQUESTS, errno.EPERM))
    yield from _argument(CHECKED["socket"][column], 0, _when(families, errno.EAFNOSUPPORT))
    yield (_RETURN, 0, 0, _ALLOW)


def _itself_only(column: int) -> Iterable[tuple[int, int, int, int]]:
    """Refuse the calls of OTHERS for any process but the caller."""
    for name, numbers in OTHERS.items():
        kind = _when((OF_USER[name],), errno.EPERM) if name in OF_USER else ()
        rule = (*kind, *_load(_ARGUMENTS[numbers[2]]), *_unless(0, errno.EPERM))
        yield from _argument(numbers[column], 0, rule)


def _no_truncation(column: int) -> Iterable[tuple[int, int, int, int]]:
    """Refuse to empty a file except by opening it for writing."""
    yield from _when((TRUNCATE[column],), errno.EPERM)
    yield from _when((OPENAT2[column],), errno.ENOSYS)
    for *both, argument in OPENING.values():
        emptying = (
            (_AND, 0, 0, _TRUNCATE | _ACCESS_MODE),
            *_when((_TRUNCATE, _TRUNCATE | 3), errno.EPERM),
        )
        if both[column]:
            yield from _argument(both[column], argument, emptying)


def _load(offset: int) -> Iterable[tuple[int, int, int, int]]:
    yield (_LOAD, 0, 0, offset)


def _refuse(error: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ERRNO | error)


def _unless(value: int, error: int) -> Iterable[tuple[int, int, int, int]]:
    """Refuse unless the loaded word is `value`."""
    yield (_EQUAL, 1, 0, value)
    yield _refuse(error)


def _when(values: Iterable[int], error: int) -> Iterable[tuple[int, int, int, int]]:
    """Refuse when the loaded word is one of `values`."""
    numbers = list(values)
    for at, value in enumerate(numbers):
        left = len(numbers) - at - 1
        yield (_EQUAL, left, 0 if left else 1, value)
    yield _refuse(error)


def _argument(
    number: int, argument: int, rule: Iterable[tuple[int, int, int, int]]
) -> Iterable[tuple[int, int, int, int]]:
    """Apply `rule` to the low word of an argument of one call.

    Both architectures are little-endian.
    """
    body = [*_load(_ARGUMENTS[argument]), *rule, (_RETURN, 0, 0, _ALLOW)]
    yield (_EQUAL, 0, len(body), number)
    yield from body


def files() -> dict[str, bytes]:
    """Return the content of every filter file by its name."""
    return {
        file_name(machine, namespaced, own_uid, truncation): assemble(
            machine, namespaced=namespaced, own_uid=own_uid, truncation=truncation
        )
        for machine in MACHINES
        for namespaced, own_uid, truncation in KINDS
    }


if __name__ == "__main__":
    for name, content in files().items():
        (Path(__file__).parent / name).write_bytes(content)
