"""What must be true of a server and its data directory, whatever happened to them."""

import contextlib
import sqlite3
from pathlib import Path

import psutil

from tests.crash.pressure import CHURNED, FUNCTION, LISTENER, Acknowledged
from tests.serving import FINAL_BUILD, FINAL_EXECUTION, FUNCTIONS, Api, Server, mentions, pack, wait_until

RUNNING = ("processing", "building")


def relatives(server: Server) -> list[psutil.Process]:
    """Every live process that belongs to the server: its descendants, and whoever works in its data directory."""
    mark = str(server.data)
    found = {process.pid: process for process in server.tree()}
    for process in psutil.process_iter():
        if process.pid not in found and mentions(process.pid, mark):
            found[process.pid] = process
    return [process for process in found.values() if alive(process)]


def alive(process: psutil.Process) -> bool:
    """Whether this very process still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def described(processes: list[psutil.Process]) -> list[str]:
    """One line a process, for a failed assertion."""
    lines = []
    for process in processes:
        try:
            lines.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
        except psutil.NoSuchProcess:
            lines.append(f"{process.pid} (gone)")
    return lines


def gone(processes: list[psutil.Process], server: Server, seconds: float = 5) -> None:
    """Wait until none of `processes`, and nothing else of the server, lives. Raises AssertionError naming them."""
    known = {(process.pid, process.create_time()): process for process in processes if alive(process)}

    def left() -> list[psutil.Process]:
        return [process for process in known.values() if alive(process)] + relatives(server)

    with contextlib.suppress(AssertionError):
        wait_until(lambda: not left(), seconds, "the server's processes are gone")
    assert not left(), described(left())


def check_database(data: Path) -> None:
    """The stopped server's database is whole. Raises AssertionError."""
    with contextlib.closing(sqlite3.connect(data / "minifn.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def check_files(data: Path) -> None:
    """Of a server that had nothing left to do and was stopped in order: rows and files belong together.

    Raises AssertionError.
    """
    with contextlib.closing(sqlite3.connect(data / "minifn.db")) as connection:
        rows = connection.execute("SELECT id, status, chunks_uploaded >= chunks_total FROM deployments").fetchall()
        functions = {row[0] for row in connection.execute("SELECT id FROM functions")}
        found = connection.execute("SELECT DISTINCT status FROM executions WHERE status NOT IN (?, ?)", FINAL_EXECUTION)
        statuses = {row[0] for row in found}
        left = connection.execute("SELECT DISTINCT state FROM execution_requests").fetchall()
        (strangers,) = connection.execute(
            "SELECT count(*) FROM executions WHERE function NOT IN (SELECT sequence FROM functions)"
            " AND function NOT IN (SELECT sequence FROM deleted_functions)"
        ).fetchone()
    assert statuses <= {"scheduled", *FINAL_EXECUTION}
    assert left in ([], [("scheduled",)])
    assert strangers == 0
    assert all(status in FINAL_BUILD for _, status, whole in rows if whole)
    archives = {f"{name}.tar.gz" if whole else f"{name}.part" for name, _, whole in rows}
    assert {path.name for path in (data / "deployments").iterdir() if "~output" not in path.name} == archives
    built = {name for name, status, _ in rows if status == "ready"}
    assert {path.name for path in (data / "builds").iterdir()} - {".cache"} == built
    caches = {path.name for path in (data / "builds" / ".cache").iterdir()}
    assert caches <= functions
    assert list((data / "run" / "processes").iterdir()) == []
    assert list((data / "run" / "tmp").iterdir()) == []


def check_kept(api: Api, kept: Acknowledged) -> None:
    """Everything acknowledged is there, and comes to its end. Raises AssertionError."""
    check_deployments(api, kept)
    check_executions(api, kept)
    variables = {row["$id"]: row["value"] for row in api.pages(f"/functions/{FUNCTION}/variables", "variables")}
    assert kept.variables.items() <= variables.items()
    assert kept.variables_deleted.isdisjoint(variables)
    rules = {row["$id"]: row["domain"] for row in api.pages("/proxy/rules", "rules")}
    assert kept.rules.items() <= rules.items()
    functions = {row["$id"] for row in api.pages("/functions", "functions")}
    assert kept.functions <= functions
    assert kept.functions_deleted.isdisjoint(functions)
    for secret in kept.keys:
        assert api.http.get("/functions", headers={"x-appwrite-key": secret}).status_code == 200
    assert api.execute(FUNCTION)["status"] == "completed"


def check_deployments(api: Api, kept: Acknowledged) -> None:
    """Deployments are built and none is stuck. Raises AssertionError."""
    for deployment_id in kept.deployments:
        deployment = api.built(FUNCTION, deployment_id, seconds=120)
        assert deployment["status"] == "ready", deployment
    active = api.call("GET", f"/functions/{FUNCTION}", 200)["deploymentId"]
    rows = {row["$id"]: row["status"] for row in api.pages(f"/functions/{FUNCTION}/deployments", "deployments")}
    assert set(rows.values()) == {"ready"}
    assert active in rows
    for deployment_id in kept.churned:
        assert api.built(CHURNED, deployment_id, seconds=120)["status"] == "ready"
    # Half an upload waits for the rest. Everything else is built before what comes last.
    api.deploy(CHURNED, pack(FUNCTIONS / "hello"), seconds=120)
    path = f"/functions/{CHURNED}/deployments"
    wait_until(
        lambda: {row["status"] for row in api.pages(path, "deployments")}.isdisjoint(RUNNING), 60, "builds ended"
    )
    rows = {row["$id"]: row["status"] for row in api.pages(path, "deployments")}
    assert kept.begun | kept.churned <= set(rows)
    assert kept.deleted.isdisjoint(rows)
    assert {rows[name] for name in kept.begun - kept.churned} <= {"waiting", "ready"}


def check_executions(api: Api, kept: Acknowledged) -> None:
    """Executions are over, with the status they were said to have, unless they are due later. Raises AssertionError."""
    for execution_id, status in kept.executions.items():
        execution = api.finished(FUNCTION, execution_id)
        assert status not in FINAL_EXECUTION or execution["status"] == status, (status, execution)
    rows = list(api.pages(f"/functions/{FUNCTION}/executions", "executions"))
    assert kept.scheduled <= {row["$id"] for row in rows if row["status"] == "scheduled"}
    for row in rows:
        assert row["status"] in ("scheduled", *FINAL_EXECUTION) or api.finished(FUNCTION, row["$id"])
    caused = list(api.pages(f"/functions/{LISTENER}/executions", "executions"))
    assert len(caused) >= kept.caused
    for row in caused:
        assert row["status"] in FINAL_EXECUTION or api.finished(LISTENER, row["$id"])
