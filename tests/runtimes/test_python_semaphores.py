"""multiprocessing without the system's semaphores."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from minifn.languages import RuntimeTable
from minifn.languages.table import default_root
from minifn.sandbox.choose import choose
from minifn.sandbox.command import Bind, Command, EngineUnavailable, SandboxError
from minifn.sandbox.spawner import Spawner, run
from tests.workers.harness import Language

SCRIPT = """import sys
sys.path.insert(0, "WRAPPER")
import minifn_semaphores
minifn_semaphores.install()
import json, multiprocessing, threading

def count(lock, total, done):
    for _ in range(50):
        with lock:
            total.put(total.get() + 1)
    done.release()

def main(kind):
    ctx = multiprocessing.get_context(kind)
    lock, total, done = ctx.Lock(), ctx.Queue(), ctx.Semaphore(0)
    total.put(0)
    children = [ctx.Process(target=count, args=(lock, total, done)) for _ in range(3)]
    [child.start() for child in children]
    [child.join() for child in children]
    bounded, recursive = ctx.BoundedSemaphore(2), ctx.RLock()
    event, condition = ctx.Event(), ctx.Condition()
    refused = []
    for wrong in (bounded.release, recursive.release, lock.release):
        try:
            wrong()
        except (ValueError, AssertionError) as exc:
            refused.append(type(exc).__name__)
    with recursive, recursive:
        taken = []
        other = threading.Thread(target=lambda: taken.append(recursive.acquire(timeout=0.05)))
        other.start()
        other.join()
    threading.Timer(0.05, event.set).start()
    with condition:
        waited = condition.wait(0.05)
    return [
        total.get(), done.get_value(), done.acquire(False), lock.acquire(), lock.acquire(False),
        lock.acquire(timeout=0.05), refused, taken, event.wait(5), waited,
    ]

if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
"""


@pytest.mark.parametrize("kind", ["fork", "spawn", "forkserver"])
def test_they_behave_as_those_of_multiprocessing(
    python: Language, kind: str, tmp_path: Path
) -> None:
    interpreter = python.table.resolve(python.runtime).interpreter.path
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("WRAPPER", str(default_root() / "python")))
    (tmp_path / "t").mkdir()
    done = subprocess.run(
        [interpreter, script, kind],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path / "t")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    refused = ["ValueError", "AssertionError", "ValueError"]
    assert json.loads(done.stdout or "0") == [
        150,
        3,
        True,
        True,
        False,
        False,
        refused,
        [False],
        True,
        False,
    ], done.stderr
    assert not [path for path in (tmp_path / "t").iterdir() if path.name.startswith("mp-")]


def test_a_closed_shm_directory_is_noticed(data: Path) -> None:
    """Under the process engine with Landlock."""
    installed = RuntimeTable.load().resolve("python-3.11")
    program = "import multiprocessing\nwith multiprocessing.Lock():\n    print('locked')\n"
    wrapper = str(installed.wrapper / "server.py")
    text = f"import runpy, sys\nsys.argv = ['x']\nrunpy.run_path({wrapper!r})\n{program}"

    async def ask() -> str:
        async with Spawner(data) as spawner:
            engine = await choose("process", spawner)
            command = Command(
                argv=(str(installed.interpreter.path), "-c", text),
                env={"PATH": "/usr/bin:/bin"},
                binds=tuple(
                    Bind(source=path, target=str(path))
                    for path in (installed.wrapper, *installed.interpreter.binds)
                ),
            )
            return (await run(spawner, engine.wrap(command), timeout_seconds=30)).text

    try:
        assert asyncio.run(ask()) == "locked\n"
    except (EngineUnavailable, SandboxError) as exc:
        pytest.skip(str(exc))
