"""Finds out what this machine can confine, by trying it: versions and configuration files lie.

engine = await choose("auto", spawner, data)
"""

import logging
import os
import platform
import shutil
import sys
from pathlib import Path

from minifn.datadir import DataDir

from . import seccomp
from .command import Command, EngineUnavailable, Limits, SandboxError, Wrapped
from .engines import BwrapEngine, Engine, Layout, NoEngine, ProcessEngine, Programs
from .spawner import Output, Spawner, run

logger = logging.getLogger("minifn.sandbox")

#: A probe that takes longer than this has failed.
PROBE_SECONDS = 10.0
#: A uid that no function has: they begin one above.
PROBE_UID = 20_000
#: Strongest first.
AUTOMATIC = ("bwrap", "process")
SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
ETC = (
    *("/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/crypto-policies"),
    *("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/localtime", "/etc/services", "/etc/protocols"),
    *("/etc/gai.conf", "/etc/mime.types"),
)


async def choose(name: str, spawner: Spawner, data: DataDir) -> Engine:
    """Return the engine called `name`, or for "auto" the strongest that runs. Raises EngineUnavailable."""
    if name == "none":
        return NoEngine()
    failures = []
    for candidate in AUTOMATIC if name == "auto" else (name,):
        try:
            return await _try(candidate, spawner, data)
        except EngineUnavailable as error:
            failures.append(f"{candidate}: {error}")
    raise EngineUnavailable("; ".join(failures))


async def _try(name: str, spawner: Spawner, data: DataDir) -> Engine:
    if name == "bwrap":
        return await try_bwrap(spawner)
    if name == "process":
        return await try_process(spawner, data)
    raise EngineUnavailable(f"there is no engine {name!r} on this machine")


async def try_bwrap(spawner: Spawner) -> BwrapEngine:
    """Return a bwrap engine that has just run a sandbox. Raises EngineUnavailable with the reason."""
    bwrap = find_bwrap()
    if not bwrap:
        raise EngineUnavailable("bubblewrap is not installed (apt install bubblewrap, or pip install minifn[sandbox])")
    programs = find_programs()
    root = os.geteuid() == 0
    if not programs.prlimit or (root and not programs.setpriv):
        raise EngineUnavailable("setpriv and prlimit of util-linux are missing (apt install util-linux)")
    reason = ""
    for nested in (True, False):
        engine = BwrapEngine(
            bwrap=bwrap,
            programs=programs,
            layout=host_layout(Path("/")),
            seccomp=seccomp.program(platform.machine()),
            uid=os.geteuid(),
            nested=nested,
        )
        output = await _probe(spawner, engine, "/bin/true")
        if output.ok:
            return engine
        reason = output.exit.reason or last_line(output.text) or f"exit {output.exit.code}"
    raise EngineUnavailable(f"bwrap does not run here: {reason}")


async def try_process(spawner: Spawner, data: DataDir) -> ProcessEngine:
    """Return a process engine that has just run something. Raises EngineUnavailable with the reason."""
    programs = find_programs()
    root = os.geteuid() == 0
    if root:
        if not programs.setpriv:
            raise EngineUnavailable("running as root, which needs setpriv of util-linux (apt install util-linux)")
        open_ways(data)
    engine = ProcessEngine(programs=programs, root=root, private_root=data.builds)
    output = await _probe(spawner, engine, "/bin/sh", "-c", 'cd "$TMPDIR" && : >probe')
    if not output.ok:
        hint = f"; every directory above {data.root} must let others pass (mode 0711)" if root else ""
        raise EngineUnavailable(f"a confined process does not run here: {last_line(output.text)}{hint}")
    return engine


def open_ways(data: DataDir) -> None:
    """Let the uids of functions pass through the data directory to their own code, without letting them list it.

    Everything else in it stays 0700 or 0600.
    """
    for path in (data.root, data.builds, data.run, data.run / "tmp"):
        path.mkdir(mode=0o711, parents=True, exist_ok=True)
        path.chmod(0o711)


async def _probe(spawner: Spawner, engine: Engine, *argv: str) -> Output:
    command = Command(
        argv=argv,
        env={"PATH": SEARCH_PATH},
        limits=Limits(memory_bytes=256 * 2**20, processes=64, open_files=64, cpu_seconds=5),
        uid=PROBE_UID,
        label=f"{engine.name} probe",
    )
    try:
        wrapped: Wrapped = engine.wrap(command)
        return await run(spawner, wrapped, timeout_seconds=PROBE_SECONDS)
    except SandboxError as error:
        raise EngineUnavailable(str(error)) from error


def find_programs() -> Programs:
    """Return where setpriv and prlimit are."""
    return Programs(
        setpriv=shutil.which("setpriv", path=SEARCH_PATH) or "", prlimit=shutil.which("prlimit", path=SEARCH_PATH) or ""
    )


def find_bwrap() -> str:
    """Return the system's bwrap, else the one installed beside this Python, "" for none."""
    return shutil.which("bwrap", path=f"{SEARCH_PATH}:{Path(sys.executable).parent}") or ""


def host_layout(root: Path) -> Layout:
    """Return what of a host a sandbox shows: /usr, the directories that a merged /usr links to, a little of /etc."""
    visible = ["/usr"]
    links = []
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = root / name
        if path.is_symlink():
            links.append((str(path.readlink()), f"/{name}"))
        elif path.is_dir():
            visible.append(f"/{name}")
    if (root / "nix/store").is_dir():
        visible.append("/nix/store")
    return Layout(visible=(*visible, *ETC), links=tuple(links))


def last_line(text: str) -> str:
    """Return the last line with something in it."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
