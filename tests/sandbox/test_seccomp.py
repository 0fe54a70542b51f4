"""The filter's verdict on every system call of both architectures, by interpreting its bytes."""

import errno
import struct
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from minifn.sandbox import seccomp
from minifn.sandbox.seccomp import process_program, program
from minifn.sandbox.seccomp.assemble import (
    ARCHITECTURES,
    CHECKED,
    DENIED,
    OTHERS,
    SAME_USER,
    SHARED,
    files,
)

ALLOWED = 0
ROOT = Path(__file__).parents[2]
MACHINES = sorted(ARCHITECTURES)


def verdict(filter: bytes, arch: int, number: int, *arguments: int) -> int:
    """Run the filter like the kernel; return the errno, 0 for an allowed call."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    code = list(struct.iter_unpack("=HBBI", filter))
    at = accumulator = 0
    while True:
        operation, when_true, when_false, operand = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif operation == 0x54:
            accumulator &= operand
        elif operation == 0x06:
            return ALLOWED if operand == 0x7FFF0000 else operand & 0xFFFF
        else:
            holds = {
                0x15: accumulator == operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[operation]
            at += when_true if holds else when_false


def test_the_files_are_up_to_date() -> None:
    shipped = {path.name: path.read_bytes() for path in Path(seccomp.__file__).parent.glob("*.bpf")}
    assert shipped == files(), "python -m minifn.sandbox.seccomp.assemble rewrites them"


def test_the_wheel_carries_the_files() -> None:
    included = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {f"minifn/sandbox/seccomp/{name}" for name in files()} <= included


@pytest.mark.parametrize("machine", MACHINES)
def test_exactly_the_listed_calls_are_refused(machine: str) -> None:
    filter, arch, column = (
        program(machine),
        ARCHITECTURES[machine],
        list(ARCHITECTURES).index(machine),
    )
    refused = {number for number in range(600) if verdict(filter, arch, number) != ALLOWED}
    listed = {numbers[column] for numbers in DENIED.values()} - {0}
    assert refused == listed | {CHECKED["clone3"][column]}


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_that_are_judged_by_arguments(machine: str) -> None:
    filter, arch, column = (
        program(machine),
        ARCHITECTURES[machine],
        list(ARCHITECTURES).index(machine),
    )

    def call(name: str, *arguments: int) -> int:
        return verdict(filter, arch, CHECKED[name][column], *arguments)

    assert call("clone", 0x01200011) == ALLOWED  # fork
    assert call("clone", 0x003D0F00) == ALLOWED  # a thread
    for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert call("clone", flag | 17) == errno.EPERM
    assert call("clone3") == errno.ENOSYS
    assert call("ioctl", 1, 0x5412) == errno.EPERM
    # The kernel looks at the low word only.
    assert call("ioctl", 1, 0xFFFFFFFF_00005412) == errno.EPERM
    assert call("ioctl", 1, 0x5413) == ALLOWED
    for family in (17, 38, 40, 21):
        assert call("socket", family) == errno.EAFNOSUPPORT
    for family in (1, 2, 10, 16):
        assert call("socket", family) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_without_a_namespace_other_processes_and_their_ipc_are_refused_too(machine: str) -> None:
    arch, column = ARCHITECTURES[machine], list(ARCHITECTURES).index(machine)
    plain, strict = program(machine), program(machine, namespaced=False, own_uid=False)
    for numbers in SHARED.values():
        assert verdict(plain, arch, numbers[column]) == ALLOWED
        assert verdict(strict, arch, numbers[column]) == errno.EPERM
    for *both, argument in OTHERS.values():
        for pid, expected in ((0, ALLOWED), (1, errno.EPERM), (0xFFFFFFFF, errno.EPERM)):
            assert verdict(strict, arch, both[column], *[0] * argument, pid) == expected
        assert verdict(plain, arch, both[column], 1, 1) == ALLOWED
    # With this kind, 0 means every process of the user, the server included.
    for name, process, group, user in (("setpriority", 0, 1, 2), ("ioprio_set", 1, 2, 3)):
        number = OTHERS[name][column]
        assert [verdict(strict, arch, number, kind) for kind in (process, group, user)] == [
            ALLOWED,
            ALLOWED,
            errno.EPERM,
        ]
    # A guessed number of a segment or queue needs no `get`.
    guessed = {"shmat", "shmctl", "semop", "semtimedop", "semctl", "msgsnd", "msgrcv", "msgctl"}
    assert guessed <= set(SHARED)


@pytest.mark.parametrize("own_uid", [True, False])
@pytest.mark.parametrize("machine", MACHINES)
def test_without_a_namespace_unix_sockets_are_pairs_only(machine: str, own_uid: bool) -> None:
    arch, column = ARCHITECTURES[machine], list(ARCHITECTURES).index(machine)
    filter = program(machine, namespaced=False, own_uid=own_uid)
    pair = (53, 199)[column]
    assert verdict(filter, arch, CHECKED["socket"][column], 1) == errno.EAFNOSUPPORT
    assert verdict(filter, arch, CHECKED["socket"][column], 2) == ALLOWED
    assert verdict(filter, arch, pair, 1) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_attributes_and_events_of_files_are_refused_to_the_servers_user(
    machine: str,
) -> None:
    arch, column = ARCHITECTURES[machine], list(ARCHITECTURES).index(machine)
    for numbers in SAME_USER.values():
        for own_uid, expected in ((True, ALLOWED), (False, errno.EPERM)):
            filter = program(machine, namespaced=False, own_uid=own_uid)
            assert verdict(filter, arch, numbers[column]) == expected
        assert verdict(program(machine), arch, numbers[column]) == ALLOWED


@pytest.mark.parametrize("own_uid", [True, False])
@pytest.mark.parametrize("machine", MACHINES)
def test_truncation_is_refused_where_landlock_cannot(machine: str, own_uid: bool) -> None:
    arch, column = ARCHITECTURES[machine], list(ARCHITECTURES).index(machine)
    old, new = (process_program(machine, own_uid=own_uid, landlock=version) for version in (2, 3))
    assert [
        process_program(machine, own_uid=own_uid, landlock=version) for version in (0, 1, 7)
    ] == [new, old, new]
    assert new == program(machine, namespaced=False, own_uid=own_uid)

    def refused(filter: bytes, *arguments: int) -> set[int]:
        return {
            number for number in range(600) if verdict(filter, arch, number, *arguments) != ALLOWED
        }

    truncate, ftruncate, openat2 = (76, 45)[column], (77, 46)[column], 437
    # Arguments: none, and O_TRUNC with the right to write.
    for arguments in ((), (0, 0o1001, 0o1001), (0, 0o1002, 0o1102)):
        assert refused(old, *arguments) - refused(new, *arguments) == {truncate, openat2}
        assert ftruncate not in refused(old, *arguments)
    assert verdict(old, arch, truncate) == errno.EPERM
    assert verdict(old, arch, openat2) == errno.ENOSYS
    for number, at in (((2, 1), (257, 2)), ((56, 2),))[column]:
        # O_TRUNC with the right to read, and with no right; then with O_CLOEXEC and a high word.
        for flags in (0o1000, 0o1003, 0o2001000, 1 << 32 | 0o2001003):
            assert verdict(old, arch, number, *[0] * at, flags) == errno.EPERM
            assert verdict(new, arch, number, *[0] * at, flags) == ALLOWED
        for flags in (0, 1, 2, 3, 0o2001002, 1 << 41 | 0o2000000):
            assert verdict(old, arch, number, *[0] * at, flags) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_another_abi_has_no_calls(machine: str) -> None:
    filter = program(machine)
    assert verdict(filter, 0x40000003, 1) == errno.ENOSYS  # i386
    if machine == "x86_64":
        assert verdict(filter, ARCHITECTURES[machine], 0x40000000 + 520) == errno.ENOSYS


def test_an_unknown_machine_has_no_filter() -> None:
    assert program("riscv64") == b""


@pytest.mark.parametrize("machine", MACHINES)
def test_jumps_stay_inside(machine: str) -> None:
    code = list(struct.iter_unpack("=HBBI", process_program(machine, own_uid=False, landlock=2)))
    assert len(code) <= 4096
    for at, (operation, when_true, when_false, _) in enumerate(code):
        if operation in (0x15, 0x35, 0x45):
            assert at + 1 + max(when_true, when_false) < len(code)
    assert code[-1][0] == 0x06
