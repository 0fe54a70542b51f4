"""Which node runs a call: a pure choice from what the server knows of the nodes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from minifn.models import Target, specification

#: Variable by which a function runs only on nodes with this custom resource.
NODE_VARIABLE = "MINIFN_NODE"
_MIB = 1024 * 1024


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """The needs of a function: CPUs, memory and custom resources of a node."""

    cpus: float
    memory_bytes: int
    runtime: str
    #: A custom resource, "" for none.
    label: str = ""

    @classmethod
    def of(cls, target: Target) -> "Needs":
        """Return the needs of a target's workers."""
        size = specification(target.function.runtime_specification)
        return cls(
            cpus=size.cpus,
            memory_bytes=size.memory_mb * _MIB,
            runtime=target.function.runtime,
            label=target.variables.get(NODE_VARIABLE, ""),
        )


@dataclass(kw_only=True, slots=True)
class Load:
    """The load of a node: calls that run and wait, by deployment, and builds.

    The node has the request of a call that runs, or may: if the node dies, it fails. So a node gets
    no more requests than its workers take at once, and a call beyond that waits without.
    """

    #: Deployment -> calls that run, or may.
    running: Counter[str] = field(default_factory=Counter)
    #: Builds that are made there.
    building: int = 0
    #: Deployment -> calls that wait for a worker there.
    parked: Counter[str] = field(default_factory=Counter)
    #: Deployment -> calls that its workers take at once, as the node told last.
    slots: dict[str, int] = field(default_factory=dict)
    #: Deployments that get their first worker.
    coming: set[str] = field(default_factory=set)

    def leave(self, key: str) -> None:
        """Count one call less that waits."""
        _count_off(self.parked, key)

    def end(self, key: str) -> None:
        """Count one call less that runs."""
        _count_off(self.running, key)

    def is_full(self, key: str) -> bool:
        """Tell whether no worker of a deployment is free."""
        return self.running[key] >= self.slots.get(key, 0)

    def has(self, key: str, slots: int) -> None:
        """Note how many calls the workers of a deployment take at once."""
        if slots:
            self.slots[key] = slots
            self.coming.discard(key)
        else:
            self.slots.pop(key, None)


def _count_off(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    # The load may have been reset since the call was counted.
    if counts[key] <= 0:
        del counts[key]


class Candidate(Protocol):
    """A node, as far as the choice goes."""

    @property
    def resources(self) -> Mapping[str, float]:
        """Resource -> amount."""
        ...

    @property
    def runtimes(self) -> Mapping[str, str]:
        """Runtime -> version of its interpreter."""
        ...

    @property
    def load(self) -> Load:
        """The calls that run and wait there."""
        ...


class BuildCandidate(Candidate, Protocol):
    """A node, as far as the choice for a build goes."""

    def identity(self, runtime_id: str) -> str:
        """Return the identity of the builds of a runtime there."""
        ...


Node = TypeVar("Node", bound=Candidate)
Builder = TypeVar("Builder", bound=BuildCandidate)


def misfit(node: Candidate, needs: Needs) -> str:
    """Return why a function cannot run, or be built, on a node, "" if it can."""
    resources = node.resources
    if resources.get("CPU", 0) < needs.cpus:
        return f"it has {resources.get('CPU', 0):g} of {needs.cpus:g} CPUs"
    if resources.get("memory", 0) < needs.memory_bytes:
        return f"it has {resources.get('memory', 0) // _MIB:g} of {needs.memory_bytes // _MIB} MB"
    if needs.label and resources.get(needs.label, 0) <= 0:
        return f"it has no resource {needs.label!r}"
    return "" if needs.runtime in node.runtimes else f"it has no {needs.runtime}"


def best(nodes: Iterable[Node], key: str) -> Node | None:
    """Return the node that gets the next call of a deployment, None without nodes.

    A node with an idle processor and a worker of the deployment that is free, or that starts, comes
    first; then the least loaded one.
    """
    return min(nodes, key=lambda node: _rank(node, key), default=None)


def best_to_build(nodes: Iterable[Builder], runtime: str, here: str) -> Builder | None:
    """Return the node that gets the next build of a runtime, None without nodes.

    It is the least loaded one of those whose builds run on the server too, which have its identity
    `here`; without any, of all.
    """

    def rank(node: Builder) -> tuple[bool, float]:
        load = node.load
        busy = load.running.total() + load.parked.total() + load.building
        return node.identity(runtime) != here, _share(node, busy)

    return min(nodes, key=rank, default=None)


def _share(node: Candidate, busy: int) -> float:
    """Return how much of a node's processors is in use."""
    return busy / max(1.0, node.resources.get("CPU", 0))


def _rank(node: Candidate, key: str) -> tuple[bool, float, bool]:
    load = node.load
    waiting = load.parked.get(key, 0)
    share = _share(node, load.running.total() + waiting + load.building)
    is_warm = key in load.slots
    ready = ((is_warm and not waiting) or key in load.coming) and share < 1
    return not ready, share, not is_warm
