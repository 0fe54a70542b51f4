"""Control groups: the files written in a tree like the kernel's, and a real kill."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from minifn.host.control_groups import own_group, read
from minifn.sandbox.launcher import cgroup
from minifn.sandbox.launcher.cgroup import Group, Groups, delegated
from tests.patience import patient
from tests.processes import killed_at_end

FILES = (
    *("cgroup.procs", "cgroup.kill", "cgroup.controllers", "cgroup.subtree_control"),
    *("cgroup.type", "memory.max", "memory.swap.max", "memory.oom.group", "memory.events"),
    *("pids.max", "pids.events", "cpu.max"),
)
MOUNT = "29 23 0:26 / {place} rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A group with controllers, where new groups get the kernel's files."""

    mkdir = os.mkdir

    def make(path: str, mode: int = 0o777) -> None:
        mkdir(path, mode)
        for name in FILES:
            Path(path, name).touch()

    own = tmp_path / "user.slice"
    make(str(own))
    (own / "cgroup.controllers").write_text("cpu memory pids\n")
    monkeypatch.setattr(os, "mkdir", make)
    monkeypatch.setattr(cgroup, "SYSTEMD", str(tmp_path / "none"))
    return own


def described(tmp_path: Path, group: str = "/user.slice") -> str:
    """A /proc/PID of a process in that group."""
    (tmp_path / "cgroup").write_text(f"4:cpu:/\n0::{group}\n")
    (tmp_path / "mountinfo").write_text(MOUNT.format(place=tmp_path))
    return str(tmp_path)


def test_limits_are_written(kernel: Path) -> None:
    group = Groups(str(kernel)).create(3, {"memory_bytes": 2**27, "processes": 20, "cpus": 0.5})
    group.add([41])
    group.kill()
    written = {name: Path(group.path, name).read_text() for name in FILES}
    assert {name: text for name, text in written.items() if text} == {
        "cgroup.procs": "41",
        "cgroup.kill": "1",
        "memory.max": str(2**27),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "20",
        "cpu.max": "50000 100000",
    }
    assert group.reason() == ""
    Path(group.path, "memory.events").write_text("low 0\nmax 9\noom 1\noom_kill 2\n")
    assert group.reason() == "memory limit exceeded (128 MB)"


def test_refused_processes_are_the_reason_until_forgiven(kernel: Path) -> None:
    group = Groups(str(kernel)).create(3, {"memory_bytes": 0, "processes": 20, "cpus": 0})
    Path(group.path, "pids.events").write_text("max 2\n")
    assert group.reason() == "process limit exceeded (20)"
    group.forgive()
    assert group.reason() == ""
    Path(group.path, "pids.events").write_text("max 3\n")
    assert group.reason() == "process limit exceeded (20)"


def test_the_server_moves_aside_for_groups(kernel: Path, tmp_path: Path) -> None:
    groups = delegated([7], described(tmp_path))
    assert groups is not None
    assert groups.root == str(kernel)
    assert (kernel / f"minifn-{os.getpid()}/cgroup.procs").read_text() == "7"
    assert (kernel / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_a_second_server_divides_the_same_group(kernel: Path, tmp_path: Path) -> None:
    """A process that the first server moved aside, such as a shell, started it.

    The controller cpu is not delegated here.
    """
    (kernel / "minifn-1").mkdir()
    (kernel / "cgroup.controllers").write_text("memory pids\n")
    (kernel / "cgroup.subtree_control").write_text("memory pids\n")
    groups = delegated([7], described(tmp_path, "/user.slice/minifn-1"))
    assert groups is not None
    assert groups.root == str(kernel)
    assert (kernel / f"minifn-{os.getpid()}/cgroup.procs").read_text() == "7"


def test_under_systemd_root_needs_a_delegated_group(
    kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert delegated([7], described(tmp_path)) is None
    assert not (kernel / f"minifn-{os.getpid()}").exists()
    monkeypatch.setattr(
        os,
        "getxattr",
        lambda path, name: b"1" if (path, name) == (str(kernel), "trusted.delegate") else b"",
    )
    (kernel / "cgroup.procs").write_text("7\n8\n")  # the shell that started it
    assert delegated([7], described(tmp_path)) is not None


def test_a_foreign_group_is_left_alone(kernel: Path, tmp_path: Path) -> None:
    (kernel / "cgroup.controllers").write_text("cpu\n")
    assert delegated([7], described(tmp_path)) is None
    assert not (kernel / f"minifn-{os.getpid()}").exists()
    (kernel / "cgroup.controllers").write_text("memory\n")
    (kernel / "cgroup.subtree_control").unlink()  # Writing it fails like a refusal.
    assert delegated([7], described(tmp_path)) is None
    assert (kernel / "cgroup.procs").read_text() == "7"


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("0::/\n", "/sys/fs/cgroup", "/sys/fs/cgroup"),
        ("9:pids:/a\n0::/a/b\n", "/sys/fs/cgroup", "/sys/fs/cgroup/a/b"),
        ("9:pids:/a\n", "/sys/fs/cgroup", ""),
    ],
)
def test_the_own_group(text: str, place: str, expected: str) -> None:
    assert (
        own_group(text, "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + MOUNT.format(place=place))
        == expected
    )


def test_a_real_group_is_killed_whole() -> None:
    own = own_group(read("/proc/self/cgroup"), read("/proc/self/mountinfo"))
    path = f"{own}/minifn-test-{os.getpid()}"
    try:
        os.mkdir(path)  # noqa: PTH102
    except OSError as error:
        pytest.skip(
            f"cannot make a control group ({error.strerror}): run as root with a writable cgroup2"
        )
    group = Group(path, 0)
    script = "read line; setsid sleep 1000 & sleep 1000"
    shell = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE)
    with killed_at_end(shell) as process:
        group.add([process.pid])
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
        deadline = time.monotonic() + patient(5)
        while len(read(f"{path}/cgroup.procs").split()) < 3:
            assert time.monotonic() < deadline, "the processes did not start"
        group.kill()
        assert process.wait(patient(5)) == -9
    while read(f"{path}/cgroup.procs"):
        assert time.monotonic() < deadline, "not all were killed"
    group.remove()
    assert not Path(path).exists()
