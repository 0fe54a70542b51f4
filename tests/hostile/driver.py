"""Run every hostile program under one engine and print the verdicts as JSON: `driver.py ENGINE PLACE`.

A program of its own, because it is started as root and as a plain user, with whatever interpreter that user can reach.
It plays the server: a secret in its environment, a database, another function, sockets.
"""

import asyncio
import json
import os
import re
import shutil
import socket
import sys
import time
from pathlib import Path

from minifn.datadir import DataDir
from minifn.sandbox import probe
from minifn.sandbox.command import Bind, Command, EngineUnavailable, Limits
from minifn.sandbox.engines import Engine
from minifn.sandbox.launcher import proc
from minifn.sandbox.probe import choose
from minifn.sandbox.spawner import Spawner, run

PROGRAM = Path(__file__).parent / "programs" / "attack.py"
PYTHON = "/usr/bin/python3"
LIMITS = Limits(memory_bytes=128 * 2**20, processes=32, open_files=64, file_bytes=6 * 2**20, tmp_bytes=16 * 2**20)
SECONDS = 30.0
UID, OTHER_UID = 20_201, 20_202


def build(data: DataDir, name: str) -> Path:
    """Publish a deployment that holds the program."""
    directory = data.build(name)
    directory.mkdir(mode=0o755)
    shutil.copy(PROGRAM, directory / "main.py")
    (directory / "main.py").chmod(0o644)
    return directory


def command(engine: Engine, directory: Path, uid: int, *arguments: str) -> Command:
    code = Bind(source=directory, target="/fn")
    return Command(
        argv=(PYTHON, "-I", "-S", f"{engine.place(code)}/main.py", *arguments),
        env={"PATH": "/usr/bin:/bin", "OTHER_SECRET": "of a function"},
        cwd=engine.place(code),
        binds=(code,),
        limits=LIMITS,
        uid=uid if os.geteuid() == 0 else 0,
        label="hostile",
    )


async def verdicts(name: str, data: DataDir) -> dict[str, list[str]]:
    """Return (verdict, what was seen) per attack."""
    data.prepare()
    data.database.touch(0o600)
    data.database.write_text("DATABASE")
    listening = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.socket()]
    abstract = f"minifn-hostile-{os.getpid()}"
    listening[0].bind(str(data.root / "s"))
    listening[1].bind(f"\0{abstract}")
    listening[2].bind(("127.0.0.1", 0))
    for one in listening:
        one.listen(64)
    async with Spawner(data.run) as spawner:
        engine = await choose(name, spawner, data)
        own, other = build(data, "own"), build(data, "other")
        victim = await spawner.spawn(engine.wrap(command(engine, other, OTHER_UID, "victim", "{}")))
        inside = victim.pid
        deadline = time.monotonic() + 10
        while not (found := [pid for pid in proc.family(victim.pid) if is_victim(pid)]):
            assert time.monotonic() < deadline, "the victim did not start"
            await asyncio.sleep(0.01)
        inside = found[-1]
        targets = {
            "data": str(data.root),
            "database": str(data.database),
            "other_build": str(other),
            "server": str(os.getpid()),
            "launcher": str(proc.parent(victim.pid)),
            "other": str(inside),
            "socket": str(data.root / "s"),
            "abstract": abstract,
            "port": str(listening[2].getsockname()[1]),
        }
        results = {}
        for attack in attacks():
            wrapped = engine.wrap(command(engine, own, UID, attack, json.dumps(targets)))
            output = await run(spawner, wrapped, timeout_seconds=SECONDS)
            results[attack] = [*judged(output.text, output.exit.reason, output.exit.signal)]
        await victim.kill()
    for one in listening:
        one.close()
    return results


def is_victim(pid: int) -> bool:
    return b"victim" in proc.read(f"/proc/{pid}/cmdline") and proc.read(f"/proc/{pid}/comm").startswith(b"python3")


def attacks() -> list[str]:
    return re.findall(r"^@attack\ndef (\w+)", PROGRAM.read_text(), re.MULTILINE)


def judged(text: str, reason: str, signal: int | None) -> tuple[str, str]:
    """`stopped`: the attempt failed. `killed`: it succeeded for a moment. `open`: nothing held."""
    if reason:
        return "killed", reason
    if "BREACHED" in text:
        return "open", text.strip()
    if "HELD" in text or signal is not None:
        return "stopped", text.strip() or f"signal {signal}"
    return "stopped", f"no answer: {text.strip()}"


if __name__ == "__main__":
    # None of the programs is a shell's pipeline.
    probe.SANDLOCK_TRIAL = "true"
    try:
        print(json.dumps(asyncio.run(verdicts(sys.argv[1], DataDir(Path(sys.argv[2]))))))
    except EngineUnavailable as error:
        print(json.dumps({"unavailable": [str(error)]}))
