"""The rows of a run: as a table, as JSON, and next to those of an earlier run."""

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from minifn import __version__


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement; `passed` is None without a promise."""

    what: str
    value: str
    target: str = ""
    passed: bool | None = None
    #: The numbers in `value` by name, which ends with the unit.
    figures: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, what: str, figures: Mapping[str, float]) -> Self:
        """Return a row without a promise that shows its figures."""
        value = "   ".join(shown(name, figure) for name, figure in figures.items())
        return cls(what=what, value=value, figures=figures)


def shown(name: str, figure: float) -> str:
    """Return a figure for the table; `cpu_us` is `cpu  35.0 us`."""
    name, _, unit = name.rpartition("_")
    return f"{name} {figure:8,.1f} {unit}"


def at_most(what: str, value: float, most: float, unit: str) -> Row:
    """Return a row whose value must not exceed `most`."""
    return Row(
        what=what,
        value=f"{value:,.1f} {unit}",
        target=f"< {most:g} {unit}",
        passed=value < most,
        figures={f"value_{unit}": value},
    )


def at_least(what: str, value: float, least: float, unit: str) -> Row:
    """Return a row whose value must reach `least`."""
    return Row(
        what=what,
        value=f"{value:,.1f} {unit}",
        target=f">= {least:,g} {unit}",
        passed=value >= least,
        figures={f"value_{unit}": value},
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


def write(path: Path, parts: Mapping[str, list[Row]]) -> None:
    """Write the figures of a run as JSON, with the machine's name and versions."""
    content = {
        "machine": f"{platform.node()}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "minifn": __version__,
        "parts": {
            name: {row.what: dict(row.figures) for row in rows if row.figures}
            for name, rows in parts.items()
        },
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def read(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures of a run by part and row."""
    parts: dict[str, dict[str, dict[str, float]]] = json.loads(path.read_text())["parts"]
    return parts


def compared(rows: Iterable[Row], earlier: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """Return the rows, each with its figures as multiples of the earlier ones."""
    return [_compared(row, earlier.get(row.what, {})) for row in rows]


def _compared(row: Row, earlier: Mapping[str, float]) -> Row:
    ratios = [
        f"{name.rpartition('_')[0]} {figure / earlier[name]:.2f}x"
        for name, figure in row.figures.items()
        if earlier.get(name)
    ]
    if not ratios:
        return row
    return replace(row, value=f"{row.value}   (earlier: {', '.join(ratios)})")
