"""Calls of Python functions: the main thread, own threads, one event loop, child processes."""

import asyncio
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from minifn.workers.records import FunctionResponse
from tests.patience import patient
from tests.workers.harness import Caller, Language, function

#: Uses that work on one thread only: a connection, a request, a signal handler, a deep stack.
SERIAL = """import pickle, signal, sqlite3, sys, threading, time

sys.setrecursionlimit(1_000_000)
connection = sqlite3.connect(":memory:")
local = threading.local()
local.name = "main"
request = None

class Node:
    next = None

def main(context):
    global request
    request = context.req
    time.sleep(0.03)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    connection.execute("select 1").fetchone()
    node = None
    # Python 3.12 has a limit of its own for recursion in C.
    for _ in range(300 if sys.version_info[:2] == (3, 12) else 3000):
        above = Node()
        above.next, node = node, above
    pickle.dumps(node)
    return context.res.text(f"{request.path} {local.name}")
"""

THREADS = """import threading

barrier = threading.Barrier(3)

def main(context):
    barrier.wait(5)
    return context.res.text(threading.current_thread().name)
"""

AWAITABLE = """import asyncio
import os

# Before Python 3.10 a lock belongs to the loop that there is when it is made.
lock = asyncio.Lock() if "MINIFN_CONCURRENCY" not in os.environ else None
queue = None

async def serve():
    while True:
        (await queue.get()).set_result("done")

async def work(context):
    global queue, task
    if queue is None:
        queue = asyncio.Queue()
        task = asyncio.ensure_future(serve())
    answer = asyncio.get_running_loop().create_future()
    if lock is None:
        await queue.put(answer)
    else:
        async with lock:
            await queue.put(answer)
    return context.res.text(await asyncio.wait_for(answer, 3))

def main(context):
    return work(context)
"""

#: Patches the standard library as gevent does; the rest works on the main thread alone.
PATCHED = """import os, select, threading, time

owner = threading.get_ident()

def only_here(original):
    def patched(*args, **named):
        assert threading.get_ident() == owner, "called from a thread of the wrapper"
        return original(*args, **named)
    return patched

time.sleep = only_here(time.sleep)
time.monotonic = only_here(time.monotonic)
threading.Lock = threading.RLock = None
threading.Thread.start = only_here(threading.Thread.start)
select.poll = None

def main(context):
    time.sleep(0.03)
    return context.res.text("fine")
"""

#: Leaves work to the event loop that goes on when the call is over, and then makes a file.
LEFT = """import asyncio, pathlib, threading

async def main(context):
    loop, kind = asyncio.get_running_loop(), context.req.path[1:]
    file = pathlib.Path(context.req.query_string)

    def in_a_thread():
        loop.call_soon_threadsafe(file.touch)

    async def task():
        ours, theirs = await asyncio.open_connection("127.0.0.1", port)
        await ours.read(1)
        file.touch()

    async def answer(reader, writer):
        writer.write(b"x")

    if kind == "timer":
        loop.call_later(0.02, file.touch)
    elif kind == "thread":
        threading.Timer(0.02, in_a_thread).start()
    elif kind == "socket":
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        context.task = asyncio.create_task(task())
    return context.res.empty()
"""

PROCESSES = """import concurrent.futures, multiprocessing

def square(number):
    return number * number

def main(context):
    kind = context.req.query_string
    processes = multiprocessing.get_context(kind)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=processes) as pool:
        found = list(pool.map(square, range(4)))
    with processes.Pool(2) as pool:
        return context.res.json([found, pool.map(square, range(4)), __name__])
"""


MANY_THREADS = """import resource, time
from concurrent.futures import ThreadPoolExecutor

limit = 400 * 1024 * 1024
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

def wait(number):
    time.sleep(0.2)
    return number

def main(context):
    with ThreadPoolExecutor(200) as pool:
        return context.res.json(len(list(pool.map(wait, range(200)))))
"""


def deployed(tmp_path: Path, text: str, name: str = "main.py") -> Path:
    file = tmp_path / "code" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return tmp_path / "code"


def asked(
    language: Language,
    code: Path,
    paths: list[str],
    env: Mapping[str, str] | None = None,
    **settings: int,
) -> list[FunctionResponse]:
    """Return the answers to concurrent calls."""

    async def ask() -> list[FunctionResponse]:
        async with function(
            code.parent / "run", language.spec(code, "main", env), **settings
        ) as call:
            await call("/first")
            return list(await asyncio.gather(*(call(path) for path in paths)))

    return asyncio.run(ask())


def test_plain_functions_run_one_call_at_a_time_on_the_main_thread(
    python: Language, tmp_path: Path
) -> None:
    paths = [f"/user{number}" for number in range(6)]
    for answer, path in zip(asked(python, deployed(tmp_path, SERIAL), paths), paths, strict=True):
        assert (answer.status_code, answer.body.decode()) == (200, f"{path} main"), answer.errors


def test_a_function_with_concurrency_runs_on_threads(python: Language, tmp_path: Path) -> None:
    async def ask() -> None:
        spec = python.spec(
            deployed(tmp_path, THREADS), "main", {"MINIFN_CONCURRENCY": "3"}, concurrency=3
        )
        async with function(tmp_path / "run", spec, function_workers_max=1) as call:
            answers = await asyncio.gather(*(call() for _ in range(3)))
            assert [answer.status_code for answer in answers] == [200] * 3, answers[0].errors
            assert len({answer.body for answer in answers}) == 3

    asyncio.run(ask())


@pytest.mark.parametrize("env", [{}, {"MINIFN_CONCURRENCY": "2"}], ids=["main thread", "threads"])
def test_awaitable_results_share_one_event_loop(
    python: Language, env: dict[str, str], tmp_path: Path
) -> None:
    code = deployed(tmp_path, AWAITABLE)
    for answer in asked(python, code, ["/"] * 4, env):
        assert (answer.status_code, answer.body) == (200, b"done"), answer.errors


def test_the_event_loop_goes_on_between_calls(python: Language, tmp_path: Path) -> None:
    async def ask() -> None:
        spec = python.spec(deployed(tmp_path, LEFT), "main")
        async with function(tmp_path / "run", spec, function_workers_max=1) as call:
            for kind in ("nothing", "timer", "thread", "socket", "nothing"):
                file = tmp_path / kind
                answer = await call(f"/{kind}", query=str(file))
                assert answer.status_code == 204, answer.errors
                if kind != "nothing":
                    await call.until(file.exists)

    asyncio.run(ask())


def test_patches_of_the_standard_library_leave_the_worker_alone(
    python: Language, tmp_path: Path
) -> None:
    for answer in asked(python, deployed(tmp_path, PATCHED), ["/"] * 3, function_workers_max=1):
        assert (answer.status_code, answer.body) == (200, b"fine"), answer.errors


@pytest.mark.parametrize("kind", ["fork", "spawn", "forkserver"])
def test_child_processes_import_the_function(python: Language, kind: str, tmp_path: Path) -> None:
    code = deployed(tmp_path, PROCESSES)
    deployed(tmp_path, "import queue, string\n1 / 0\n", "queue.py")

    async def ask(run_dir: str) -> FunctionResponse:
        async with function(Path(run_dir), python.spec(code, "main")) as call:
            return await call(query=kind, seconds=60)

    # The fork server's socket in the temporary directory needs a short path.
    with tempfile.TemporaryDirectory(prefix="fn", dir="/tmp") as run_dir:
        answer = asyncio.run(ask(run_dir))
    assert answer.status_code == 200, answer.errors
    assert json.loads(answer.body) == [[0, 1, 4, 9], [0, 1, 4, 9], "function.main"]


def test_python_variables_take_effect_and_the_functions_files_come_last(
    python: Language, tmp_path: Path
) -> None:
    code = deployed(
        tmp_path,
        "import email.message, json, sys, shared\n\ndef main(context):\n"
        "    return context.res.json([shared.NAME, sys.flags.optimize, sys.path])\n",
        "src/main.py",
    )
    for hiding in ("email", "random", "types", "json"):
        deployed(tmp_path, "1 / 0\n", f"src/{hiding}.py")
    deployed(tmp_path, "NAME = 'found'\n", "lib/shared.py")
    env = {"PYTHONPATH": f"lib:{tmp_path}/missing", "PYTHONOPTIMIZE": "2"}

    async def ask() -> FunctionResponse:
        async with function(tmp_path / "run", python.spec(code, "src/main", env)) as call:
            return await call()

    answer = asyncio.run(ask())
    assert answer.status_code == 200, answer.errors
    name, optimize, path = json.loads(answer.body)
    assert (name, optimize) == ("found", 2)
    # Newer versions make it absolute.
    assert path[0].rpartition("/")[2] == "lib"
    assert path[1] == f"{tmp_path}/missing"
    assert path[-1] == str(code)
    assert str(code / "src") in path[-3:]
    assert not [entry for entry in path if entry.endswith("runtimes/python")]


def test_many_threads_fit_in_the_memory_of_a_small_function(
    python: Language, tmp_path: Path
) -> None:
    code = deployed(tmp_path, MANY_THREADS)
    (answer,) = asked(python, code, ["/"], function_workers_max=1)
    assert (answer.status_code, answer.body) == (200, b"200"), answer.errors


def test_other_workers_answer_requests_behind_a_blocking_call(
    python: Language, tmp_path: Path
) -> None:
    text = "import os, time\n\ndef main(context):\n"
    text += "    time.sleep(float(context.req.query_string or 0))\n"
    code = deployed(tmp_path, text + "    return context.res.text(str(os.getpid()))\n")

    async def ask() -> None:
        async with function(tmp_path / "run", python.spec(code, "main")) as call:
            await warm(call)
            began = time.monotonic()
            slow = asyncio.create_task(call(query="3"))
            quick = await asyncio.gather(*(call() for _ in range(20)))
            assert time.monotonic() - began < patient(2.5, fault_seconds=3)
            assert not slow.done()
            assert {answer.status_code for answer in quick} == {200}
            assert (await slow).status_code == 200

    asyncio.run(ask())


async def warm(call: Caller) -> None:
    """Import the function."""
    assert (await call()).status_code == 200
