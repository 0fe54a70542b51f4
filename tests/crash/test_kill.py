"""`kill -9` at random instants: nothing is lost or stuck, and no process of the old server lives.

CRASH_ROUNDS and CRASH_SEED (environment) set the number of rounds and repeat an earlier run.
"""

import contextlib
import faulthandler
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.crash.acknowledged import Acknowledged, Witness
from tests.crash.invariants import (
    check_backup,
    check_database,
    check_files,
    check_kept,
    gone,
    relatives,
    telling,
)
from tests.crash.pressure import BACKUP, FUNCTION, Pressure, prepare, prepare_more
from tests.serving import FUNCTIONS, Api, Server, pack, wait_until

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
SEED = int(os.environ.get("CRASH_SEED", str(time.time_ns())))
CHUNK_BYTES = 5 * 1024 * 1024


@pytest.fixture(params=["bwrap", "process"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each isolation engine of this machine."""
    if request.param == "bwrap":
        request.getfixturevalue("bwrap")
    return str(request.param)


def test_kill_in_the_middle_of_everything(engine: str, data: Path) -> None:
    # pytest stops a hanging test earlier.
    faulthandler.cancel_dump_traceback_later()
    instants = random.Random(SEED)
    print(f"CRASH_SEED={SEED}")
    kept = Acknowledged()
    server = Server(data, sandbox=engine)
    with server, server.api as api:
        prepare_more(api)
    with Witness() as witness:
        for number in range(ROUNDS):
            server.start()
            up = time.time()
            pressure = Pressure(server, kept, witness, data.parent, seed=SEED + number)
            pressure.start()
            # Now and then long enough that a minute begins.
            time.sleep(
                instants.uniform(4.0, 14.0) if number % 10 == 9 else instants.uniform(0.2, 2.0)
            )
            before = relatives(server)
            kept.up.append((up, time.time()))
            server.kill()
            pressure.stop()
            assert not pressure.failures, server.log_tail()
            gone(before, server)
            check_database(data)
        with server, server.api as api, telling(server):
            check_kept(api, kept, witness.runs)
    check_database(data)
    check_files(data)
    check_restored(kept, data.parent / BACKUP, engine)


def check_restored(kept: Acknowledged, file: Path, engine: str) -> None:
    """Raise AssertionError unless the last backup has all that was acknowledged when it began."""
    again = file.with_name("again")
    subprocess.run(
        [sys.executable, "-m", "minifn", "restore", str(file), "--data", str(again)], check=True
    )
    with Server(again, sandbox=engine) as server, server.api as api:
        check_backup(api, kept)
    check_database(again)


def test_kill_while_starting(data: Path) -> None:
    instants = random.Random(SEED)
    print(f"CRASH_SEED={SEED}")
    server = Server(data)
    for _ in range(ROUNDS * 2):
        server.launch()
        time.sleep(instants.uniform(0.0, 0.7))
        server.kill()
        gone([], server)
    with server, server.api as api:
        prepare(api)
        assert api.execute(FUNCTION)["status"] == "completed"
    check_database(data)


def test_an_upload_goes_on_after_a_kill_between_its_chunks(data: Path) -> None:
    code = pack(FUNCTIONS / "sdk", extra={"padding.bin": os.urandom(CHUNK_BYTES + 1000)})
    path = f"/functions/{FUNCTION}/deployments"

    def send(api: Api, start: int, deployment_id: str = "") -> str:
        chunk = code[start : start + CHUNK_BYTES]
        headers = {"content-range": f"bytes {start}-{start + len(chunk) - 1}/{len(code)}"}
        if deployment_id:
            headers["x-appwrite-id"] = deployment_id
        files = {"code": ("code.tar.gz", chunk)}
        answer = api.call(
            "POST", path, 202, files=files, data={"activate": "true"}, headers=headers
        )
        return str(answer["$id"])

    server = Server(data).start()
    with server.api as api:
        api.create(FUNCTION, api.runtime("python"), entrypoint="main.py")
        deployment_id = send(api, 0)
    server.kill()
    with server, server.api as api:
        assert send(api, CHUNK_BYTES, deployment_id) == deployment_id
        assert api.built(FUNCTION, deployment_id)["status"] == "ready"
        assert f'"padding":{CHUNK_BYTES + 1000}' in api.execute(FUNCTION)["responseBody"]


def test_a_killed_worker_fails_its_execution_and_no_other(engine: str, data: Path) -> None:
    with Server(data, sandbox=engine) as server, server.api as api:
        idle = {process.pid for process in relatives(server)}
        prepare(api)
        queued = api.enqueue(FUNCTION, path="/?seconds=5")
        path = f"/functions/{FUNCTION}/executions/{queued['$id']}"
        wait_until(
            lambda: api.call("GET", path, 200)["status"] == "processing", 10, "the execution runs"
        )
        for process in relatives(server):
            if process.pid not in idle:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
        lost = api.finished(FUNCTION, queued["$id"], seconds=4)
        assert (lost["status"], lost["responseStatusCode"]) == ("failed", 500)
        assert lost["errors"]
        assert api.execute(FUNCTION)["status"] == "completed"


def test_a_server_without_its_launcher_stops_with_a_reason(engine: str, data: Path) -> None:
    server = Server(data, sandbox=engine).start()
    with server.api as api:
        prepare(api)
        api.execute(FUNCTION)
    before = relatives(server)
    (launcher,) = (process for process in before if "launcher.main" in " ".join(process.cmdline()))
    launcher.kill()
    assert server.ended(10) == 1
    assert (
        server.log_tail().splitlines()[-1]
        == "minifn: stopped: the launcher of functions ended unexpectedly"
    )
    gone(before, server, seconds=1)
    with server, server.api as api:
        assert api.execute(FUNCTION)["status"] == "completed"


def test_stop_finishes_executions_and_leaves_no_process(engine: str, data: Path) -> None:
    kept = Acknowledged()
    server = Server(data, sandbox=engine).start()
    with server.api as api:
        prepare_more(api)
    with Witness() as witness:
        pressure = Pressure(server, kept, witness, data.parent)
        pressure.start()
        wait_until(
            lambda: len(kept.executions) > 20 and len(kept.deployments) > 1,
            20,
            "the server is busy",
        )
        before = relatives(server)
        assert server.stop() == 0
        pressure.stop()
        gone(before, server, seconds=2)
        check_database(data)
        with server, server.api as api:
            check_kept(api, kept, witness.runs, stopped=True)
    check_files(data)
