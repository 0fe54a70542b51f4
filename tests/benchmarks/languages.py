"""Every language of the machine against Node.js of the same run, and against its own HTTP server.

The measured function is each family's starter, called by the API at the path that answers `Pong`.
All languages are visited in each round. The figures are medians over the rounds.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from minifn.host.datadir import DataDir
from minifn.languages import Installed, RuntimeTable, RuntimeUnavailable
from tests.benchmarks import bare
from tests.benchmarks.language_rows import BASE, Samples, listing
from tests.benchmarks.rates import Rate, load
from tests.benchmarks.report import Row
from tests.benchmarks.targets import Target, execution_target, peer
from tests.serving import FINAL_BUILD, Api, Server, mentions, pack, wait_until

CONNECTIONS = 64
#: Length of the load before the first round, seconds.
WARM_SECONDS = 1.0
#: Length of the measurement without calls, seconds.
IDLE_SECONDS = 5.0
#: Deadline of a build, seconds: a first one of a compiled language makes the machine's caches.
BUILD_SECONDS = 300
#: Specification of builds, with the processors of the machine that the figures are about.
BUILD_SPECIFICATION = "s-2vcpu-2gb"
#: Files of starters that list no dependency, for which a build would run a package manager.
EMPTY_LISTS = ("requirements.txt", "Gemfile")
MEGABYTE = 1_000_000
#: CPUCLOCK_SCHED of the kernel's posix-timers.h.
PROCESS_CLOCK = 2


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The measured function of one family."""

    family: str
    installed: Installed
    entrypoint: str
    files: Mapping[str, bytes]

    @property
    def request(self) -> dict[str, object]:
        """The fields of its execution."""
        return {"path": "/" if self.family == "static" else "/ping", "method": "GET"}

    def changed(self, number: int) -> dict[str, bytes]:
        """Return its files with a program that differs for each number.

        A new line alone would not do: Go links nothing when the compiled package is the same.
        """
        entry = self.files[self.entrypoint].replace(b"It works.", f"It works {number}.".encode())
        assert entry != self.files[self.entrypoint]
        return {**self.files, self.entrypoint: entry}


def measure(
    data: Path, engine: str, seconds: float, rounds: int, families: Collection[str] = ()
) -> list[Row]:
    """Measure the families of the machine, or BASE and the given ones."""
    hellos, rows = find(families)
    if not hellos or hellos[0].family != BASE:
        return [Row(what="languages", value=f"not measured: all ratios are to {BASE}"), *rows]
    paths = os.environ.get("MINIFN_RUNTIME_PATHS", "")
    samples = Samples()
    with Server(data, sandbox=engine, runtime_paths=paths, idle_seconds=600) as server:
        deployments = measure_builds(server, hellos, rounds, samples)
        measure_rates(server, hellos, deployments, seconds, rounds, samples)
        measure_idle(server, hellos, deployments, samples)
    with Server(data, sandbox=engine, runtime_paths=paths, idle_seconds=1) as server:
        measure_cold(server, hellos, 2 * rounds + 1, samples)
    return [*listing([hello.family for hello in hellos], samples), *rows]


def find(families: Collection[str]) -> tuple[list[Hello], list[Row]]:
    """Return the functions to measure, BASE first, and a row for each family that cannot run.

    `families` restricts them; empty means all.
    """
    table = RuntimeTable.load()
    starters = table.starters()
    hellos = []
    rows = [
        Row(what=family, value="not measured: there is no such family")
        for family in families
        if family not in starters
    ]
    for family, (starter, folder) in sorted(starters.items(), key=lambda item: item[0] != BASE):
        if families and family not in {BASE, *families}:
            continue
        runtimes = [one.id for one in table.runnable() if one.key == family]
        known = [one.id for one in table.all() if one.key == family]
        try:
            installed = table.resolve((runtimes or known)[-1])
        except RuntimeUnavailable as exc:
            rows.append(Row(what=family, value=f"not measured: {exc}"))
            continue
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in EMPTY_LISTS
        }
        hellos.append(
            Hello(family=family, installed=installed, entrypoint=starter.entrypoint, files=files)
        )
    return hellos, rows


def measure_builds(
    server: Server, hellos: list[Hello], rounds: int, samples: Samples
) -> dict[str, str]:
    """Time later builds of each function, and its compiler; return family -> last deployment.

    The first build and the compiler's first run fill caches, and are not counted. Builds get as
    many processors as the compiler has.
    """
    deployments = {}
    with server.api as api, tempfile.TemporaryDirectory() as folder:
        for hello in hellos:
            settings = {
                "execute": ["any"],
                "entrypoint": hello.entrypoint,
                "buildSpecification": BUILD_SPECIFICATION,
            }
            api.create(hello.family, hello.installed.runtime.id, **settings)
        for number in range(rounds + 1):
            for hello in hellos:
                deployments[hello.family], build = timed_build(api, hello, number)
                compiler = timed_compiler(server, hello, Path(folder), number, samples)
                if number:
                    samples.add(hello.family, "build", build)
                if number and compiler is not None:
                    samples.add(hello.family, "compiler", compiler)
        for hello in hellos:
            execution = api.execute(hello.family, **hello.request)
            assert execution["responseStatusCode"] == 200, execution
    return deployments


def timed_build(api: Api, hello: Hello, number: int) -> tuple[str, float]:
    """Return a new deployment, and the seconds from its upload to its being ready."""
    code = pack(extra=hello.changed(number))
    began = time.perf_counter()
    deployment_id = api.upload(hello.family, code)["$id"]
    path = f"/functions/{hello.family}/deployments/{deployment_id}"
    while (deployment := api.call("GET", path, 200))["status"] not in FINAL_BUILD:
        assert time.perf_counter() - began < BUILD_SECONDS, f"build of {hello.family}"
        time.sleep(0.01)
    assert deployment["status"] == "ready", deployment["buildLogs"]
    return str(deployment_id), time.perf_counter() - began


def timed_compiler(
    server: Server, hello: Hello, folder: Path, number: int, samples: Samples
) -> float | None:
    """Return the seconds of a language's compiler for the same file, None where there is none."""
    code = folder / f"{hello.family}-{number}"
    for name, content in hello.changed(number).items():
        path = code / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    shared = DataDir(server.data).toolchain(hello.installed.cache_name)
    began = time.perf_counter()
    try:
        compiled = bare.compile_handler(hello.installed, code, hello.entrypoint, shared)
    except bare.BareFailed as exc:
        samples.no_compiler[hello.family] = str(exc)
        return None
    return time.perf_counter() - began if compiled else None


def measure_rates(
    server: Server,
    hellos: list[Hello],
    deployments: Mapping[str, str],
    seconds: float,
    rounds: int,
    samples: Samples,
) -> None:
    """Load each function and each language's own HTTP server in turn."""
    targets = {
        hello.family: execution_target(server, hello.family, fields=hello.request)
        for hello in hellos
    }
    with bare_servers(hellos, samples) as peers:
        for target in (*targets.values(), *peers.values()):
            load(target, CONNECTIONS, WARM_SECONDS)
        for _ in range(rounds):
            for family, target in targets.items():
                before = processor_seconds(workers(server, deployments[family]))
                rate = load(target, CONNECTIONS, seconds)
                found = workers(server, deployments[family])
                spent = spent_since(before, found)
                take(samples, family, rate, spent, found)
                if family in peers:
                    own = load(peers[family], CONNECTIONS, seconds)
                    samples.add(family, "own", own.per_second)
                    samples.wrong[family] += sum(own.errors.values())


def take(
    samples: Samples,
    family: str,
    rate: Rate,
    spent: Mapping[int, float],
    found: list[psutil.Process],
) -> None:
    """Keep the figures of one load: `spent` is the processor time of the workers `found`."""
    samples.add(family, "rate", rate.per_second)
    samples.wrong[family] += sum(rate.errors.values())
    samples.add(family, "workers", len(found))
    samples.add(family, "cpu", 1e6 * sum(spent.values()) / rate.requests)
    # Linux tells it only to the owner of a process, and to root.
    with contextlib.suppress(psutil.AccessDenied):
        samples.add(family, "pss", sum(one.memory_full_info().pss for one in found) / MEGABYTE)


@contextlib.contextmanager
def bare_servers(hellos: list[Hello], samples: Samples) -> Iterator[dict[str, Target]]:
    """Run the HTTP servers of the languages; one that does not run leaves its reason."""
    peers = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for hello in hellos:
            family = hello.family
            site = hello.installed.wrapper / "starter" / Path(hello.entrypoint).parent
            try:
                argv = bare.server(hello.installed, folder, site)
                # PHP's closes each connection.
                running = peer(f"{family} alone", argv, method="GET", closes=family == "php")
                peers[family] = stack.enter_context(running)
            except (bare.BareFailed, AssertionError, OSError) as exc:
                samples.no_server[family] = str(exc)
        yield peers


def measure_idle(
    server: Server, hellos: list[Hello], deployments: Mapping[str, str], samples: Samples
) -> None:
    """Measure the processor time of the workers while there are no calls."""
    with server.api as api:
        for hello in hellos:
            api.execute(hello.family, **hello.request)
    found = {hello.family: workers(server, deployments[hello.family]) for hello in hellos}
    before = {family: processor_seconds(processes) for family, processes in found.items()}
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > IDLE_SECONDS, 2 * IDLE_SECONDS, "idle seconds")
    elapsed = time.monotonic() - began
    for family, processes in found.items():
        spent = spent_since(before[family], processes)
        samples.add(family, "idle", 100 * max(spent.values(), default=0.0) / elapsed)


def measure_cold(server: Server, hellos: list[Hello], rounds: int, samples: Samples) -> None:
    """Time the first call of each function, without a worker of any function."""
    with server.api as api:
        for _ in range(rounds):
            for hello in hellos:
                wait_until(lambda: not server.workers(), 30, "idle workers are stopped")
                began = time.perf_counter()
                api.execute(hello.family, **hello.request)
                samples.add(hello.family, "cold", 1000 * (time.perf_counter() - began))


def workers(server: Server, deployment_id: str) -> list[psutil.Process]:
    """Return the processes of a deployment's workers."""
    return [one for one in server.tree()[1:] if mentions(one.pid, deployment_id)]


def processor_seconds(processes: list[psutil.Process]) -> dict[int, float]:
    """Return pid -> processor seconds of all threads, of those that still run."""
    spent = {}
    for one in processes:
        # Linux's name of a process's clock, which has no ticks, unlike the times in /proc.
        with contextlib.suppress(OSError):
            spent[one.pid] = time.clock_gettime(~one.pid << 3 | PROCESS_CLOCK)
    return spent


def spent_since(before: Mapping[int, float], processes: list[psutil.Process]) -> dict[int, float]:
    """Return pid -> seconds since `before`; all of a process that was not there."""
    now = processor_seconds(processes)
    return {pid: seconds - before.get(pid, 0.0) for pid, seconds in now.items()}
