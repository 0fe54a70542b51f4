"""Full disks and lost files: clear errors, nothing corrupt, and recovery once the disk is well."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import httpx
import psutil
import pytest

from minifn.sandbox.lock import WAIT_SECONDS
from minifn.services.schedules import RETRY_SECONDS
from tests.crash.invariants import check_database, check_files
from tests.crash.pressure import CHUNK_BYTES, CHURNED, FUNCTION, prepare, send_chunk
from tests.patience import patient
from tests.serving import FUNCTIONS, Api, Server, pack, wait_until

pytestmark = pytest.mark.slow

DISK_BYTES = 96 * 1024 * 1024


class Disk(Protocol):
    """A data directory's disk."""

    data: Path

    def fill(self, server: Server) -> None:
        """Fill the disk."""

    def clear(self, server: Server) -> None:
        """Free the space."""


class SmallDisk:
    """A small file system, filled by a file."""

    def __init__(self, mount: Path) -> None:
        self.data = mount / "data"
        self._ballast = mount / "ballast"

    def fill(self, server: Server) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1):
                try:
                    while True:
                        file.write(bytes(size << 12))
                except OSError:
                    continue

    def clear(self, server: Server) -> None:
        self._ballast.unlink()


class SmallFiles:
    """No file of the server may grow; for machines without root."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"

    def fill(self, server: Server) -> None:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def clear(self, server: Server) -> None:
        resource.prlimit(
            server.process.pid,
            resource.RLIMIT_FSIZE,
            (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
        )


@pytest.fixture(params=["disk", "limit"])
def disk(request: pytest.FixtureRequest, data: Path) -> Iterator[Disk]:
    """Each way to run out of space."""
    if request.param == "limit":
        yield SmallFiles(data.parent)
        return
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system: run the tests as root")
    mount = data.parent / "disk"
    mount.mkdir(mode=0o711)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=711", "tmpfs", str(mount)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(mount)
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and type of an error."""
    return answer.status_code, answer.json()["type"]


def use_up_log(api: Api) -> None:
    """Write until the database must grow: its log reuses its own space."""
    for number in range(200):
        body = {"key": f"FILL{number}", "value": "x" * 8000}
        if api.http.post(f"/functions/{CHURNED}/variables", json=body).status_code != 201:
            return
    raise AssertionError("the disk is not full")


def test_a_full_disk_refuses_and_recovers(disk: Disk, data: Path) -> None:
    failed = (503, "general_storage_unavailable")
    server = Server(disk.data)
    server.log = data.with_name("server.log")
    with server, server.api as api:
        prepare(api)
        ready = api.call("GET", f"/functions/{FUNCTION}", 200)["deploymentId"]
        api.create("ticking", api.runtime("python"), entrypoint="main.py", schedule="* * * * *")
        api.deploy("ticking", pack(FUNCTIONS / "hello"))
        assert api.call("GET", "/health", 200)["problem"] == ""
        code = pack(FUNCTIONS / "hello", extra={"padding.bin": os.urandom(CHUNK_BYTES + 1000)})
        running = api.enqueue(FUNCTION, path="/?seconds=1")
        building = api.upload(FUNCTION, pack(FUNCTIONS / "pause"))["$id"]
        wait_until(lambda: status(api, building) == "building", 10, "it builds")
        disk.fill(server)
        use_up_log(api)
        executions = f"/functions/{FUNCTION}/executions"
        assert problem(api.http.post(executions, json={})) == failed
        assert problem(api.http.post(executions, json={"async": True})) == failed
        uploads = f"/functions/{CHURNED}/deployments"
        for content, headers in (
            (code, {}),
            (code[:CHUNK_BYTES], {"content-range": f"bytes 0-{CHUNK_BYTES - 1}/{len(code)}"}),
        ):
            file = {"code": ("code.tar.gz", content)}
            answer = api.http.post(uploads, files=file, data={"activate": "true"}, headers=headers)
            assert problem(answer) == failed
        assert api.call("GET", executions, 200)["total"] > 0
        assert api.call("GET", "/health/version", 200)
        health = api.call("GET", "/health", 503)
        assert health["status"] == "fail"
        assert health["problem"].startswith(f"{disk.data} cannot be written: ")
        checks = api.call("GET", "/minifn/health", 200)["checks"]
        (check,) = (one for one in checks if one["name"] == "data directory")
        assert (check["state"], bool(check["remedy"])) == ("OFF", True)
        if isinstance(disk, SmallDisk):
            (disk.data / "deployments" / f"{ready}~output.tar.gz").unlink(missing_ok=True)
            output = f"/functions/{FUNCTION}/deployments/{ready}/download"
            assert problem(api.http.get(output, params={"type": "output"})) == failed
            tick = "due executions cannot be queued"
            wait_until(lambda: tick in server.log.read_text(), 62, "a tick fails")
            # Once for all attempts: the log may lie on the full disk.
            repeated = time.monotonic() + 2.5 * RETRY_SECONDS
            wait_until(lambda: time.monotonic() > repeated, 60, "it tries again")
            assert server.log.read_text().count(tick) == 1
        disk.clear(server)
        assert api.call("GET", "/health", 200)["status"] == "pass"

        assert api.finished(FUNCTION, running["$id"])["status"] == "completed"
        assert api.built(FUNCTION, building)["status"] in ("ready", "failed")
        assert api.execute(FUNCTION)["status"] == "completed"
        assert api.finished(FUNCTION, api.enqueue(FUNCTION)["$id"])["status"] == "completed"
        api.deploy(CHURNED, code)
        deployment_id = send_chunk(api, code, 0)
        assert send_chunk(api, code, CHUNK_BYTES, deployment_id) == deployment_id
        assert api.built(CHURNED, deployment_id)["status"] == "ready"
        for row in list(api.pages(executions, "executions")):
            assert api.finished(FUNCTION, row["$id"])
        assert "Traceback" not in server.log.read_text()
        if isinstance(disk, SmallDisk):
            # In the other way, not even the log may grow.
            assert "disk is full" in server.log.read_text()
        assert server.stop() == 0
        check_database(disk.data)
        check_files(disk.data)


@pytest.mark.parametrize("disk", ["limit"], indirect=True)
def test_a_server_stops_in_order_on_a_full_disk(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It leaves nothing of the log to be written.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    server = Server(disk.data)
    with server, server.api as api:
        prepare(api)
        queued = [api.enqueue(FUNCTION, path="/?seconds=1")["$id"] for _ in range(10)]
        building = api.upload(FUNCTION, pack(FUNCTIONS / "pause"))["$id"]
        wait_until(lambda: status(api, building) == "building", 10, "it builds")
        disk.fill(server)
        use_up_log(api)
        assert server.stop(15) == 0
    check_database(disk.data)
    with server, server.api as api:
        for execution_id in queued:
            assert api.finished(FUNCTION, execution_id)
        assert api.built(FUNCTION, building)["status"] == "ready"
        assert api.execute(FUNCTION)["status"] == "completed"
    check_files(disk.data)


def status(api: Api, deployment_id: str) -> str:
    """Return the status of FUNCTION's build."""
    return str(api.call("GET", f"/functions/{FUNCTION}/deployments/{deployment_id}", 200)["status"])


def test_lost_files_cost_only_their_content(data: Path) -> None:
    with Server(data) as server, server.api as api:
        prepare(api)
        first = api.call("GET", f"/functions/{CHURNED}", 200)["deploymentId"]
        shutil.rmtree(data / "builds" / first)
        (data / "deployments" / f"{first}.tar.gz").unlink()
        for worker in server.workers():
            # Killing one process of a sandbox kills the others.
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.send_signal(signal.SIGKILL)
        wait_until(lambda: not server.workers(), 10, "the workers are gone")
        body = '{"name": "World"}'
        lost = api.execute(CHURNED, body=body)
        assert (lost["status"], lost["responseStatusCode"]) == ("failed", 500)
        assert lost["errors"]
        path = f"/functions/{CHURNED}/deployments/{first}"
        for kind in ("source", "output"):
            answer = api.http.get(f"{path}/download", params={"type": kind})
            assert answer.status_code in (404, 500), (kind, answer.text)
        assert api.http.post(f"{path}/build").status_code == 404
        api.deploy(CHURNED, pack(FUNCTIONS / "hello"))
        again = api.execute(CHURNED, body=body)
        assert again["status"] == "completed", again["errors"]
        assert api.execute(FUNCTION)["status"] == "completed"


def test_a_second_server_is_refused_at_once(data: Path) -> None:
    with Server(data) as server, server.api as api:
        second = Server(data)
        began = time.monotonic()
        second.launch()
        assert second.ended(10) == 1
        assert time.monotonic() - began < patient(2, fault_seconds=WAIT_SECONDS)
        line = second.log_tail().splitlines()[-1]
        holder = f"another server (process {server.process.pid}) is using {data}"
        assert line == f"minifn: cannot start: {holder}"
        assert api.call("GET", "/health/version", 200)


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can mount a file system read-only: run the tests as root"
)
@pytest.mark.parametrize("disk", ["disk"], indirect=True)
def test_a_read_only_disk_is_one_line(disk: Disk) -> None:
    mount = disk.data.parent
    with Server(disk.data):
        pass
    subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
    server = Server(disk.data)
    server.log = mount.parent / "log"
    server.launch()
    assert server.ended(10) == 1
    assert server.log_tail().startswith("minifn: cannot start: ")
    assert server.log_tail().count("\n") == 1
    subprocess.run(["mount", "-o", "remount,rw", str(mount)], check=True)
    with Server(disk.data) as again, again.api as api:
        prepare(api)
