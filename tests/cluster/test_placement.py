"""The choice of a node, without any."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from minifn.cluster.placement import Load, Needs, best, best_to_build, misfit

MIB = 1024 * 1024
NEEDS = Needs(cpus=1, memory_bytes=512 * MIB, runtime="python-3.12")


@dataclass
class Machine:
    """A node with two processors that fits NEEDS."""

    name: str = "one"
    resources: Mapping[str, float] = field(
        default_factory=lambda: {"CPU": 2.0, "memory": 1024.0 * MIB}
    )
    runtimes: Mapping[str, str] = field(default_factory=lambda: {"python-3.12": "3.12.4"})
    load: Load = field(default_factory=Load)
    builds: str = "x86_64 glibc 2.36 python-3.12.4 /fn"

    def identity(self, runtime_id: str) -> str:
        return self.builds if runtime_id in self.runtimes else ""


@pytest.mark.parametrize(
    ("machine", "needs", "reason"),
    [
        (Machine(), {}, ""),
        (Machine(), {"cpus": 4}, "it has 2 of 4 CPUs"),
        (Machine(resources={}), {}, "it has 0 of 1 CPUs"),
        (Machine(), {"memory_bytes": 2048 * MIB}, "it has 1024 of 2048 MB"),
        (Machine(), {"label": "gpu"}, "it has no resource 'gpu'"),
        (Machine(runtimes={}), {}, "it has no python-3.12"),
    ],
)
def test_a_node_that_does_not_fit_says_why(
    machine: Machine, needs: dict[str, float | str], reason: str
) -> None:
    wanted = {name: getattr(NEEDS, name) for name in NEEDS.__struct_fields__}
    assert misfit(machine, Needs(**{**wanted, **needs})) == reason


def test_without_nodes_there_is_no_best_one() -> None:
    assert best([], "d") is None


def test_a_warm_node_comes_before_an_idle_one() -> None:
    idle, warm = Machine("idle"), Machine("warm", load=Load(running=Counter(d=1), slots={"d": 2}))
    assert best([idle, warm], "d") is warm
    assert best([idle, warm], "other") is idle


def test_a_full_warm_node_comes_after_an_idle_one() -> None:
    idle = Machine("idle")
    busy = Machine("busy", load=Load(running=Counter(d=2), slots={"d": 2}))
    crowded = Machine("crowded", load=Load(slots={"d": 1}, parked=Counter(d=1)))
    assert best([busy, crowded, idle], "d") is idle


def test_a_node_that_starts_a_worker_gets_the_calls_of_its_processors() -> None:
    idle, coming = Machine("idle"), Machine("coming", load=Load(coming={"d"}, parked=Counter(d=1)))
    assert best([idle, coming], "d") is coming
    coming.load.parked["d"] += 1
    assert best([idle, coming], "d") is idle
    coming.load.leave("d")
    assert best([idle, coming], "d") is coming
    coming.load.leave("d")
    assert coming.load.parked == {}


def test_a_build_goes_to_the_least_loaded_node_whose_builds_fit_the_server() -> None:
    here = Machine().builds
    busy = Machine("busy", load=Load(building=1))
    idle = Machine("idle", load=Load(parked=Counter(d=1)), resources={"CPU": 8.0})
    other = Machine("other", builds="aarch64 glibc 2.36 python-3.12.4 /fn")
    assert best_to_build([busy, idle, other], "python-3.12", here) is idle
    assert best_to_build([busy, other], "python-3.12", here) is busy
    assert best_to_build([other], "python-3.12", here) is other
    assert best_to_build(list[Machine](), "python-3.12", here) is None


def test_builds_count_as_load_of_calls() -> None:
    building, idle = Machine("building", load=Load(building=1)), Machine("idle")
    assert best([building, idle], "d") is idle
