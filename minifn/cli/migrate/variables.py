"""The variables of a function. The values of secret ones come from elsewhere, or from nowhere."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from minifn.cli.migrate.sides import Abilities, Record, Report, Sides
from minifn.cli.remote import Remote, RemoteError


def move_variables(
    sides: Sides,
    rows: Iterable[Record],
    target: Record | None,
    values: Mapping[str, str],
    report: Report,
) -> None:
    """Create the source's variables, or change those that differ; others of the target stay.

    `values` are those of secret variables, as far as they are known. Raises RemoteError.
    """
    known = {row["key"]: row for row in listed(sides.target, target)} if target else {}
    for row in rows:
        try:
            _move(sides, row, known.get(row["key"]), target, values, report)
        except RemoteError as error:
            report.failed(f"variable {row['key']}", error)


def listed(remote: Remote, function: Record) -> Iterable[Record]:
    """Return the variables of a function. Raises RemoteError."""
    path = f"/functions/{function['$id']}/variables"
    if Abilities.of(function).since_1_9:
        return remote.pages(path, "variables", plain=True)
    rows: list[Record] = remote.call("GET", path)["variables"]
    return rows


def _move(
    sides: Sides,
    row: Record,
    there: Record | None,
    target: Record | None,
    values: Mapping[str, str],
    report: Report,
) -> None:
    key, secret = row["key"], bool(row.get("secret"))
    value = values.get(key) if secret else row["value"]
    if value is None:
        if there is None:
            report.problems.append(
                f"variable {key}: it is secret, and the source does not give out its value: set it"
                " by hand"
            )
        else:
            report.variables.same += 1
        return
    body = {"key": key, "value": value, **_extras(row, there, target, report)}
    path = f"/functions/{report.function_id}/variables"
    if there is None:
        if target and Abilities.of(target).since_1_9:
            body["variableId"] = "unique()"
        sides.change("POST", path, json=body)
        report.variables.new += 1
    elif _differs(row, there, body):
        sides.change("PUT", f"{path}/{there['$id']}", json=body)
        report.variables.changed += 1
    else:
        report.variables.same += 1


def _extras(
    row: Record, there: Record | None, target: Record | None, report: Report
) -> dict[str, Any]:
    """Return what newer versions have: whether a variable is secret, and its description."""
    if target is None:
        return {}
    extras: dict[str, Any] = {}
    secret = bool(row.get("secret"))
    if Abilities.of(target).since_1_7:
        # A secret variable stays one.
        if not (there and there.get("secret")):
            extras["secret"] = secret
    elif secret:
        report.problems.append(
            f"variable {row['key']}: the target has no secret variables, everyone with its key can"
            " read this one"
        )
    if row.get("description"):
        if "description" in Abilities.of(target).settings:
            extras["description"] = row["description"]
        else:
            report.problems.append(f"variable {row['key']}: the target has no descriptions")
    return extras


def _differs(row: Record, there: Record, body: Record) -> bool:
    """Tell whether a variable differs. A secret value is compared by its time of change."""
    if there.get("secret"):
        changed = datetime.fromisoformat(row["$updatedAt"])
        if changed > datetime.fromisoformat(there["$updatedAt"]):
            return True
    elif there["value"] != body["value"] or body.get("secret"):
        return True
    return bool("description" in body and body["description"] != there.get("description"))
