"""Chooses an engine by trying it on this machine: versions and configuration files mislead.

engine = await choose("auto", spawner, data)
"""

import os
import platform
import shutil
import sys
from pathlib import Path

from minifn.config import ENGINES
from minifn.host.datadir import DataDir

from . import seccomp
from .command import Command, EngineUnavailable, Limits, Network, NetworkUnavailable, SandboxError
from .engines import Engine
from .engines.argv import Programs
from .engines.bwrap import BwrapEngine
from .engines.none import NoEngine
from .engines.process import ProcessEngine
from .engines.sandlock import SandlockEngine, find_package
from .launcher.confine import landlock_version
from .programs import (
    SEARCH_PATH,
    find_bwrap,
    find_pasta,
    find_programs,
    host_layout,
    readable_paths,
)
from .spawner import Output, Spawner, run

#: Seconds after which a probe has failed.
PROBE_SECONDS = 5.0
#: A uid below those of functions.
PROBE_UID = 20_000
#: Engines that "auto" tries, the strongest first.
AUTOMATIC = tuple(name for name in ENGINES if name != "none")
#: A probe that writes to its private directory.
WRITES = ("/bin/sh", "-c", 'cd "$TMPDIR" && : >probe')
#: The program that others start as the shell, whichever shell builds use.
SHELL = "/bin/sh"
#: A script that forks while its children end. Under sandlock a signal breaks a fork or close that
#: waits for the supervisor, unless its handler restarts system calls (multikernel/sandlock#235).
#: bash and Node.js handle SIGCHLD that way and Python does not handle it. dash does otherwise: in
#: this trial it says "Cannot fork" or hangs, within milliseconds.
SANDLOCK_TRIAL = "for i in $(seq 150); do : | : | : | : | : | :; done"


async def choose(
    name: str, spawner: Spawner, data: DataDir | None = None, network: Network = Network.HOST
) -> Engine:
    """Return the engine called `name`, or for "auto" the strongest that runs.

    An engine chosen by name is never replaced by a weaker one, nor `network` by one that reaches
    more. With the process engine and a server that is root, the uids of functions may pass through
    to the builds in `data`. Raises EngineUnavailable.
    """
    if name == "none":
        return await _confining(NoEngine(), spawner, network)
    failures = []
    kind = EngineUnavailable
    for candidate in AUTOMATIC if name == "auto" else (name,):
        try:
            return await _confining(await _try(candidate, spawner, data, network), spawner, network)
        except EngineUnavailable as error:
            failures.append(f"{candidate}: {error}")
            kind = NetworkUnavailable if isinstance(error, NetworkUnavailable) else kind
    raise kind("; ".join(failures))


async def _try(name: str, spawner: Spawner, data: DataDir | None, network: Network) -> Engine:
    if name == "bwrap":
        return await try_bwrap(spawner, find_pasta() if network is Network.ISOLATED else "")
    if name == "sandlock":
        return await try_sandlock(spawner, data)
    if name == "process":
        return await try_process(spawner, data)
    raise EngineUnavailable(f"there is no engine {name!r} on this machine")


async def _confining(engine: Engine, spawner: Spawner, network: Network) -> Engine:
    """Return `engine` after a command with only `network` has run. Raises EngineUnavailable."""
    if network is not Network.HOST:
        output = await probe(spawner, engine, "/bin/cat", "/proc/net/dev", network=network)
        links = {line.partition(":")[0].strip() for line in output.text.splitlines() if ":" in line}
        if not output.ok or (links == {"lo"}) is not (network is Network.NONE):
            raise NetworkUnavailable(
                f"MINIFN_NETWORK={network.value} does not work here: {_failure(output)}"
            )
    return engine


async def try_bwrap(spawner: Spawner, pasta: str = "") -> BwrapEngine:
    """Return a bwrap engine that has just run a sandbox. Raises EngineUnavailable."""
    bwrap = find_bwrap()
    if not bwrap:
        raise EngineUnavailable(
            "bubblewrap is not installed (apt install bubblewrap, or pip install minifn[sandbox])"
        )
    root = os.geteuid() == 0
    programs = _programs(setpriv=root)
    reason = ""
    for nested in (True, False):
        engine = BwrapEngine(
            bwrap=bwrap,
            programs=programs,
            layout=host_layout(Path("/")),
            seccomp=seccomp.program(platform.machine()),
            uid=os.geteuid(),
            nested=nested,
            pasta=pasta,
            closed=spawner.closed,
        )
        output = await probe(spawner, engine, "/bin/true")
        if output.ok:
            return engine
        reason = _failure(output)
    raise EngineUnavailable(f"bwrap does not run here: {reason}")


async def try_sandlock(spawner: Spawner, data: DataDir | None) -> SandlockEngine:
    """Return a sandlock engine that has just run a command. Raises EngineUnavailable."""
    package = find_package()
    programs = _programs(setpriv=True)
    root = os.geteuid() == 0
    if root:
        open_ways(spawner, data)
    reasons = []
    # The server's own Python may lie where the uids of functions cannot reach it.
    system_python = shutil.which("python3", path=SEARCH_PATH) or sys.executable
    for python in dict.fromkeys((sys.executable, system_python)):
        engine = SandlockEngine(
            programs=programs,
            root=root,
            python=python,
            package=package,
            readable=readable_paths(),
        )
        output = await probe(spawner, engine, *WRITES)
        if output.ok:
            if not (await probe(spawner, engine, SHELL, "-c", SANDLOCK_TRIAL)).ok:
                raise EngineUnavailable(
                    f"under this release of sandlock {SHELL} loses forks (#235) "
                    "unless it is bash (ln -sf bash /bin/sh)"
                )
            return engine
        reasons.append(f"with {python}: {_failure(output)}")
    raise EngineUnavailable(f"sandlock does not run here: {', '.join(reasons)}")


async def try_process(spawner: Spawner, data: DataDir | None) -> ProcessEngine:
    """Return a process engine that has just run a command. Raises EngineUnavailable."""
    programs = find_programs()
    root = os.geteuid() == 0
    if root:
        if not programs.setpriv:
            raise EngineUnavailable(
                "running as root, which needs setpriv of util-linux (apt install util-linux)"
            )
        open_ways(spawner, data)
    landlock = landlock_version()
    filters = sys.platform == "linux"
    engine = ProcessEngine(
        programs=programs,
        root=root,
        private_root=data.builds if data else None,
        readable=readable_paths(),
        landlock=landlock > 0,
        seccomp=seccomp.process_program(platform.machine(), own_uid=root, landlock=landlock)
        if filters
        else b"",
    )
    output = await probe(spawner, engine, *WRITES)
    if not output.ok:
        hint = f"; every directory above {spawner.run_dir} must let others pass (mode 0711)"
        raise EngineUnavailable(
            f"a confined process does not run here: {last_line(output.text)}{hint if root else ''}"
        )
    return engine


def _programs(*, setpriv: bool) -> Programs:
    """Return the programs of util-linux, `setpriv` among them. Raises EngineUnavailable."""
    programs = find_programs()
    if not programs.prlimit or (setpriv and not programs.setpriv):
        raise EngineUnavailable(
            "setpriv and prlimit of util-linux are missing (apt install util-linux)"
        )
    return programs


def open_ways(spawner: Spawner, data: DataDir | None) -> None:
    """Let the uids of functions pass to their code and temporary directory, but list nothing.

    Everything beside these stays 0700 or 0600.
    """
    inside = data.ways if data else ()
    for path in (*inside, spawner.run_dir, spawner.tmp_dir):
        path.chmod(0o711)


async def probe(
    spawner: Spawner, engine: Engine, *argv: str, network: Network = Network.HOST
) -> Output:
    """Run a short command under an engine; its environment names a server's file and the server.

    Raises EngineUnavailable.
    """
    command = Command(
        argv=argv,
        env={
            "PATH": SEARCH_PATH,
            "PROBE": str(spawner.run_dir / "lock"),
            "SERVER": str(os.getpid()),
        },
        limits=Limits(memory_bytes=256 * 2**20, processes=64, open_files=64, cpu_seconds=5),
        uid=PROBE_UID,
        network=network,
        label=f"{engine.name} probe",
    )
    try:
        return await run(spawner, engine.wrap(command), timeout_seconds=PROBE_SECONDS)
    except SandboxError as error:
        raise EngineUnavailable(str(error)) from error


def _failure(output: Output) -> str:
    """Return why a probe failed."""
    return output.exit.reason or last_line(output.text) or f"exit {output.exit.code}"


def last_line(text: str) -> str:
    """Return the last line that is not blank."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
