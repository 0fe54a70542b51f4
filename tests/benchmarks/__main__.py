"""Measure minifn and print a table: `python -m tests.benchmarks [PART ...]`.

The exit code is 1 when a target was missed. The benchmarks need the tests' packages and the peer
functions-framework: `pip install -e '.[benchmarks]'`.

`rates` visits minifn and its peers in turn, with wrk as the load generator and Node.js's peers from
npm where these are there. `parts` shows where the time of an execution goes. `languages` compares
the hello of each language with that of Node.js in the same run: cold start, rate, processor time
and memory of the workers, builds. Beside them are the rate of the language's own HTTP server
(`tests/benchmarks/peers/languages/`), outside any sandbox, and the time of its compiler for the
same file. `dev` compares `minifn dev` with `functions-framework --debug` and `wrangler dev`, as far
as these are on PATH. `lists` reads pages of a long list through the API, and `pages` reads every
filter, order and cursor of it in the store. `cluster` compares calls on the nodes of a Ray cluster
with those of a server alone, and four nodes with one; it needs the extra `ray`. `--compare` shows
figures as multiples of those of an earlier run.
"""

import argparse
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import (
    cluster,
    dev,
    languages,
    pages,
    parts as parts_of_call,
    rates,
    records,
    startup,
    targets,
    templates,
)
from tests.benchmarks.report import Row, compared, read, table, write
from tests.serving import Server


def main() -> int:
    """Run the given parts and print the table of each when it is done."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="rates, parts, server, cold, templates, queue, lists, pages, languages, dev, cluster;"
        " all by default",
    )
    parser.add_argument("--seconds", type=float, default=2, help="length of one load")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds over the targets")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="executions in the list measurement"
    )
    parser.add_argument("--sandbox", default="auto", help="isolation engine")
    parser.add_argument(
        "--families",
        default="",
        help="families to measure besides node, such as php,go; all that the machine can run by"
        " default",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="an earlier --json file")
    options = parser.parse_args()
    parts: dict[str, Callable[[Path], list[Row]]] = {
        "rates": lambda data: measure_rates(data, options),
        "parts": lambda data: parts_of_call.measure(
            data, options.sandbox, options.seconds, options.rounds
        ),
        "server": lambda data: startup.measure_server(data, options.sandbox),
        "cold": lambda data: startup.measure_cold(data, options.sandbox),
        "templates": lambda data: templates.measure(data, options.sandbox, options.rounds),
        "queue": lambda data: records.measure_queue(data, options.sandbox),
        "lists": lambda data: records.measure_lists(data, options.rows),
        "pages": lambda data: pages.measure(data, options.rows),
        "languages": lambda data: languages.measure(
            data,
            options.sandbox,
            options.seconds,
            options.rounds,
            [one for one in options.families.split(",") if one],
        ),
        "dev": lambda data: dev.measure(data, options.sandbox, options.rounds),
        "cluster": lambda data: cluster.measure(
            data, options.sandbox, options.seconds, options.rounds
        ),
    }
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    chosen = options.parts or list(parts)
    if "rates" in chosen and (problem := targets.lacking()):
        parser.error(problem)
    print(
        f"Python {platform.python_version()}, {platform.system()} {platform.release()},"
        f" sandbox {options.sandbox}"
    )
    earlier = read(options.compare) if options.compare else {}
    done: dict[str, list[Row]] = {}
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            done[name] = parts[name](Path(folder) / "data")
        rows = compared(done[name], earlier.get(name, {}))
        print(f"\n{name}\n{table(rows)}", flush=True)
        if options.json:
            write(options.json, done)
    missed = sum(row.passed is False for rows in done.values() for row in rows)
    print(f"\n{missed} targets missed")
    return 1 if missed else 0


def measure_rates(data: Path, options: argparse.Namespace) -> list[Row]:
    """Measure new servers against the peers."""
    unflushed = Server(data.with_name("unflushed"), sandbox=options.sandbox, durability="crash")
    with Server(data, sandbox=options.sandbox) as server, unflushed:
        return rates.measure(server, unflushed, options.seconds, options.rounds)


if __name__ == "__main__":
    sys.exit(main())
