"""Run every hostile program under one engine and print the verdicts as JSON.

    driver.py ENGINE NETWORK NODE PLACE

A program of its own, because it runs as root and as a plain user, with an interpreter that the user
can reach. It plays the server: it has a secret in its environment, a database, another function,
sockets, memory and a terminal.
"""

import asyncio
import contextlib
import ctypes
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minifn.host.datadir import DataDir
from minifn.sandbox import choose as choose_module
from minifn.sandbox.choose import choose
from minifn.sandbox.command import Bind, Command, EngineUnavailable, Limits, Network
from minifn.sandbox.engines import Engine
from minifn.sandbox.launcher import proc
from minifn.sandbox.launcher.ends import CRASH_SIGNALS
from minifn.sandbox.process import Process
from minifn.sandbox.spawner import Output, Spawner, run
from tests.sandbox.commands import command_line

PROGRAMS = Path(__file__).parent / "programs"
PYTHON = "/usr/bin/python3"
LIMITS = Limits(
    memory_bytes=128 * 2**20,
    processes=32,
    open_files=64,
    file_bytes=6 * 2**20,
    tmp_bytes=16 * 2**20,
)
#: Limits for Node.js, which needs more threads and descriptors itself.
NODE_LIMITS = dataclasses.replace(LIMITS, processes=44, open_files=96)
#: Script that starts a program in Python.
BOOT = "import sys; sys.path.append(sys.argv.pop(1)); from programs.attack import main; main()"
#: Seconds after which a program is killed.
SECONDS = 30.0
#: Seconds for programs that never end by themselves.
DEADLINES = {"spin": 2.0, "ignore_termination": 2.0}
#: Programs that run at once; most of them wait for a watchdog.
AT_ONCE = 4
#: Uids of functions when the server is root, beyond those that servers assign.
OTHER_UID, UID = 61_000, 61_001


def build(data: DataDir, name: str) -> Path:
    """Publish a deployment that holds the programs."""
    directory = data.build(name)
    shutil.copytree(PROGRAMS, directory / "programs", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return directory


def command(
    engine: Engine, directory: Path, uid: int, *arguments: str, node: str = "", **changes: Any
) -> Command:
    code = Bind(source=directory, target="/fn")
    place = engine.place(code)
    start = (
        (node, f"{place}/programs/attack.cjs")
        if node
        else (PYTHON, "-I", "-S", "-B", "-c", BOOT, place)
    )
    return Command(
        argv=(*start, *arguments),
        env={"PATH": "/usr/bin:/bin", "OTHER_SECRET": "of a function"},
        cwd=place,
        binds=(code,),
        limits=NODE_LIMITS if node else LIMITS,
        uid=uid if os.geteuid() == 0 else 0,
        label="hostile",
        **changes,
    )


@contextlib.contextmanager
def belongings(data: DataDir, terminal: str) -> Iterator[dict[str, str]]:
    """Make the server's belongings, besides its terminal; yield where they are."""
    data.prepare()
    data.database.touch(0o600)
    data.database.write_text("DATABASE")
    keepsake = data.root / "keepsake"
    keepsake.mkdir()
    (keepsake / "kept").touch()
    abstract = f"minifn-hostile-{os.getpid()}"
    segment = attached_segment()
    with contextlib.ExitStack() as stack:
        shared = stack.enter_context(
            tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="minifn-hostile-")
        )
        shared.write(b"MEMORY")
        shared.flush()
        path, port = listening(stack, abstract)
        yield {
            "data": str(data.root),
            "database": str(data.database),
            "keepsake": str(keepsake),
            "server": str(os.getpid()),
            "socket": str(path),
            "abstract": abstract,
            "port": str(port),
            "segment": str(segment),
            "shared": shared.name,
            "terminal": terminal,
        }


def own_terminal() -> str:
    """Get a terminal of this session, which functions must not inherit, and return its path."""
    # The first terminal that a session's leader opens becomes the session's.
    terminal = os.ttyname(os.openpty()[1])
    os.open(terminal, os.O_RDWR)
    os.close(os.open("/dev/tty", os.O_RDWR))
    return terminal


def attached_segment() -> int:
    """Return a segment of System V memory that is attached here."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    segment = int(libc.shmget(0, 4096, 0o1666))
    assert segment >= 0, os.strerror(ctypes.get_errno())
    ctypes.memmove(libc.shmat(segment, None, 0), b"MEMORY", 6)
    # Removed at once: it lives while it is attached here, and Linux lets others attach to it.
    libc.shmctl(segment, 0, None)
    return segment


def listening(stack: contextlib.ExitStack, abstract: str) -> tuple[Path, int]:
    """Listen on a Unix socket, an abstract one and a port; return the path and the port."""
    by_path, by_name, by_port = (stack.enter_context(socket.socket(family)) for family in (1, 1, 2))
    # Open to every user, like the sockets of D-Bus and of databases.
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="minifn-hostile-")))
    folder.chmod(0o755)
    by_path.bind(str(folder / "s"))
    (folder / "s").chmod(0o777)
    by_name.bind(f"\0{abstract}")
    by_port.bind(("127.0.0.1", 0))
    for one in (by_path, by_name, by_port):
        one.listen(64)
    return folder / "s", by_port.getsockname()[1]


async def verdicts(name: str, network: Network, node: str, data: DataDir) -> dict[str, list[str]]:
    """Return (verdict, observation) per attack, named `node NAME` for Node.js.

    `node` is the program of Node.js, "" for none.
    """
    with belongings(data, own_terminal()) as targets:
        return await _verdicts(name, network, node, data, targets)


async def _verdicts(
    name: str, network: Network, node: str, data: DataDir, targets: dict[str, str]
) -> dict[str, list[str]]:
    async with Spawner(data.run) as spawner:
        engine = await choose(name, spawner, data, network)
        other = build(data, "other")
        victim, pid = await start_victim(spawner, engine, other)
        targets |= {
            "other_build": str(other),
            "launcher": str(proc.parent(victim.pid)),
            "other": str(pid),
        }
        # Harm that a program leaves behind, as seen from outside after its end.
        harm: dict[str, Callable[[], bool]] = {
            "plant_links": lambda: not Path(targets["keepsake"], "kept").exists(),
            "signal_everybody": lambda: is_pending(pid, signal.SIGURG),
            "signal_by_descriptor": lambda: is_pending(pid, signal.SIGUSR2),
        }
        turns = asyncio.Semaphore(AT_ONCE)

        async def judge(number: int, attack: str, node: str) -> list[str]:
            # Each is a function of its own: without a user namespace processes count per uid.
            own = build(data, f"own{number}")
            # Of one length: no mark is the beginning of another.
            mark = f"mark-{os.getpid()}-{number:04d}"
            arguments = (attack, json.dumps({**targets, "mark": mark}))
            started = command(engine, own, UID + number, *arguments, node=node, network=network)
            async with turns:
                seconds = DEADLINES.get(attack, SECONDS)
                output = await run(spawner, engine.wrap(started), timeout_seconds=seconds)
            if left := marked(mark):
                for pid in left:
                    proc.send_signal(pid, signal.SIGKILL)
                return ["open", f"{len(left)} processes are left"]
            return [*judged(output, harm.get(attack, lambda: False))]

        programs = {name: (name, "") for name in attacks()}
        if node:
            programs |= {f"node {name}": (name, node) for name in node_attacks()}
        answers = await asyncio.gather(
            *[judge(number, *programs[key]) for number, key in enumerate(programs)]
        )
        await victim.kill()
    return dict(zip(programs, answers, strict=True))


async def start_victim(spawner: Spawner, engine: Engine, directory: Path) -> tuple[Process, int]:
    """Start another function; return it and the pid of its own program."""
    victim = await spawner.spawn(engine.wrap(command(engine, directory, OTHER_UID, "victim", "{}")))
    deadline = time.monotonic() + 30
    while not (found := [pid for pid in proc.family(victim.pid) if is_victim(pid)]):
        assert time.monotonic() < deadline, f"the victim did not start: {victim.exit}"
        await asyncio.sleep(0.01)
    return victim, found[-1]


def is_victim(pid: int) -> bool:
    return b"victim" in proc.read(f"/proc/{pid}/cmdline") and proc.read(
        f"/proc/{pid}/comm"
    ).startswith(b"python3")


def is_pending(pid: int, number: int) -> bool:
    """Tell whether a signal waits for a process that blocks it."""
    (pending,) = re.findall(
        r"^ShdPnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE
    )
    return bool(int(pending, 16) >> (number - 1) & 1)


def marked(mark: str) -> list[int]:
    """Return every process of the machine that has `mark` among its arguments."""
    return [pid for pid in proc.pids() if mark.encode() in command_line(pid)]


def attacks() -> list[str]:
    text = "".join(path.read_text() for path in sorted(PROGRAMS.glob("*.py")))
    return re.findall(r"^@attack\ndef (\w+)", text, re.MULTILINE)


def node_attacks() -> list[str]:
    texts = [path.read_text() for path in sorted(PROGRAMS.glob("*.cjs"))]
    text = "".join(text.partition("const attacks = {")[2] for text in texts)
    return re.findall(r"^  (?:async )?(\w+)(?:\(t?\) \{|:)", text, re.MULTILINE)


def judged(output: Output, harmed: Callable[[], bool]) -> tuple[str, str]:
    """`stopped`: the attempt failed. `killed`: it succeeded for a moment. `open`: nothing held."""
    text, ended = output.text.strip(), output.exit
    # A program that ends by itself where its memory is refused was stopped; the reason tells of it.
    if ended.reason and ended.signal not in CRASH_SIGNALS:
        return "killed", ended.reason
    if "BREACHED" in text or ("LEFT" in text and harmed()):
        return "open", text
    if "LEFT" in text or "HELD" in text or ended.signal is not None:
        return "stopped", text or f"signal {ended.signal}"
    return "stopped", f"no answer: {text}"


if __name__ == "__main__":
    # Under sandlock Debian's /bin/sh loses forks, but no program uses it.
    choose_module.SHELL = "/bin/bash"
    try:
        asked = (sys.argv[1], Network(sys.argv[2]), sys.argv[3], DataDir(Path(sys.argv[4])))
        print(json.dumps(asyncio.run(verdicts(*asked))))
    except EngineUnavailable as error:
        print(json.dumps({"unavailable": [str(error)]}))
