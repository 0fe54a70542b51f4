"""A function and its settings, as far as the target has them."""

import re
from typing import Any

from minifn.cli.migrate.sides import Abilities, Record, Report, Sides
from minifn.cli.project_file import SETTINGS
from minifn.cli.remote import RemoteError

#: Settings that are moved. The connection to a repository names ids of one server's own.
MOVED = tuple(name for name in SETTINGS if not name.startswith(("provider", "installation")))
#: Fields of a function that are no settings: its state, and what moves otherwise.
STATE = frozenset(
    {
        *("live", "vars", "version", "deployment", "deploymentId", "deploymentCreatedAt"),
        *("latestDeploymentId", "latestDeploymentCreatedAt", "latestDeploymentStatus"),
    }
)
#: Values of a setting that is not used.
UNUSED: tuple[object, ...] = (None, "", 0, [])
#: The message for a setting that a server refuses, in every version.
_REFUSED = re.compile(r"Invalid `(\w+)` param: ")


def move_settings(sides: Sides, function: Record, report: Report) -> Record | None:
    """Create the function, or give it the settings of the source, and return the target's.

    A function is created with no settings first: the answer shows which ones the target has. None
    is a function that a dry run would have created. Raises RemoteError.
    """
    if function.get("installationId"):
        report.problems.append(
            "the connection to its repository: the target has other installations, connect it there"
        )
    current = _found(sides, function["$id"])
    if current is None:
        body = {"functionId": function["$id"], "name": function["name"]}
        current = sides.change("POST", "/functions", json=body | {"runtime": function["runtime"]})
        report.settings = "new"
    if current is not None:
        _give(sides, current, _given(function, current, report), report)
    return current


def _found(sides: Sides, function_id: str) -> Record | None:
    try:
        found: Record = sides.target.call("GET", f"/functions/{function_id}")
    except RemoteError as error:
        if error.type != "function_not_found":
            raise
        return None
    return found


def _given(function: Record, current: Record, report: Report) -> dict[str, Any]:
    """Return the settings to give; those that the target lacks are problems."""
    own = {name: function[name] for name in MOVED if function.get(name) is not None}
    known = Abilities.of(current).settings
    both = ("buildSpecification", "runtimeSpecification")
    if known.issuperset(both):
        for name in both:
            own.setdefault(name, own.get("specification"))
        own.pop("specification", None)
    elif "runtimeSpecification" in own:
        own["specification"] = own.pop("runtimeSpecification")
        if own["buildSpecification"] == own["specification"]:
            del own["buildSpecification"]
    for name, value in own.items():
        if name not in known and value not in UNUSED:
            report.problems.append(f"{name} {value}: the target has no such setting")
    for name, value in function.items():
        if not (name.startswith("$") or name in {*SETTINGS, *STATE} or value in UNUSED):
            report.notes.append(f"{name} {value}: not known here, compare it at both sides")
    return {name: value for name, value in own.items() if name in known and value is not None}


def _give(sides: Sides, current: Record, given: dict[str, Any], report: Report) -> None:
    """Change the settings that differ; one that the target refuses is a problem."""
    while True:
        wanted = _merged(current, given)
        if all(wanted[name] == current.get(name) for name in wanted):
            report.settings = report.settings or "same"
            return
        try:
            sides.change("PUT", f"/functions/{current['$id']}", json=wanted)
        except RemoteError as error:
            refused = _REFUSED.search(str(error))
            if refused is None or given.pop(refused[1], None) is None:
                raise
            report.problems.append(f"{refused[1]}: {error}")
        else:
            report.settings = report.settings or "changed"
            return


def _merged(current: Record, given: Record) -> dict[str, Any]:
    """Return all settings of the target with those that are given."""
    merged = {name: current[name] for name in SETTINGS if current.get(name) is not None}
    if "buildSpecification" in merged:
        # It is the old name of both.
        merged.pop("specification", None)
    merged |= given
    if merged.get("schedule") or not (merged.get("interval") or current.get("interval")):
        # A server takes one of the two, and no interval of 0 where there was none.
        merged.pop("interval", None)
    elif merged.get("interval"):
        merged.pop("schedule", None)
    return merged
