"""Run every hostile program under one engine and print the verdicts as JSON: `driver.py ENGINE NETWORK NODE PLACE`.

A program of its own, because it is started as root and as a plain user, with whatever interpreter that user can reach.
It plays the server: a secret in its environment, a database, another function, sockets.
"""

import asyncio
import dataclasses
import json
import os
import re
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

from minifn.datadir import DataDir
from minifn.sandbox import probe
from minifn.sandbox.command import Bind, Command, EngineUnavailable, Limits, Network
from minifn.sandbox.engines import Engine
from minifn.sandbox.launcher import proc
from minifn.sandbox.probe import choose
from minifn.sandbox.spawner import Spawner, run

PROGRAMS = Path(__file__).parent / "programs"
PYTHON = "/usr/bin/python3"
LIMITS = Limits(memory_bytes=128 * 2**20, processes=32, open_files=64, file_bytes=6 * 2**20, tmp_bytes=16 * 2**20)
#: Node.js itself needs so many more threads and descriptors.
NODE_LIMITS = dataclasses.replace(LIMITS, processes=44, open_files=96)
SECONDS = 30.0
#: So many programs run at once: most of them wait for a watchdog.
AT_ONCE = 4
OTHER_UID, UID = 20_201, 20_202


def build(data: DataDir, name: str) -> Path:
    """Publish a deployment that holds the programs."""
    directory = data.build(name)
    directory.mkdir(mode=0o755)
    for program, name in (("attack.py", "main.py"), ("attack.cjs", "main.cjs")):
        shutil.copy(PROGRAMS / program, directory / name)
        (directory / name).chmod(0o644)
    return directory


def command(engine: Engine, directory: Path, uid: int, *arguments: str, node: str = "", **changes: Any) -> Command:
    code = Bind(source=directory, target="/fn")
    start = (node, f"{engine.place(code)}/main.cjs") if node else (PYTHON, "-I", "-S", f"{engine.place(code)}/main.py")
    return Command(
        argv=(*start, *arguments),
        env={"PATH": "/usr/bin:/bin", "OTHER_SECRET": "of a function"},
        cwd=engine.place(code),
        binds=(code,),
        limits=NODE_LIMITS if node else LIMITS,
        uid=uid if os.geteuid() == 0 else 0,
        label="hostile",
        **changes,
    )


async def verdicts(name: str, network: Network, node: str, data: DataDir) -> dict[str, list[str]]:
    """Return (verdict, what was seen) per attack, those of Node.js as `node NAME`; `node` is its program or ""."""
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
        engine = await choose(name, spawner, data, network)
        other = build(data, "other")
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
        turns = asyncio.Semaphore(AT_ONCE)

        async def judge(number: int, attack: str, node: str) -> list[str]:
            # Each as a function of its own: without a user namespace processes are counted by uid.
            own = build(data, f"own{number}")
            arguments = (attack, json.dumps(targets))
            started = command(engine, own, UID + number, *arguments, node=node, network=network)
            async with turns:
                output = await run(spawner, engine.wrap(started), timeout_seconds=SECONDS)
            return [*judged(output.text, output.exit.reason, output.exit.signal)]

        programs = {name: (name, "") for name in attacks()}
        if node:
            programs |= {f"node {name}": (name, node) for name in node_attacks()}
        answers = await asyncio.gather(*[judge(number, *programs[key]) for number, key in enumerate(programs)])
        results = dict(zip(programs, answers, strict=True))
        await victim.kill()
    for one in listening:
        one.close()
    return results


def is_victim(pid: int) -> bool:
    return b"victim" in proc.read(f"/proc/{pid}/cmdline") and proc.read(f"/proc/{pid}/comm").startswith(b"python3")


def attacks() -> list[str]:
    return re.findall(r"^@attack\ndef (\w+)", (PROGRAMS / "attack.py").read_text(), re.MULTILINE)


def node_attacks() -> list[str]:
    return re.findall(r"^  (?:async )?(\w+)(?:\(t?\) \{|:)", (PROGRAMS / "attack.cjs").read_text(), re.MULTILINE)


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
        asked = (sys.argv[1], Network(sys.argv[2]), sys.argv[3], DataDir(Path(sys.argv[4])))
        print(json.dumps(asyncio.run(verdicts(*asked))))
    except EngineUnavailable as error:
        print(json.dumps({"unavailable": [str(error)]}))
