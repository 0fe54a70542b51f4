"""Loss of power: acknowledged changes are on disk before their answer leaves."""

import ctypes
import faulthandler
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from minifn.host.files import sync_tree
from tests.crash.acknowledged import Acknowledged, Witness
from tests.crash.invariants import check_database, check_files, check_kept, gone, relatives, telling
from tests.crash.plug import Disk
from tests.crash.pressure import (
    CHUNK_BYTES,
    CHURNED,
    FUNCTION,
    Pressure,
    prepare,
    prepare_more,
    send_chunk,
)
from tests.crash.test_kill import ROUNDS, SEED
from tests.crash.tracing import Trace, tracer
from tests.git.repositories import Repository, answering, git
from tests.serving import FINAL_BUILD, FUNCTIONS, Api, Server, pack, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def traced(data: Path) -> Iterator[tuple[Server, Trace]]:
    """A new server under strace."""
    log = data.with_name("calls.log")
    # Namespaces would show files under other names.
    server = Server(data, sandbox="process")
    server.wrapper = tracer(log)
    with server:
        yield server, Trace(log, data)


def unsafe(api: Api, trace: Trace, act: Callable[[], object]) -> set[str]:
    """Return what was not on disk when the last answer to the requests of `act` left."""
    catch_up(api, trace)
    before = len(trace.answers)
    act()
    catch_up(api, trace)
    assert len(trace.answers) > before
    return trace.answers[-1]


def catch_up(api: Api, trace: Trace) -> None:
    """Wait until the log, which lags, has every answer so far."""
    before = trace.read().refusals
    assert api.http.get("/nothing").status_code == 404
    wait_until(lambda: trace.read().refusals > before, 10, "the refusal is logged")


def test_acknowledged_changes_are_on_disk(traced: tuple[Server, Trace], tmp_path: Path) -> None:
    server, trace = traced
    with server.api as api:
        assert unsafe(api, trace, lambda: api.call("GET", "/health/version", 200)) == set()
        prepare(api)
        assert unsafe(api, trace, lambda: api.call("GET", "/functions", 200)) == set()
        code = pack(FUNCTIONS / "hello", extra={"padding.bin": os.urandom(CHUNK_BYTES + 1000)})
        begun: list[str] = []
        variables = f"/functions/{FUNCTION}/variables"
        due = (datetime.now(UTC) + timedelta(hours=1)).replace(second=0, microsecond=0).isoformat()
        repository = Repository(tmp_path / "repository")
        repository.commit({"main.py": answering("pushed")})
        address = f"http://any:{server.key}@127.0.0.1:{server.port}/git/{CHURNED}.git"
        steps: list[Callable[[], object]] = [
            lambda: api.execute(FUNCTION),
            lambda: api.enqueue(FUNCTION, scheduledAt=due),
            lambda: api.call(
                "POST", variables, 201, json={"variableId": "v", "key": "V", "value": "1"}
            ),
            lambda: api.call("PUT", f"{variables}/v", 200, json={"key": "V", "value": "2"}),
            lambda: api.call("PUT", f"/functions/{FUNCTION}", 200, json={"name": "renamed"}),
            lambda: begun.append(send_chunk(api, code, 0)),
            lambda: api.built(CHURNED, send_chunk(api, code, CHUNK_BYTES, begun[0])),
            lambda: api.upload(CHURNED, code),
            lambda: api.call("POST", f"/functions/{CHURNED}/deployments/{begun[0]}/build", 202),
            lambda: api.http.get(f"/functions/{CHURNED}/deployments/{begun[0]}/build/download"),
            lambda: git(repository.path, "push", address, "main"),
            lambda: api.call("DELETE", f"/functions/{CHURNED}/deployments/{begun[0]}", 204),
            lambda: api.call("DELETE", f"/functions/{FUNCTION}", 204),
        ]
        for number, step in enumerate(steps):
            assert unsafe(api, trace, step) == set(), number
            # No other writes disturb the next answer.
            wait_until(lambda: idle(api, server, begun), 60, "the builds are over")
        # A build is synchronized as a whole. Files ~new get their real name later.
        assert {
            path
            for path in trace.hollow
            if data_part(server, path) != "builds" and "~new" not in path
        } == set()


def data_part(server: Server, path: str) -> str:
    """Return the folder of the data directory that holds a file."""
    return Path(path).relative_to(server.data).parts[0]


def idle(api: Api, server: Server, begun: list[str]) -> bool:
    """Tell whether all builds but those of uploads in `begun` have ended, and are packed if active.

    Packing begins a second after a build became active.
    """
    rows = api.pages(f"/functions/{CHURNED}/deployments", "deployments")
    active = {one["deploymentId"] for one in api.pages("/functions", "functions")} - {""}
    deployments = server.data / "deployments"
    return all(row["status"] in FINAL_BUILD for row in rows if row["$id"] not in begun) and all(
        (deployments / f"{one}~output.tar.gz").exists() for one in active
    )


def test_changes_of_commands_are_on_disk(data: Path, tmp_path: Path) -> None:
    with Server(data) as server, server.api as api:
        prepare(api)
    backup, again = tmp_path / "backup.tar", tmp_path / "somewhere" / "again"
    for number, (root, arguments) in enumerate(
        [
            (
                data,
                ("keys", "create", "--name", "k", "--scope", "functions.read", "--data", str(data)),
            ),
            (backup.parent, ("backup", str(backup), "--data", str(data))),
            (again.parent, ("restore", str(backup), "--data", str(again))),
        ]
    ):
        log = data.with_name(f"calls-{number}.log")
        command = [*tracer(log), sys.executable, "-m", "minifn", *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        assert set(Trace(log, root).read().left) == set()


def test_errors_of_other_files_do_not_fail_a_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """syncfs reports errors of every file of its file system, which no test disk can produce."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("content")
    (tmp_path / "link").symlink_to("nowhere")
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(syncfs=lambda _: -1))
    sync_tree(tmp_path)
    assert sorted(synced) == [str(tmp_path / part) for part in (".", "folder", "folder/file")]


@pytest.fixture
def disk(data: Path) -> Iterator[Disk]:
    """A disk whose power can be cut."""
    disk = Disk(data.parent)
    try:
        yield disk
    finally:
        disk.unmount()


def test_power_goes_in_the_middle_of_everything(disk: Disk, data: Path) -> None:
    # Longer than pytest's limit for a test that hangs.
    faulthandler.cancel_dump_traceback_later()
    instants = random.Random(SEED)
    print(f"CRASH_SEED={SEED}")
    kept = Acknowledged()
    server = Server(disk.place / "data")
    server.log = data.with_name("server.log")
    with server, server.api as api:
        prepare_more(api)
    with Witness() as witness:
        for number in range(ROUNDS):
            server.start()
            up = time.time()
            pressure = Pressure(
                server, kept, witness, data.parent, commands=False, seed=SEED + number
            )
            pressure.start()
            time.sleep(instants.uniform(0.2, 3.0))
            before = relatives(server)
            # The last answer comes first, the last write a moment later.
            server.process.send_signal(signal.SIGSTOP)
            kept.up.append((up, time.time()))
            disk.pull_the_plug()
            server.kill()
            pressure.stop()
            assert not pressure.failures, server.log_tail()
            gone(before, server)
            disk.plug_in_again()
            check_database(server.data)
        with server, server.api as api, telling(server):
            check_kept(api, kept, witness.runs)
    check_database(server.data)
    check_files(server.data)
