"""The table that a run prints."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement; `passed` is None without a promise."""

    what: str
    value: str
    target: str = ""
    passed: bool | None = None


def at_most(what: str, value: float, most: float, unit: str) -> Row:
    """Return a row whose value must not exceed `most`."""
    return Row(
        what=what, value=f"{value:,.1f} {unit}", target=f"< {most:g} {unit}", passed=value < most
    )


def table(rows: Iterable[Row]) -> str:
    """Return the rows as aligned text, each with its verdict."""
    verdict = {None: "", True: "ok", False: "MISSED"}
    rows = list(rows)
    what = max(len(row.what) for row in rows)
    # A value without a target, such as a reason, may be longer.
    value = max((len(row.value) for row in rows if row.target), default=0)
    return "\n".join(
        f"{row.what:<{what}}  {row.value:<{value}}  {row.target:<12} {verdict[row.passed]}".rstrip()
        for row in rows
    )
