"""`python -m tests.soak --minutes 10`: mixed load, with hostile functions beside a good one.

Told at the end, and a failure when missed: memory and descriptors of server and launcher are flat,
every execution and build comes to its end, the good function is nearly as quick as without the
others, the server's log stays small.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.crash.invariants import check_database, check_files
from tests.serving import FINAL_BUILD, FINAL_EXECUTION, FUNCTIONS, Api, Server, pack, wait_until

#: How much slower the good function's slowest hundredth may be than without other load.
SLOWDOWN_MAX = 3.0
#: Most growth between the second quarter of the time and the last.
GROWTH_SHARE, GROWTH_BYTES, GROWTH_DESCRIPTORS = 0.1, 16 * 1024 * 1024, 20
LOG_BYTES_PER_MINUTE = 1024 * 1024
#: Function -> path of its executions. Each has a way of its own to be a bad neighbour.
HOSTILE = {"never_returns": "/busy", "flood": "/", "crash": "/exit"}
GOOD, BUSY, BUILT = "hello", "mirror", "built"


@dataclass
class Sample:
    """Memory and descriptors of a process."""

    rss_bytes: int
    descriptors: int


def open_files(process: psutil.Process) -> int:
    """Return the number of descriptors of a process; 0 when only root may see them."""
    try:
        return process.num_fds()
    except psutil.AccessDenied:
        return 0


@dataclass
class Observed:
    """The results of a run: seconds of good executions without other load and with it."""

    quiet: list[float] = field(default_factory=list)
    loaded: list[float] = field(default_factory=list)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    log_bytes: int = 0
    minutes: float = 0

    @property
    def slowdown(self) -> float:
        """Return the factor by which the slowest hundredth of the good executions became slower."""
        return percentile(self.loaded) / percentile(self.quiet)

    def growth(self, name: str) -> tuple[int, int]:
        """Growth of a process, in bytes and descriptors, from the second quarter to the last."""
        samples = self.samples[name]
        quarter = max(1, len(samples) // 4)
        early, late = samples[quarter : 2 * quarter], samples[-quarter:]
        allowed = max(GROWTH_BYTES, int(GROWTH_SHARE * min(item.rss_bytes for item in early)))
        rss = min(item.rss_bytes for item in late) - min(item.rss_bytes for item in early)
        descriptors = min(item.descriptors for item in late) - min(
            item.descriptors for item in early
        )
        return max(0, rss - allowed), max(0, descriptors - GROWTH_DESCRIPTORS)

    def problems(self) -> list[str]:
        """The missed goals, except the slowdown, which needs an idle machine."""
        found = list(self.failures)
        for name in self.samples:
            rss, descriptors = self.growth(name)
            if rss or descriptors:
                found.append(
                    f"{name} grew by {rss:,} bytes and {descriptors} descriptors more than it may"
                )
        if self.log_bytes > LOG_BYTES_PER_MINUTE * max(1.0, self.minutes):
            found.append(f"the server's log has {self.log_bytes:,} bytes")
        return found

    def report(self) -> str:
        """Return the report as text."""
        lines = [f"{name:10} {count:7,}" for name, count in sorted(self.counts.items())]
        for name, samples in self.samples.items():
            first, last = samples[len(samples) // 4], samples[-1]
            lines.append(
                f"{name:10} {first.rss_bytes >> 20} -> {last.rss_bytes >> 20} MiB, "
                f"{first.descriptors} -> {last.descriptors} descriptors"
            )
        quiet, loaded = percentile(self.quiet) * 1000, percentile(self.loaded) * 1000
        lines.append(
            f"p99        {quiet:.1f} ms quiet, {loaded:.1f} ms loaded: {self.slowdown:.1f}x"
        )
        lines.append(f"log        {self.log_bytes:,} bytes in {self.minutes:.1f} minutes")
        return "\n".join(lines)


class Soak:
    """The load on one server."""

    def __init__(self, server: Server, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._over = threading.Event()
        self._code = pack(FUNCTIONS / GOOD)
        self.observed = Observed(minutes=seconds / 60)

    def run(self) -> Observed:
        """Prepare, measure without load, then with it, and wait until everything is over."""
        with self._server.api as api:
            self._prepare(api)
        # The good function's client is a process of its own: what is measured is not this one's
        # other threads.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as client:
            good = self._server.endpoint, self._server.key
            self.observed.quiet = client.submit(
                execute_steadily, *good, min(30.0, self._seconds / 4)
            ).result()
            loaded = client.submit(execute_steadily, *good, self._seconds)
            self._load()
            self.observed.loaded = loaded.result()
        self.observed.counts["sync"] = len(self.observed.loaded)
        with self._server.api as api:
            self._settle(api)
        self.observed.log_bytes = self._server.log.stat().st_size
        return self.observed

    def _load(self) -> None:
        """Run the other load until the time is over."""
        steps: dict[str, Callable[[Api], None]] = {
            "async": self._queue,
            "builds": self._build,
            "deletes": self._delete,
            **{name: self._hostile(name) for name in HOSTILE},
        }
        threads = [threading.Thread(target=self._repeat, args=item) for item in steps.items()]
        for thread in threads:
            thread.start()
        self._watch()
        for thread in threads:
            thread.join()

    def _prepare(self, api: Api) -> None:
        runtime = api.runtime("python")
        for name in (GOOD, BUSY, *HOSTILE):
            api.create(name, runtime, entrypoint="main.py", timeout=1 if name in HOSTILE else 15)
            api.deploy(name, pack(FUNCTIONS / name))
        api.create(BUILT, runtime, entrypoint="main.py", commands="date > built.txt")

    def _repeat(self, name: str, step: Callable[[Api], None]) -> None:
        with self._server.api as api:
            while not self._over.is_set():
                try:
                    step(api)
                except Exception as error:
                    self.observed.failures.append(f"{name}: {error}")
                    return
                self.observed.counts[name] = self.observed.counts.get(name, 0) + 1

    def _queue(self, api: Api) -> None:
        api.enqueue(BUSY, body="a request")
        self._over.wait(0.02)

    def _build(self, api: Api) -> None:
        deployment = api.upload(BUILT, self._code)["$id"]
        path = f"/functions/{BUILT}/deployments/{deployment}"
        self._over.wait(1.5)
        if self.observed.counts.get("builds", 0) % 4:
            api.call("DELETE", path, 204)

    def _delete(self, api: Api) -> None:
        rows = api.call("GET", f"/functions/{BUSY}/executions", 200)["executions"]
        for row in rows[-5:]:
            if row["status"] in FINAL_EXECUTION:
                api.call("DELETE", f"/functions/{BUSY}/executions/{row['$id']}", 204)
        self._over.wait(0.5)

    def _hostile(self, name: str) -> Callable[[Api], None]:
        def step(api: Api) -> None:
            answer = api.execute(name, path=HOSTILE[name])
            assert name == "flood" or answer["status"] == "failed", answer
            self._over.wait(1)

        return step

    def _watch(self) -> None:
        """Look at server and launcher until the time is over."""
        processes = {"server": psutil.Process(self._server.process.pid)}
        for child in processes["server"].children():
            processes["launcher"] = child
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            for name, process in processes.items():
                sample = Sample(process.memory_info().rss, open_files(process))
                self.observed.samples.setdefault(name, []).append(sample)
            self._over.wait(0.5)
        self._over.set()

    def _settle(self, api: Api) -> None:
        """Wait until everything has ended."""

        def unfinished() -> list[str]:
            running = [
                row["$id"]
                for function_id in (GOOD, BUSY, *HOSTILE)
                for status in ("waiting", "processing")
                for row in api.call(
                    "GET",
                    f"/functions/{function_id}/executions",
                    200,
                    params={
                        "queries[0]": json.dumps(
                            {"method": "equal", "attribute": "status", "values": [status]}
                        )
                    },
                )["executions"]
            ]
            builds = api.pages(f"/functions/{BUILT}/deployments", "deployments")
            return [*running, *(row["$id"] for row in builds if row["status"] not in FINAL_BUILD)]

        try:
            wait_until(lambda: not unfinished(), 60, "everything has ended")
        except AssertionError:
            self.observed.failures.append(f"stuck: {unfinished()}")


def execute_steadily(endpoint: str, key: str, seconds: float) -> list[float]:
    """Execute the good function for a time, and return the seconds of each execution."""
    took = []
    end = time.monotonic() + seconds
    with Api(endpoint, key) as api:
        while (began := time.monotonic()) < end:
            execution = api.execute(GOOD, body='{"name": "World"}')
            took.append(time.monotonic() - began)
            assert execution["status"] == "completed", execution
            # Steady, not as fast as possible: what is measured is the wait, not what client and
            # server share of a core.
            time.sleep(0.01)
    return took


def percentile(seconds: list[float], share: float = 0.99) -> float:
    """Return the time that a share of the values does not exceed."""
    return sorted(seconds)[int(share * (len(seconds) - 1))]


def soak(data: Path, seconds: float) -> Observed:
    """Load a separate server for a time, and check its data directory after its end."""
    server = Server(data)
    with server:
        observed = Soak(server, seconds).run()
        code = server.stop()
    if code:
        observed.failures.append(f"the server exited with {code}")
    check_database(data)
    check_files(data)
    return observed


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="minifn-soak-") as folder:
        Path(folder).chmod(0o711)
        observed = soak(Path(folder) / "data", minutes * 60)
    problems = observed.problems()
    if observed.slowdown > SLOWDOWN_MAX:
        problems.append(
            f"the good function became {observed.slowdown:.1f}x slower, more than {SLOWDOWN_MAX}x"
        )
    print(observed.report())
    for problem in problems:
        print(f"FAILED     {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
