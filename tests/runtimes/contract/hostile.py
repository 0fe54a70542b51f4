"""Rows about hostile functions: a family's worker is as confined as any, and so are its children.

tests/hostile tries far more, in Python and in Node.js, under each engine. These rows try what a
language adds: files that all its functions share, and a process of its own kind.
"""

import asyncio
import os
import time
from pathlib import Path

from minifn.workers.records import FunctionResponse
from tests.hostile.driver import marked
from tests.runtimes.contract.table import Case, Story, shown
from tests.workers.harness import Caller

#: Bytes that a child of a function of 512 MB may not have.
TOO_MUCH = 3_000_000_000
#: Seconds within which no process of an ended worker is left.
GONE_SECONDS = 10


async def shell(call: Caller, script: str, seconds: float = 10) -> FunctionResponse:
    return await call("/shell", body=script.encode(), seconds=seconds)


def mark(call: Caller) -> str:
    """Return an argument that no other process of the machine has."""
    return f"hostile-{os.getpid()}-{abs(hash(call.spec.key))}"


def folders(call: Caller) -> dict[str, Path]:
    """Return the folders that the worker sees: their path in a sandbox -> on the machine."""
    return {
        bind.target: bind.source
        for bind in call.spec.command.binds
        if bind.target != str(bind.source)
    }


async def read_neighbours(call: Caller) -> None:
    builds = folders(call)["/fn"].parent
    neighbour = builds / ".toolchains" / "neighbour"
    neighbour.mkdir(mode=0o755, exist_ok=True)
    (neighbour / "word").write_text("SECRET")
    (neighbour / "word").chmod(0o644)
    places = f"{neighbour} /shared/../neighbour {builds}/.caches {builds}/*"
    answer = await shell(call, f"cat {neighbour}/word /neighbour/word 2>&1; ls -AR {places} 2>&1")
    assert answer.status_code == 200, shown(answer)
    assert b"SECRET" not in answer.body
    assert b"word\n" not in answer.body


def listing(folder: Path) -> list[tuple[str, int, int, int]]:
    """Return the name, mode, size and time of change of all below a folder."""
    found = [folder, *sorted(folder.rglob("*"))]
    states = [(path, path.lstat()) for path in found if "__pycache__" not in path.parts]
    return [(str(path), one.st_mode, one.st_size, one.st_mtime_ns) for path, one in states]


async def write_to_shared(call: Caller) -> None:
    assert "/shared" not in folders(call) or listing(folders(call)["/shared"])
    before = {place: listing(place) for place in folders(call).values()}
    places = " ".join([*folders(call), *map(str, folders(call).values())])
    # Nothing is lost where an attempt succeeds: a mistake here must not remove the wrappers.
    script = (
        f"for place in {places}; do touch $place/planted && echo OPEN $place; rm -f $place/planted;"
        " for file in $(find $place -type f | head -n 50);"
        " do true >> $file && echo OPEN $file; done;"
        " done 2> /dev/null; echo done"
    )
    answer = await shell(call, script, seconds=30)
    assert answer.body == b"done\n", shown(answer)
    assert {place: listing(place) for place in before} == before
    assert (await call("/text")).status_code == 200


async def take_memory(call: Caller) -> None:
    await until_answered(call)
    answer = await shell(call, f"head -c {TOO_MUCH} /dev/zero | tail -n 1 | wc -c", seconds=30)
    assert answer.failure in ("", "died"), shown(answer)
    assert str(TOO_MUCH).encode() not in answer.body
    assert (await call("/text", seconds=20)).status_code == 200


async def fork_bomb(call: Caller) -> None:
    word = mark(call)
    await shell(call, f"bomb() {{ bomb | bomb & }}; bomb; sleep 2; : {word}", seconds=5)
    call.pool.drop(call.spec.key)
    await gone(call, word)
    # Without a namespace of its own, the user's dead processes count until they are collected.
    await until_answered(call)


async def until_answered(call: Caller) -> None:
    """Call until the function answers, for GONE_SECONDS."""
    deadline = time.monotonic() + GONE_SECONDS
    while (answer := await call("/text")).status_code != 200:
        assert time.monotonic() < deadline, shown(answer)
        await asyncio.sleep(0.2)


async def survive(call: Caller) -> None:
    word = mark(call)
    await until_answered(call)
    stay = f"trap '' TERM HUP INT; while :; do sleep 1; done; : {word}"
    for start in ("", "setsid "):
        answer = await shell(call, f'{start}sh -c "{stay}" > /dev/null 2>&1 & echo started')
        assert answer.body == b"started\n", shown(answer)
    # The shell may still be about to become one of them.
    await call.until(lambda: bool(marked(word)), GONE_SECONDS)
    assert (await call("/exit")).failure == "died"
    await gone(call, word)
    assert (await call("/text")).status_code == 200


async def gone(call: Caller, word: str) -> None:
    """Wait until no process has `word` among its arguments."""
    await call.until(lambda: not marked(word), GONE_SECONDS)


def row(name: str, story: Story, *, slow: bool = False) -> Case:
    """Return a case with workers of its own, under an engine that confines them."""
    return Case(name=f"hostile: {name}", story=story, shared=False, confined=True, slow=slow)


ROWS = (
    row("reads what other toolchains share", read_neighbours),
    row("writes to what functions share", write_to_shared),
    row("takes more memory than allowed", take_memory, slow=True),
    row("forks without end", fork_bomb, slow=True),
    row("outlives its worker", survive),
)
