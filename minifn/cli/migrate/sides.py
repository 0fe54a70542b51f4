"""The two servers of a migration, and what the version of the one that takes can do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from minifn.cli.project_file import SETTINGS
from minifn.cli.remote import Remote, RemoteError

Record = Mapping[str, Any]


class OtherServer(Remote):
    """The server that `--from` or `--to` names."""

    start_hint: ClassVar = "check the endpoint after --from or --to"
    key_hint: ClassVar = "the key is that of --other-key or MINIFN_OTHER_KEY"


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The server that gives, the one that takes, and whether nothing may be changed there."""

    source: Remote
    target: Remote
    dry_run: bool = False

    def change(self, method: str, path: str, **options: Any) -> Any:
        """Call the target and return its answer; a dry run returns None. Raises RemoteError."""
        return None if self.dry_run else self.target.call(method, path, **options)


@dataclass(frozen=True)
class Abilities:
    """The features of a server's version of the API, as one of its functions shows."""

    #: The settings of a function.
    settings: frozenset[str]
    #: Secret variables, rules for functions by their id, and the present way to activate (1.7).
    since_1_7: bool
    #: Ids of variables, and queries of their lists (1.9).
    since_1_9: bool

    @classmethod
    def of(cls, function: Record) -> "Abilities":
        """Return the abilities of the server that answered with `function`."""
        return cls(
            settings=frozenset(name for name in SETTINGS if name in function),
            since_1_7="deploymentId" in function,
            since_1_9="buildSpecification" in function,
        )


def active_id(function: Record) -> str:
    """Return the id of a function's active deployment, "" without one."""
    return str(function.get("deploymentId", function.get("deployment")) or "")


@dataclass
class Counts:
    """How many things of a kind were new, changed and the same."""

    new: int = 0
    changed: int = 0
    same: int = 0

    def __str__(self) -> str:
        counts = {"new": self.new, "changed": self.changed, "same": self.same}
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "-"


@dataclass
class Report:
    """The outcome for one function."""

    function_id: str
    #: `new`, `changed` or `same`, "" before it is known.
    settings: str = ""
    variables: Counts = field(default_factory=Counts)
    domains: Counts = field(default_factory=Counts)
    deployments: Counts = field(default_factory=Counts)
    #: Parts that could not be moved, each with its reason.
    problems: list[str] = field(default_factory=list)
    #: Notes for the operator.
    notes: list[str] = field(default_factory=list)
    #: Whether its schedule or interval starts it at both sides.
    scheduled: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything is, or would be, other than before."""
        kinds = (self.variables, self.domains, self.deployments)
        return self.settings in ("new", "changed") or any(one.new + one.changed for one in kinds)

    @property
    def state(self) -> str:
        """`incomplete`, `moved` or `same`."""
        return "incomplete" if self.problems else "moved" if self.changed else "same"

    def failed(self, what: str, error: RemoteError) -> None:
        """Note that something could not be moved. Raises the error of a server without answer."""
        if not error.status:
            raise error
        self.problems.append(f"{what}: {error}")
