"""multiprocessing without Unix sockets that have a path."""

import json
import subprocess
from pathlib import Path

import pytest

from minifn.languages.table import default_root
from tests.serving import Server, pack
from tests.workers.harness import Language

SCRIPT = """import sys
sys.path.insert(0, "WRAPPER")
import minifn_sockets
minifn_sockets.install()
import json, multiprocessing
from concurrent.futures import ProcessPoolExecutor

def put(queue, shared, listening):
    shared["address"] = str(type(listening).__name__)
    queue.put(sum(range(10)))

def square(number):
    return number * number

def main(kind):
    ctx = multiprocessing.get_context(kind)
    with ctx.Manager() as manager:
        queue, shared = manager.Queue(), manager.dict()
        child = ctx.Process(target=put, args=(queue, shared, manager.address))
        child.start()
        answer = [queue.get(timeout=30), shared.copy()]
        child.join()
    with ctx.Pool(2) as pool, ProcessPoolExecutor(2, mp_context=ctx) as executor:
        return [answer, pool.map(square, [1, 2]), list(executor.map(square, [3]))]
"""
SCRIPT_END = """
if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
"""
WANTED = [[45, {"address": "tuple"}], [1, 4], [9]]
HANDLER = (
    SCRIPT.partition("minifn_sockets.install()\n")[2]
    + """

def handle(context):
    return context.res.json(started(context.req.query["kind"]))

started, main = main, handle
"""
)
KINDS = ("fork", "spawn", "forkserver")


@pytest.mark.parametrize("kind", KINDS)
def test_managers_listen_on_loopback_and_every_start_method_works(
    python: Language, kind: str, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("WRAPPER", str(default_root() / "python")) + SCRIPT_END)
    done = subprocess.run(
        [python.table.resolve(python.runtime).interpreter.path, script, kind],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout or "0") == WANTED, done.stderr


def test_multiprocessing_works_under_the_engine_process(data: Path) -> None:
    with Server(data, sandbox="process") as server, server.api as api:
        api.create("spread", api.runtime("python"), entrypoint="main.py", timeout=30)
        api.deploy("spread", pack(extra={"main.py": HANDLER.encode()}))
        for kind in KINDS:
            execution = api.execute("spread", path=f"/?kind={kind}")
            assert execution["status"] == "completed", execution["errors"]
            assert json.loads(execution["responseBody"]) == WANTED
