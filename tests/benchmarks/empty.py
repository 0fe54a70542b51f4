"""Empty programs, whose time is the machine's: cold starts are shown as multiples of theirs."""

import statistics
import subprocess
import time
from collections.abc import Sequence
from shutil import which

from tests.benchmarks.report import Row


def starts(program: str, arguments: Sequence[str], count: int) -> list[float]:
    """Return the milliseconds that runs of a program take; none when it is not installed."""
    path = which(program)
    times = []
    for _ in range(count if path else 0):
        began = time.perf_counter()
        subprocess.run([path or "", *arguments], check=True)
        times.append(1000 * (time.perf_counter() - began))
    return times


def as_multiple(
    what: str, ms: float, empty: Sequence[float], name: str = "an empty program"
) -> Row:
    """Return a row that compares milliseconds with the median of those of an empty program."""
    middle = statistics.median(empty)
    figures = {"empty_ms": middle, "ratio_x": ms / middle}
    return Row.of(f"{what}, beside {name}", figures)
