"""Reports what functions are kept from on this machine, as seen by a process inside the engine."""

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from minifn.config import is_weaker
from minifn.host.datadir import DataDir

from . import seccomp
from .choose import AUTOMATIC, choose, probe
from .command import EngineUnavailable, Network, NetworkUnavailable
from .engines import Engine
from .launcher.confine import TRUNCATE_SINCE, landlock_version
from .spawner import Spawner

State = Literal["ON", "DEGRADED", "OFF"]
#: Values of a report from inside an engine, by the first word of their line in SELF_REPORT.
Report = Mapping[str, list[str]]

INSTALL_BWRAP = (
    "apt install bubblewrap, or pip install minifn[sandbox]; "
    "in Docker allow namespaces (/docs/security)"
)
INSTALL = {
    "bwrap": INSTALL_BWRAP,
    "sandlock": "fix bubblewrap; or pip install minifn[sandlock], with bash as /bin/sh",
}
USE_HOST = "MINIFN_NETWORK=host needs nothing; /docs/security tells what the others need"
USE_BWRAP = "fix bubblewrap: see the line `engine bwrap`"
#: Script for inside the engine: the kernel's view of the process, the processes it sees, the places
#: it can write to, whether it can open a file of the server or signal the server.
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
#: Highest number of processes that a function sees when all others are hidden.
OWN_PROCESSES_MAX = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Protection:
    """One thing functions are kept from, and whether that works here."""

    name: str
    state: State
    #: The observation.
    reason: str
    #: The one step that would fix it, "" when there is none or nothing to fix.
    remedy: str = ""


async def protections(
    spawner: Spawner,
    data: DataDir | None = None,
    name: str = "auto",
    network: Network = Network.HOST,
) -> tuple[Protection, ...]:
    """Return the protections of the engine `name`, and which stronger engines run here."""
    try:
        engine = await choose(name, spawner, data, network)
        used, found = engine.name, await inspect(engine, spawner, network)
    except EngineUnavailable as error:
        remedy = USE_HOST if isinstance(error, NetworkUnavailable) else INSTALL_BWRAP
        used = ""
        found = (Protection(name="isolation", state="OFF", reason=str(error), remedy=remedy),)
    stronger = [one for one in AUTOMATIC if not used or is_weaker(used, one)]
    return (*[await _engine_state(one, spawner, data) for one in stronger], *found)


async def inspect(engine: Engine, spawner: Spawner, network: Network) -> tuple[Protection, ...]:
    """Return an engine's protections, as seen by a process inside it.

    Raises EngineUnavailable.
    """
    output = await probe(spawner, engine, "/bin/sh", "-c", SELF_REPORT, network=network)
    seen: dict[str, list[str]] = {}
    for line in output.text.splitlines():
        key, _, value = line.partition(":" if ":" in line else " ")
        seen.setdefault(key, []).append(value.strip())
    # The script cannot truncate by path, so this is deduced: where Landlock does not refuse it the
    # filter must, and there are filters for some machines only.
    if landlock_version() < TRUNCATE_SINCE and platform.machine() not in seccomp.MACHINES:
        seen["truncates"] = [platform.machine()]
    return judge(engine.name, seen, network, grouped=output.grouped)


async def _engine_state(name: str, spawner: Spawner, data: DataDir | None) -> Protection:
    label = f"engine {name}"
    try:
        engine = await choose(name, spawner, data)
    except EngineUnavailable as error:
        remedy = INSTALL.get(name, USE_BWRAP)
        return Protection(name=label, state="OFF", reason=str(error), remedy=remedy)
    return Protection(name=label, state="ON", reason=engine.strength)


def judge(
    engine: str, seen: Report, network: Network = Network.HOST, *, grouped: bool = False
) -> tuple[Protection, ...]:
    """Return the protections that a report from inside an engine shows.

    `grouped`: the reporting process had a control group of its own.
    """
    return (
        *_from_others(seen),
        *_from_the_system(seen),
        _memory(seen, grouped=grouped),
        _network(seen, network),
        _one(
            "kill",
            engine == "bwrap" or sys.platform == "linux",
            "complete, daemons included",
            "a function that leaves its process group survives",
        ),
        _one("archives", True, "checked before they are written, unpacked in a child process", ""),
    )


def _one(
    name: str, held: bool, good: str, bad: str, *, weak: State = "OFF", remedy: str = USE_BWRAP
) -> Protection:
    """Return a protection: ON with the reason `good`, or `weak` with the reason `bad`."""
    return Protection(
        name=name,
        state="ON" if held else weak,
        reason=good if held else bad,
        remedy="" if held else remedy,
    )


def _from_others(seen: Report) -> Iterator[Protection]:
    """Yield the protections of other processes and of the server's user."""
    uid = int(seen.get("Uid", ["0"])[0].split()[0])
    own_uid = uid not in (0, os.geteuid())
    hidden = 0 < int(seen.get("seen", ["0"])[0]) <= OWN_PROCESSES_MAX
    truncates = "truncates" in seen and not own_uid and not hidden
    yield _one(
        "other processes", hidden, "invisible", "a function sees every process and its command line"
    )
    yield _one(
        "server's files",
        "reads" not in seen and not truncates,
        "cannot be opened",
        "functions can read the server's database and keys"
        if "reads" in seen
        else "functions can truncate files that they cannot open: "
        "Landlock stops that since Linux 6.2",
    )
    yield _one(
        "signals",
        # In a pid namespace the server's number means another process.
        hidden or "signals" not in seen,
        "functions reach only their own processes",
        "functions can kill the server and each other: Landlock stops that since Linux 6.12",
    )
    yield _one(
        "own user",
        own_uid or hidden,
        f"functions run as uid {uid}" if own_uid else "not needed: no other process can be reached",
        "functions share the server's user: "
        "what Landlock does not cover (chmod, utime) reaches the server's files",
        weak="DEGRADED",
    )


def _from_the_system(seen: Report) -> Iterator[Protection]:
    """Yield the protections of the disk and the kernel."""
    yield _one(
        "disk",
        "writes" not in seen,
        "only a private directory is writable",
        f"also writable: {', '.join(seen.get('writes', []))}",
        weak="DEGRADED",
    )
    yield _one(
        "privileges",
        seen.get("NoNewPrivs") == ["1"] and int(seen.get("CapEff", ["1"])[0], 16) == 0,
        "no capabilities, and no way to gain any",
        "functions can gain privileges",
    )
    yield _one(
        "system calls",
        seen.get("Seccomp") == ["2"],
        "filtered",
        "every system call of the kernel is open",
    )
    yield _one(
        "namespaces",
        "nests" not in seen,
        "a function cannot make any",
        "a function can make user namespaces",
    )


def _memory(seen: Report, *, grouped: bool) -> Protection:
    limited = seen.get("data", ["unlimited"]) != ["unlimited"]
    user = "--user " if os.geteuid() else ""
    return _one(
        "memory",
        grouped,
        "a control group stops all processes of a function together, exactly",
        "a watchdog looks every 100 ms; "
        "one process is stopped exactly, many together with some delay"
        if limited
        else "only by a watchdog that looks every 100 ms",
        weak="DEGRADED",
        remedy=f"systemd-run {user}--scope -p Delegate=yes minifn serve",
    )


def _network(seen: Report, network: Network) -> Protection:
    return _one(
        "network",
        network is Network.NONE and seen.get("links") == ["1"],
        "functions reach nothing",
        "functions reach the host's neighbours, not its loopback"
        if network is Network.ISOLATED
        else "functions use the host's network: they reach its loopback and its neighbours",
        weak="DEGRADED",
        remedy="MINIFN_NETWORK=none, "
        "or a firewall that keeps functions from addresses they must not reach",
    )
