"""The targets of the languages, and the rows of their figures."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.benchmarks.report import Row

#: The family to which the ratios are.
BASE = "node"


@dataclass(frozen=True, kw_only=True)
class Promise:
    """The targets of a language; None for none. All but the memory are ratios to BASE."""

    #: Most time of a cold start.
    cold: float | None = None
    #: Least rate of answers.
    rate: float | None = None
    #: Most processor time of the workers a call.
    cpu: float | None = 1.6
    #: Memory of the workers that is too much, MB.
    pss_mb: float | None = None


PROMISES: Mapping[str, Promise] = {
    "bun": Promise(cold=1.1, rate=0.9, pss_mb=50),
    "deno": Promise(cold=2.4, rate=0.9, pss_mb=120),
    "php": Promise(cold=1.1, rate=0.65, pss_mb=60),
    "ruby": Promise(cold=1.1, rate=0.65, cpu=4.0, pss_mb=40),
    "go": Promise(cold=0.5, rate=0.9, pss_mb=15),
    "rust": Promise(cold=0.5, rate=0.9, pss_mb=15),
    "cpp": Promise(cold=0.5, rate=0.9, pss_mb=15),
    "java": Promise(cold=2.8, rate=0.9, pss_mb=160),
    "kotlin": Promise(cold=3.3, rate=0.9, pss_mb=160),
}
#: The targets of other languages.
OTHER = Promise(cpu=None)
#: Most processor time of an idle worker, percent of a core.
IDLE_PERCENT = 1.0
#: Most time of a second build, as a ratio to the bare compiler's.
BUILD_RATIO = 1.3


class Samples:
    """The figures of each family and quantity, and the reasons for those that are missing."""

    def __init__(self) -> None:
        self._found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        #: Family -> why it has no figures, of its own HTTP server and of its compiler.
        self.no_server: dict[str, str] = {}
        self.no_compiler: dict[str, str] = {}
        #: Family -> answers with a wrong status.
        self.wrong: defaultdict[str, int] = defaultdict(int)

    def add(self, family: str, quantity: str, value: float) -> None:
        """Keep one figure."""
        self._found[family, quantity].append(value)

    def median(self, family: str, quantity: str) -> float | None:
        """Return the median over the rounds, None without figures."""
        found = self._found.get((family, quantity))
        return statistics.median(found) if found else None

    def ratio(self, family: str, quantity: str) -> float | None:
        """Return the median as a ratio to that of BASE."""
        value, base = self.median(family, quantity), self.median(BASE, quantity)
        return value / base if value is not None and base else None


def listing(families: Sequence[str], samples: Samples) -> list[Row]:
    """Return the rows of the languages, quantity by quantity."""
    quantities = (cold_row, rate_row, cpu_row, pss_row, idle_row, build_row)
    return [row(family, samples) for row in quantities for family in families]


def cold_row(family: str, samples: Samples) -> Row:
    """Return the row of cold starts."""
    value = shown(samples.median(family, "cold"), "8.1f", "ms")
    ratio, most = samples.ratio(family, "cold"), PROMISES.get(family, OTHER).cold
    return compared(f"{family}: cold start", value, ratio, most=most)


def rate_row(family: str, samples: Samples) -> Row:
    """Return the row of the rate, with that of the language's own server."""
    own = samples.no_server.get(family) or shown(samples.median(family, "own"), "6,.0f", "/s")
    wrong = f"   {samples.wrong[family]} WRONG ANSWERS" if samples.wrong[family] else ""
    value = shown(samples.median(family, "rate"), "8,.0f", "/s")
    ratio, least = samples.ratio(family, "rate"), PROMISES.get(family, OTHER).rate
    row = compared(f"{family}: rate at 64 connections", value, ratio, least=least)
    value = f"{row.value}   own server {own}{wrong}"
    return replace(row, value=value, passed=False if wrong else row.passed)


def cpu_row(family: str, samples: Samples) -> Row:
    """Return the row of the workers' processor time."""
    value = shown(samples.median(family, "cpu"), "8.0f", "us")
    ratio, most = samples.ratio(family, "cpu"), PROMISES.get(family, OTHER).cpu
    return compared(f"{family}: workers' processor time a call", value, ratio, most=most)


def pss_row(family: str, samples: Samples) -> Row:
    """Return the row of the workers' memory."""
    pss, most = samples.median(family, "pss"), PROMISES.get(family, OTHER).pss_mb
    value = shown(pss, "8.1f", "MB")
    if pss is not None:
        value += f"   in {samples.median(family, 'workers'):.0f} processes"
    what = f"{family}: workers' memory (PSS)"
    if pss is None or most is None:
        return Row(what=what, value=value)
    return Row(what=what, value=value, target=f"< {most:g} MB", passed=pss < most)


def idle_row(family: str, samples: Samples) -> Row:
    """Return the row of the processor time without calls."""
    idle = samples.median(family, "idle")
    passed = None if idle is None else idle <= IDLE_PERCENT
    what, value = f"{family}: processor time of an idle worker", shown(idle, "8.1f", "%")
    return Row(what=what, value=value, target=f"<= {IDLE_PERCENT:g} %", passed=passed)


def build_row(family: str, samples: Samples) -> Row:
    """Return the row of later builds, with the language's compiler."""
    build, compiler = samples.median(family, "build"), samples.median(family, "compiler")
    value, what = shown(build, "8.2f", "s"), f"{family}: second build"
    if compiler is None or build is None:
        reason = samples.no_compiler.get(family)
        return Row(what=what, value=f"{value}   compiler {reason}" if reason else value)
    row = compared(what, value, build / compiler, most=BUILD_RATIO, other="compiler")
    return replace(row, value=f"{row.value}   compiler {compiler:.2f} s")


def shown(value: float | None, form: str, unit: str) -> str:
    """Return a figure with its unit."""
    return "not readable" if value is None else f"{value:{form}} {unit}".replace(" /s", "/s")


def compared(
    what: str,
    value: str,
    ratio: float | None,
    *,
    most: float | None = None,
    least: float | None = None,
    other: str = BASE,
) -> Row:
    """Return a row with a ratio to `other`, which must lie between `least` and `most`."""
    if ratio is None:
        return Row(what=what, value=value)
    told = f"{value}   {ratio:5.2f}x {other}"
    if most is not None:
        return Row(what=what, value=told, target=f"<= {most:g}x", passed=ratio <= most)
    if least is not None:
        return Row(what=what, value=told, target=f">= {least:g}x", passed=ratio >= least)
    return Row(what=what, value=told)
