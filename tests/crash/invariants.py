"""Invariants of a server and its data directory, whatever happened to them."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

from minifn.instants import parse_instant
from tests.crash.acknowledged import Acknowledged
from tests.crash.pressure import CHURNED, CONFIGURED, FUNCTION, LISTENER, PUSHED, TICKER, checksum
from tests.git.repositories import git
from tests.patience import patient
from tests.serving import (
    FINAL_BUILD,
    FINAL_EXECUTION,
    FUNCTIONS,
    Api,
    Server,
    mentions,
    pack,
    wait_until,
)

RUNNING = ("processing", "building")
#: Seconds after the start and before the kill in which a tick may have been missed.
TICK_SECONDS = 4.0
#: Most seconds between the due time of an execution and its start.
DUE_SECONDS = 5.0


def relatives(server: Server) -> list[psutil.Process]:
    """Return a server's live processes: descendants, and those in its data directory."""
    mark = str(server.data)
    found = {process.pid: process for process in server.tree()}
    for process in psutil.process_iter():
        if process.pid not in found and mentions(process.pid, mark):
            found[process.pid] = process
    return [process for process in found.values() if alive(process)]


@contextlib.contextmanager
def telling(server: Server) -> Iterator[None]:
    """Add the end of the server's log to a failed assertion in the block."""
    try:
        yield
    except AssertionError as error:
        error.add_note(server.log_tail())
        raise


def alive(process: psutil.Process) -> bool:
    """Tell whether this process, and none with its reused id, still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def described(processes: list[psutil.Process]) -> list[str]:
    """Return one line per process, for a failed assertion."""
    lines = []
    for process in processes:
        try:
            lines.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
        except psutil.NoSuchProcess:
            lines.append(f"{process.pid} (gone)")
    return lines


def gone(processes: list[psutil.Process], server: Server, seconds: float = 5) -> None:
    """Wait until `processes` and all others of the server have ended. Raises AssertionError."""
    known = {
        (process.pid, process.create_time()): process for process in processes if alive(process)
    }

    def left() -> list[psutil.Process]:
        return [process for process in known.values() if alive(process)] + relatives(server)

    with contextlib.suppress(AssertionError):
        wait_until(lambda: not left(), patient(seconds), "the server's processes are gone")
    assert not left(), described(left())


def check_database(data: Path) -> None:
    """Raise AssertionError unless the stopped server's database is whole."""
    with contextlib.closing(sqlite3.connect(data / "minifn.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def check_files(data: Path) -> None:
    """Raise AssertionError unless rows and files of a stopped server belong together.

    The server must have been idle and stopped in order.
    """
    with contextlib.closing(sqlite3.connect(data / "minifn.db")) as connection:
        rows = connection.execute(
            "SELECT id, status, chunks_uploaded >= chunks_total FROM deployments"
        ).fetchall()
        functions = {row[0] for row in connection.execute("SELECT id FROM functions")}
        found = connection.execute(
            "SELECT DISTINCT status FROM executions WHERE status NOT IN (?, ?)", FINAL_EXECUTION
        )
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
    assert {
        path.name for path in (data / "deployments").iterdir() if "~output" not in path.name
    } == archives
    built = {name for name, status, _ in rows if status == "ready"}
    assert {path.name for path in (data / "builds").iterdir()} - {".cache", ".toolchains"} == built
    caches = {path.name for path in (data / "builds" / ".cache").iterdir()}
    assert caches <= functions
    assert list((data / "run" / "processes").iterdir()) == []
    assert list((data / "run" / "tmp").iterdir()) == []


def check_kept(
    api: Api, kept: Acknowledged, runs: Mapping[str, int], *, stopped: bool = False
) -> None:
    """Raise AssertionError unless everything acknowledged exists and comes to its end.

    `runs` has the number of starts of each execution: more than one only when the server was
    `stopped` in order.
    """
    check_executions(api, kept, runs, stopped=stopped)
    check_ticks(api, kept)
    check_configured(api, kept, kept.tried)
    check_pushed(api, kept)
    check_deployments(api, kept)
    check_rows(api, kept)
    for secret in kept.keys_deleted:
        assert api.http.get("/functions", headers={"x-appwrite-key": secret}).status_code == 401
    caused = list(api.pages(f"/functions/{LISTENER}/executions", "executions"))
    assert len(caused) >= kept.caused
    for row in caused:
        assert row["status"] in FINAL_EXECUTION or api.finished(LISTENER, row["$id"])
    assert api.execute(FUNCTION)["status"] == "completed"


def check_rows(api: Api, kept: Acknowledged) -> None:
    """Raise AssertionError unless variables, rules, functions and keys are as acknowledged."""
    variables = {
        row["$id"]: row["value"]
        for row in api.pages(f"/functions/{FUNCTION}/variables", "variables")
    }
    assert kept.variables.items() <= variables.items()
    assert kept.variables_deleted.isdisjoint(variables)
    rules = {row["$id"]: row["domain"] for row in api.pages("/proxy/rules", "rules")}
    assert kept.rules.items() <= rules.items()
    functions = {row["$id"] for row in api.pages("/functions", "functions")}
    assert kept.functions <= functions
    assert kept.functions_deleted.isdisjoint(functions)
    for secret in kept.keys:
        assert api.http.get("/functions", headers={"x-appwrite-key": secret}).status_code == 200


def check_configured(api: Api, kept: Acknowledged, tried: Mapping[str, int]) -> None:
    """Raise AssertionError unless settings have their last value, or a later one of `tried`."""
    answer = api.execute(CONFIGURED, path="/kept")
    assert answer["status"] == "completed", answer["errors"]
    environment = json.loads(answer["responseBody"])
    found = {
        "name": int(
            api.call("GET", f"/functions/{CONFIGURED}", 200)["name"].replace(CONFIGURED, "0")
        ),
        "secret": int(environment["KEPT_SECRET"]),
        "project": int(environment["KEPT_PROJECT"]),
    }
    assert int(api.call("GET", "/project/variables/project", 200)["value"]) == found["project"]
    assert api.call("GET", f"/functions/{CONFIGURED}/variables/secret", 200)["value"] == ""
    for name, number in found.items():
        assert kept.set_to.get(name, 0) <= number <= tried.get(name, 0), (name, number)


def check_pushed(api: Api, kept: Acknowledged) -> None:
    """Raise AssertionError unless every pushed commit is in the repository and deployed."""
    rows = list(api.pages(f"/functions/{PUSHED}/deployments", "deployments"))
    for row in rows:
        assert api.built(PUSHED, row["$id"], seconds=120)["status"] == "ready", row
    assert kept.pushed <= {row["providerCommitHash"] for row in rows}
    if kept.pushed:
        assert kept.repository is not None
        root = (
            str(api.http.base_url)
            .removesuffix("/v1/")
            .replace("//", f"//any:{api.http.headers['x-appwrite-key']}@")
        )
        git(kept.repository.path, "fetch", "-q", f"{root}/git/{PUSHED}.git", "main")
        for commit in kept.pushed:
            git(kept.repository.path, "merge-base", "--is-ancestor", commit, "FETCH_HEAD")


def check_deployments(api: Api, kept: Acknowledged) -> None:
    """Raise AssertionError unless every deployment is built and none is stuck."""
    active = api.call("GET", f"/functions/{CHURNED}", 200)["deploymentId"]
    assert not kept.active or active in kept.active
    for deployment_id in kept.deployments:
        deployment = api.built(FUNCTION, deployment_id, seconds=120)
        assert deployment["status"] == "ready", deployment
    rows = list(api.pages(f"/functions/{FUNCTION}/deployments", "deployments"))
    for row in rows:
        assert api.built(FUNCTION, row["$id"], seconds=120)["status"] == "ready"
    # One client uploaded each after the other, to become active.
    newest = max(rows, key=lambda row: str(row["$createdAt"]))["$id"]
    assert api.call("GET", f"/functions/{FUNCTION}", 200)["deploymentId"] == newest
    for deployment_id in kept.churned:
        assert api.built(CHURNED, deployment_id, seconds=120)["status"] == "ready"
    for deployment_id in kept.copies:
        status = api.built(CONFIGURED, deployment_id, seconds=120)["status"]
        assert (status == "canceled") if deployment_id in kept.canceled else (status in FINAL_BUILD)
        assert status == "ready" or deployment_id in kept.cancels
    # An unfinished upload waits for its rest. All others are built before the last one.
    api.deploy(CHURNED, pack(FUNCTIONS / "hello"), seconds=120)
    path = f"/functions/{CHURNED}/deployments"
    wait_until(
        lambda: {row["status"] for row in api.pages(path, "deployments")}.isdisjoint(RUNNING),
        60,
        "builds ended",
    )
    statuses = {row["$id"]: row["status"] for row in api.pages(path, "deployments")}
    assert kept.begun | kept.churned <= set(statuses)
    assert kept.deleted.isdisjoint(statuses)
    assert {statuses[name] for name in kept.begun - kept.churned} <= {"waiting", "ready"}
    check_archives(api, kept)


def check_archives(api: Api, kept: Acknowledged) -> None:
    """Raise AssertionError unless uploaded archives have the content that was sent."""
    for deployment_id, (function_id, expected) in kept.archives.items():
        answer = api.http.get(f"/functions/{function_id}/deployments/{deployment_id}/download")
        assert answer.status_code == 200, (deployment_id, answer.text)
        assert checksum(answer.content) == expected, deployment_id


def begun(api: Api, execution_id: str) -> Any:
    """Return an execution that is due once it is no longer scheduled."""
    path = f"/functions/{FUNCTION}/executions/{execution_id}"

    def row() -> Any:
        found = api.call("GET", path, 200)
        return found if found["status"] != "scheduled" else None

    return wait_until(row, DUE_SECONDS, "the execution that is due begins")


def check_executions(
    api: Api, kept: Acknowledged, runs: Mapping[str, int], *, stopped: bool
) -> None:
    """Raise AssertionError unless executions ended as acknowledged and none ran twice.

    Executions that are due later still wait.
    """
    moment = time.time()
    rows = {row["$id"]: row for row in api.pages(f"/functions/{FUNCTION}/executions", "executions")}
    assert kept.executions_deleted.isdisjoint(rows)
    for execution_id in kept.scheduled | {
        name for name, at in kept.due.items() if at > moment + DUE_SECONDS
    }:
        assert rows[execution_id]["status"] == "scheduled"
    for execution_id, at in kept.due.items():
        if rows[execution_id]["status"] == "scheduled" and at <= moment - DUE_SECONDS:
            # It was due while no server ran, and this one may have just started.
            rows[execution_id] = begun(api, execution_id)
    for execution_id in rows:
        if rows[execution_id]["status"] not in ("scheduled", *FINAL_EXECUTION):
            rows[execution_id] = api.finished(FUNCTION, execution_id)
    for execution_id, status in kept.executions.items():
        ended = rows[execution_id]["status"]
        assert ended in FINAL_EXECUTION
        assert status not in FINAL_EXECUTION or ended == status, (status, rows[execution_id])
    for execution_id, row in rows.items():
        mark = httpx.URL(row["requestPath"]).params.get("mark")
        if mark is None or row["status"] == "scheduled":
            continue
        again = stopped and execution_id not in kept.answered
        assert runs.get(execution_id, 0) <= 1 or again, (execution_id, row)
        if row["status"] == "completed":
            assert row["logs"].strip() == mark, row
            assert runs[execution_id] >= 1, row


def check_ticks(api: Api, kept: Acknowledged) -> None:
    """Raise AssertionError unless the schedule ran once in each minute, while the server ran."""
    rows = list(api.pages(f"/functions/{TICKER}/executions", "executions"))
    assert {row["trigger"] for row in rows} <= {"schedule"}
    minutes = [parse_instant(row["$createdAt"]) // 60_000 for row in rows]
    assert len(set(minutes)) == len(minutes), minutes
    for begin, end in kept.up:
        first = int(begin + TICK_SECONDS) // 60 + 1
        for minute in range(first, int(end - TICK_SECONDS) // 60 + 1):
            assert minute in minutes, (minute, begin, end)


def check_backup(api: Api, kept: Acknowledged) -> None:
    """Raise AssertionError unless a restored backup has all that was acknowledged when it began."""
    before = kept.backed_up
    assert before is not None
    for function_id in (FUNCTION, CONFIGURED):
        active = api.call("GET", f"/functions/{function_id}", 200)["deploymentId"]
        assert api.built(function_id, active, seconds=120)["status"] == "ready"
    check_configured(api, before, kept.tried)
    check_rows(api, before)
    check_archives(api, before)
    rows = {row["$id"]: row for row in api.pages(f"/functions/{FUNCTION}/executions", "executions")}
    for execution_id, status in before.executions.items():
        assert rows[execution_id]["status"] in FINAL_EXECUTION
        assert status not in FINAL_EXECUTION or rows[execution_id]["status"] == status
    assert {name for name in before.scheduled if rows[name]["status"] != "scheduled"} == set()
    assert before.canceled <= {
        row["$id"]
        for row in api.pages(f"/functions/{CONFIGURED}/deployments", "deployments")
        if row["status"] == "canceled"
    }
    assert api.execute(FUNCTION)["status"] == "completed"
