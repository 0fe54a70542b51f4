"""Checks what works on this machine by trying it, not by version numbers."""

import asyncio
import dataclasses
import json
import math
import os
import platform
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from minifn import __version__
from minifn.builder import toolchains
from minifn.config import Config
from minifn.git.program import HOW_TO_GET, find_git
from minifn.host import memory_limit
from minifn.host.datadir import DataDir
from minifn.host.space import check_writes, forbids_execution
from minifn.languages import RuntimeTable
from minifn.languages.table import default_search_path
from minifn.sandbox.choose import choose
from minifn.sandbox.command import EngineUnavailable, Network, NetworkUnavailable
from minifn.sandbox.engines import Engine
from minifn.sandbox.protections import USE_HOST, Protection, protections
from minifn.sandbox.spawner import Spawner

State = Literal["ON", "DEGRADED", "OFF"]

#: Least limit of open files: each worker needs three.
OPEN_FILES_WANTED = 4096
#: Least limit of open files with which a server starts.
OPEN_FILES_MIN = 512
#: Least free bytes of the disk and of memory.
DISK_WANTED_BYTES = 1_000_000_000
MEMORY_WANTED_BYTES = 256 * 1024 * 1024
USE_AUTO = "MINIFN_SANDBOX=auto takes what works"


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of one check."""

    #: `sandbox`, `runtimes` or `machine`.
    group: str
    name: str
    state: State
    #: The finding, or the reason for a state other than ON.
    detail: str
    #: The command or step that fixes it, "" when it works.
    remedy: str = ""
    #: Whether `minifn serve` needs it.
    required: bool = False

    @property
    def fatal(self) -> bool:
        """Whether the server cannot work because of it."""
        return self.required and self.state == "OFF"


@dataclass(frozen=True, kw_only=True)
class Report:
    """All checks."""

    checks: tuple[Check, ...]
    #: The settings that were examined, as text.
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def works(self) -> bool:
        """Whether nothing required is missing."""
        return not any(check.fatal for check in self.checks)

    def as_json(self) -> str:
        """Return the report as JSON text."""
        checks = [{**dataclasses.asdict(check), "fatal": check.fatal} for check in self.checks]
        report = {
            "minifn": __version__,
            "works": self.works,
            "settings": dict(self.settings),
            "checks": checks,
        }
        return json.dumps(report, indent=2)


def examine(config: Config) -> Report:
    """Try everything that a server with these settings needs, and change nothing of its data."""
    try:
        sandbox = _sandbox_tried(config)
    except OSError as error:
        sandbox = [
            Check(
                group="sandbox",
                name="engine",
                state="OFF",
                detail=f"not tried: {error.strerror}",
                remedy="free space on the disk of temporary files, or set TMPDIR to another one",
                required=True,
            )
        ]
    table = RuntimeTable.load(search_path=default_search_path(config.runtime_paths))
    return Report(
        checks=(*sandbox, *check_runtimes(table), *_shared_files(config), *_machine(config)),
        settings={
            "data": str(config.data),
            "sandbox": config.sandbox,
            "network": config.network,
        },
    )


def examine_running(
    config: Config, engine: Engine, found: Sequence[Protection], table: RuntimeTable
) -> tuple[Check, ...]:
    """Return the checks of a server that runs with these parts. It blocks for a moment."""
    return (
        _engine(engine),
        *map(_protection, found),
        *check_runtimes(table),
        *_shared_files(config),
        *_machine(config),
    )


def _engine(engine: Engine) -> Check:
    return Check(
        group="sandbox",
        name="engine",
        state="ON",
        detail=f"{engine.name}: {engine.strength}",
        required=True,
    )


def _protection(one: Protection) -> Check:
    return Check(
        group="sandbox", name=one.name, state=one.state, detail=one.reason, remedy=one.remedy
    )


def _sandbox_tried(config: Config) -> list[Check]:
    """Try the engine in a data directory of its own. Raises OSError without one."""
    with tempfile.TemporaryDirectory(prefix="minifn-doctor-") as place:
        # Functions with their own uid must be able to pass through.
        Path(place).chmod(0o711)
        data = DataDir(Path(place) / "data")
        data.prepare()
        return asyncio.run(_sandbox(config.sandbox, data, Network(config.network)))


async def _sandbox(name: str, data: DataDir, network: Network) -> list[Check]:
    async with Spawner(data.run) as spawner:
        try:
            chosen = _engine(await choose(name, spawner, data, network))
        except EngineUnavailable as error:
            chosen = Check(
                group="sandbox",
                name="engine",
                state="OFF",
                detail=str(error),
                remedy=USE_HOST if isinstance(error, NetworkUnavailable) else USE_AUTO,
                required=True,
            )
        found = await protections(spawner, data, name, network)
    return [chosen, *map(_protection, found)]


def check_runtimes(table: RuntimeTable) -> list[Check]:
    """Check what this machine has for each family with a wrapper; it needs one of them."""
    found = {family: versions for family, versions in table.interpreters.items() if versions}
    checks = [
        Check(
            group="runtimes",
            name=family,
            state="ON",
            detail="\n".join(f"{one.version_text}  {one.path}" for one in versions),
        )
        for family, versions in found.items()
    ]
    for family in table.families():
        if family not in found:
            checks.append(
                Check(
                    group="runtimes",
                    name=family,
                    state="OFF",
                    detail="none found",
                    remedy=table.hint(family),
                    required=not found,
                )
            )
    return checks


def _shared_files(config: Config) -> list[Check]:
    """Check the files that all functions of a toolchain share, if any were made."""
    data = DataDir(config.data)
    found = [
        (record, toolchains.is_whole(data.toolchain(record["name"])))
        for record in toolchains.records(data)
    ]
    lines = [
        f"{record['runtime']} {record['version']}  {record['bytes'] / 10**6:.1f} MB"
        + ("" if whole else ", broken")
        for record, whole in found
    ]
    broken = not all(whole for _, whole in found)
    check = Check(
        group="runtimes",
        name="shared files",
        state="DEGRADED" if broken else "ON",
        detail="\n".join(lines),
        remedy="minifn doctor --drop-shared; the next build makes them again" if broken else "",
    )
    return [check] if found else []


def drop_shared(config: Config) -> int:
    """Remove the files that all functions of a toolchain share, and return how many toolchains.

    The next build or worker that needs them makes them again. Raises OSError.
    """
    data = DataDir(config.data)
    found = toolchains.records(data)
    for record in found:
        toolchains.drop(data, record["name"])
    return len(found)


def _machine(config: Config) -> list[Check]:
    memory = memory_limit.look()
    place = next(path for path in (config.data, *config.data.parents) if path.is_dir())
    disk_bytes = shutil.disk_usage(place).free
    python, system = platform.python_version(), platform.platform(terse=True)
    versions = f"{python}, SQLite {sqlite3.sqlite_version}, {system}"
    available = f"{memory.available_bytes // 2**20} MB available"
    limit = f"{memory.limit_bytes // 2**20} MB, the limit of {memory.source}"
    disk = f"{disk_bytes // 10**6} MB free at {place}"
    return [
        Check(group="machine", name="python", state="ON", detail=versions),
        _data_directory(config.data, place),
        _open_files(),
        _at_least(
            "memory",
            memory.available_bytes,
            MEMORY_WANTED_BYTES,
            f"{available} of {limit}",
            "stop something else, or raise the limit",
        ),
        _at_least("disk", disk_bytes, DISK_WANTED_BYTES, disk, "set MINIFN_DATA to a larger disk"),
        _git(),
    ]


def _open_files() -> Check:
    # The server raises its own limit to the hard one.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found = math.inf if hard == resource.RLIM_INFINITY else hard
    check = _at_least(
        "open files", found, OPEN_FILES_WANTED, f"{found:.0f}", f"ulimit -n {OPEN_FILES_WANTED}"
    )
    return dataclasses.replace(
        check, required=True, state="OFF" if found < OPEN_FILES_MIN else check.state
    )


def _git() -> Check:
    """Check git, which only deployments from repositories and pushes need."""
    program = find_git()
    if program is None:
        detail = "not found: no deployments from repositories, and no git push"
        return Check(group="machine", name="git", state="OFF", detail=detail, remedy=HOW_TO_GET)
    done = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=10, check=False
    )
    version = done.stdout.strip().removeprefix("git version ")
    return Check(group="machine", name="git", state="ON", detail=f"{version}  {program}")


def _data_directory(data: Path, existing: Path) -> Check:
    state: State = "ON"
    detail, remedy = str(data), ""
    if not os.access(existing, os.W_OK | os.X_OK):
        state, detail = "OFF", f"{data}: {existing} cannot be written"
        remedy = "set MINIFN_DATA to a directory you own"
    elif problem := _problem_of_writing(existing):
        state, detail = "OFF", f"{data}: {existing} cannot be written: {problem}"
        remedy = "free space there, or set MINIFN_DATA to another disk"
    elif forbids_execution(existing):
        state, detail = "DEGRADED", f"{data}: its file system is mounted noexec"
        remedy = "set MINIFN_DATA to another file system: compiled packages of functions do not run"
    elif existing == data and data.stat().st_mode & 0o066:
        state, remedy = "DEGRADED", f"chmod 700 {data}"
    return Check(
        group="machine",
        name="data directory",
        state=state,
        detail=detail,
        remedy=remedy,
        required=True,
    )


def _problem_of_writing(directory: Path) -> str:
    try:
        check_writes(directory)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _at_least(name: str, found: float, wanted: float, detail: str, remedy: str) -> Check:
    enough = found >= wanted
    return Check(
        group="machine",
        name=name,
        state="ON" if enough else "DEGRADED",
        detail=detail,
        remedy="" if enough else remedy,
    )
