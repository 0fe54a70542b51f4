"""The smallest memory limit: of the machine, of a control group, or of one above it."""

import os
from pathlib import Path

import psutil
import pytest

from minifn.host import memory_limit
from minifn.host.control_groups import own_group
from minifn.host.memory_limit import MACHINE, Memory, look

MIB = 2**20
V1 = "35 31 0:32 {root} {place} rw,relatime shared:9 - cgroup cgroup rw,memory"
V2 = "41 31 0:38 {root} {place} rw,relatime - cgroup2 cgroup2 rw"
OTHERS = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n36 31 0:33 / /sys/cpu rw - cgroup cgroup rw,cpu\n"


def group(path: Path, **files: object) -> None:
    """Write the files of a group; `__` in a name stands for a dot."""
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name.replace("__", ".")).write_text(f"{content}\n")


def process(tmp_path: Path, cgroup: str, mount: str, root: str = "/") -> str:
    """A /proc/PID of a process in that group of the hierarchy at `tmp_path`/groups."""
    (tmp_path / "cgroup").write_text(f"3:cpu:/elsewhere\n{cgroup}\n")
    text = OTHERS + mount.format(root=root, place=tmp_path / "groups") + "\n"
    (tmp_path / "mountinfo").write_text(text)
    return str(tmp_path)


def test_without_a_group_the_machine_limits(tmp_path: Path) -> None:
    for cgroup, mount in (("0::/a", V2), ("4:memory:/a", V1)):
        memory = look(process(tmp_path, cgroup, mount))
        assert (memory.limit_bytes, memory.source) == (psutil.virtual_memory().total, MACHINE)
        assert 0 < memory.available_bytes < memory.limit_bytes
    assert look(str(tmp_path / "none")).source == MACHINE


@pytest.mark.parametrize("limit", ["max", str(2**62), ""])
def test_a_group_without_a_limit_of_its_own_does_not_count(tmp_path: Path, limit: str) -> None:
    group(tmp_path / "groups/a", memory__max=limit, memory__current=5)
    group(tmp_path / "groups/a", memory__limit_in_bytes=limit, memory__usage_in_bytes=5)
    assert look(process(tmp_path, "0::/a", V2)).source == MACHINE
    assert look(process(tmp_path, "4:memory:/a", V1)).source == MACHINE


def test_the_smallest_limit_up_the_path_counts(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    group(groups / "a", memory__max=300 * MIB, memory__high="max", memory__current=100 * MIB)
    group(groups / "a/b", memory__max=200 * MIB, memory__high="max", memory__current=50 * MIB)
    group(groups / "a/b/c", memory__max=400 * MIB, memory__current=10 * MIB)
    place = process(tmp_path, "0::/a/b/c", V2)
    assert look(place) == Memory(
        limit_bytes=200 * MIB, available_bytes=150 * MIB, source=str(groups / "a/b")
    )
    # The first to be full is another: neighbours of ours are in it as well.
    group(groups / "a", memory__current=290 * MIB)
    assert look(place).available_bytes == 10 * MIB
    assert look(place).limit_bytes == 200 * MIB
    # Above `high` everything in the group is made to wait.
    group(groups / "a/b/c", memory__high=128 * MIB)
    assert (look(place).limit_bytes, look(place).source) == (128 * MIB, str(groups / "a/b/c"))


def test_the_same_in_version_1(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    group(groups, memory__limit_in_bytes=2**63 - 4096, memory__usage_in_bytes=900 * MIB)
    group(groups / "a", memory__limit_in_bytes=200 * MIB, memory__usage_in_bytes=150 * MIB)
    group(groups / "a/b", memory__limit_in_bytes=300 * MIB, memory__usage_in_bytes=20 * MIB)
    assert look(process(tmp_path, "4:memory:/a/b", V1)) == Memory(
        limit_bytes=200 * MIB, available_bytes=50 * MIB, source=str(groups / "a")
    )


def test_a_limit_of_a_group_that_a_container_does_not_show(tmp_path: Path) -> None:
    """The container sees only its own group; version 1 reports the limit of the others."""
    own = tmp_path / "groups"
    group(own, memory__limit_in_bytes=2**62, memory__usage_in_bytes=10 * MIB)
    group(own, memory__stat=f"cache 7\nhierarchical_memory_limit {100 * MIB}")
    place = process(tmp_path, "4:memory:/docker/1", V1, root="/docker/1")
    assert look(place) == Memory(limit_bytes=100 * MIB, available_bytes=90 * MIB, source=str(own))


def test_cached_files_are_available_unless_a_process_has_mapped_them(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    group(groups / "a", memory__max=100 * MIB, memory__current=100 * MIB)
    stat = f"anon {20 * MIB}\ninactive_file {40 * MIB}\nactive_file {30 * MIB}"
    stat += f"\nfile_mapped {25 * MIB}\nslab_reclaimable {2 * MIB}"
    group(groups / "a", memory__stat=stat)
    assert look(process(tmp_path, "0::/a", V2)).available_bytes == 47 * MIB
    group(groups / "a", memory__limit_in_bytes=100 * MIB, memory__usage_in_bytes=100 * MIB)
    # Without those of the groups below, and with them.
    stat = f"cache 1\ninactive_file 1\nmapped_file 1\ntotal_cache {80 * MIB}"
    stat += f"\ntotal_inactive_file {40 * MIB}\ntotal_active_file {30 * MIB}"
    stat += f"\ntotal_mapped_file {25 * MIB}"
    group(groups / "a", memory__stat=stat)
    assert look(process(tmp_path, "4:memory:/a", V1)).available_bytes == 45 * MIB


@pytest.mark.parametrize(
    ("cgroup", "controller", "expected"),
    [
        ("4:memory:/a/b", "memory", "/groups/a/b"),
        ("4:cpu,memory:/", "memory", "/groups"),
        ("4:memory:/a:b", "memory", "/groups/a:b"),
        ("4:memory_other:/a", "memory", ""),
        ("0::/a", "memory", ""),
        ("", "memory", ""),
    ],
)
def test_the_own_group_of_version_1(cgroup: str, controller: str, expected: str) -> None:
    mounts = OTHERS + V1.format(root="/", place="/groups") + "\n"
    assert own_group(cgroup, mounts, controller) == expected


def test_a_real_group_of_this_machine(tmp_path: Path) -> None:
    memory = look()
    assert 0 < memory.available_bytes <= memory.limit_bytes <= psutil.virtual_memory().total
    assert memory.source == MACHINE or os.path.isdir(memory.source)  # noqa: PTH112


@pytest.mark.parametrize(("seconds", "looks"), [(60.0, 1), (0.0, 3)])
def test_looks_within_a_turn_are_one(
    monkeypatch: pytest.MonkeyPatch, seconds: float, looks: int
) -> None:
    made: list[Memory] = []

    def counted() -> Memory:
        made.append(Memory(limit_bytes=9, available_bytes=len(made), source="here"))
        return made[-1]

    monkeypatch.setattr(memory_limit, "look", counted)
    monkeypatch.setattr(memory_limit, "GLANCE_SECONDS", seconds)
    glances = memory_limit.Glances()
    assert [glances.available_bytes() for _ in range(3)][-1] == looks - 1
    assert len(made) == looks
