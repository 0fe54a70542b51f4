"""Backups of a running server, and damaged backups."""

import asyncio
import contextlib
import hashlib
import io
import json
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir
from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.models import Execution, ExecutionRequest
from minifn.services.backup import RESTORED, BackupError, Summary, backup, restore
from minifn.store import build_queue, deployments, execution_queue, executions, functions
from minifn.store.connection import connect
from minifn.store.database import Database
from tests.services.conftest import ARCHIVE
from tests.serving import Server

LOCKED = (
    "The key of the variables is not in it: keep variables.key, or MINIFN_VARIABLES_KEY, too.\n"
)


def minifn(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "minifn", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def restored(file: Path, to: Path) -> tuple[DataDir, sqlite3.Connection]:
    data = DataDir(to)
    restore(file, data)
    return data, connect(data.database)


def rewritten(file: Path, change: Callable[[tarfile.TarInfo, bytes], bytes | None]) -> Path:
    """A copy of a backup whose members went through `change`; None leaves a member out."""
    copy = file.with_name("rewritten.tar")
    with tarfile.open(file) as source, tarfile.open(copy, "w") as target:
        for member in source:
            content = source.extractfile(member)
            assert content is not None
            changed = change(member, content.read())
            if changed is not None:
                member.size = len(changed)
                target.addfile(member, io.BytesIO(changed))
    return copy


def test_a_restored_directory_is_complete_and_builds_ready_deployments(
    kept: DataDir, tmp_path: Path
) -> None:
    file = tmp_path / "copy.tar"
    assert backup(kept, file) == Summary(deployments=2, left_out=1, keys=3, locked=False)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    data, conn = restored(file, tmp_path / "again")
    with contextlib.closing(conn):
        found = {one.id: one for one in deployments.TABLE.all(conn, "1")}
        assert {one.status for one in found.values()} == {"waiting"}
        function = functions.get(conn, "fn")
        assert function is not None
        assert function.deployment_id == "old"
        # The active one is built first, and the newer one does not take its place by being built
        # again.
        first = build_queue.claim(conn, now_ms())
        assert first is not None
        assert first.id == "old"
        second = build_queue.claim(conn, now_ms())
        assert second is not None
        build_queue.finish(
            conn, second.id, build_queue.BuildResult(status="ready", duration_seconds=1), now_ms()
        )
        function = functions.get(conn, "fn")
        assert function is not None
        assert function.deployment_id == "old"
    assert set(found) == {"old", "new"}
    assert all(data.source(one).read_bytes() == ARCHIVE for one in found)
    assert all(data.source(one).stat().st_mode & 0o777 == 0o600 for one in found)
    for ours, theirs in zip(data.key_files(), kept.key_files(), strict=True):
        assert ours.read_bytes() == theirs.read_bytes()
        assert ours.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in data.root.iterdir()} == {
        path.name for path in kept.root.iterdir()
    }


def test_queued_executions_are_not_run_a_second_time(kept: DataDir, tmp_path: Path) -> None:
    def queue(conn: sqlite3.Connection) -> None:
        for name, due_at in (("waits", 0), ("due", now_ms() - 1), ("later", now_ms() + 3_600_000)):
            execution = Execution(
                id=name,
                function_id="fn",
                deployment_id="old",
                trigger="http",
                status="scheduled" if due_at else "waiting",
                scheduled_at=due_at,
            )
            execution_queue.enqueue(conn, execution, ExecutionRequest(method="POST", path="/"))

    async def fill() -> None:
        async with Database(kept.database) as database:
            await database.write(queue)

    asyncio.run(fill())
    backup(kept, tmp_path / "copy.tar")
    _, conn = restored(tmp_path / "copy.tar", tmp_path / "again")
    with contextlib.closing(conn):
        found = {one.id: (one.status, one.errors) for one in executions.TABLE.all(conn, "1")}
        assert execution_queue.stored(conn).waiting == 0
    assert found == {
        "waits": ("failed", RESTORED),
        "due": ("failed", RESTORED),
        "later": ("scheduled", ""),
    }


def test_keys_can_be_left_out(kept: DataDir, tmp_path: Path) -> None:
    done = minifn("backup", tmp_path / "copy.tar", "--without-keys", "--data", kept.root)
    assert (done.returncode, done.stdout) == (
        0,
        f"{tmp_path / 'copy.tar'}: 2 deployments, 0 builds, no key files\n" + LOCKED,
    )
    assert "1 deployments are left out" in done.stderr
    done = minifn("restore", tmp_path / "copy.tar", "--data", tmp_path / "again")
    assert done.returncode == 0
    assert "put variables.key into" in done.stdout
    assert not DataDir(tmp_path / "again").key_files()


def test_a_directory_with_something_in_it_is_left_alone(kept: DataDir, tmp_path: Path) -> None:
    backup(kept, tmp_path / "copy.tar")
    before = sorted(kept.root.rglob("*"))
    done = minifn("restore", tmp_path / "copy.tar", "--data", kept.root)
    reason = "is not empty: a backup is restored into a new or an empty directory"
    assert (done.returncode, done.stderr) == (1, f"minifn: {kept.root} {reason}\n")
    assert sorted(kept.root.rglob("*")) == before


def test_a_failed_backup_is_reported_in_one_line(tmp_path: Path) -> None:
    done = minifn("backup", tmp_path / "copy.tar", "--data", tmp_path / "nowhere")
    place = tmp_path / "nowhere"
    reason = f"no server keeps its data in {place}: name its directory with --data"
    assert (done.returncode, done.stderr) == (1, f"minifn: {reason}\n")
    assert list(tmp_path.iterdir()) == []


def extended(kind: bytes, content: bytes) -> bytes:
    """An extended header of a tar file, with its content."""
    header = tarfile.TarInfo("more")
    header.type, header.size = kind, len(content)
    return header.tobuf() + content.ljust(tarfile.BLOCKSIZE, b"\0")


@pytest.mark.parametrize(
    "damage",
    [
        *(
            "cut",
            "flipped",
            "other key",
            "missing",
            "no database",
            "outside",
            "link",
            "newer",
            "foreign",
        ),
        *("nested", "nested headers", "endless"),
    ],
)
def test_a_damaged_backup_is_refused_and_leaves_nothing(
    kept: DataDir, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "copy.tar"
    backup(kept, file)

    def spoil(member: tarfile.TarInfo, content: bytes) -> bytes | None:
        if member.name == "manifest.json" and damage == "newer":
            return json.dumps({**json.loads(content), "format": 99}).encode()
        if member.name == "deployments/new.tar.gz":
            if damage == "flipped":
                return content[:-1] + bytes([content[-1] ^ 1])
            if damage == "outside":
                member.name = "deployments/../../outside.tar.gz"
            if damage == "link":
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            return None if damage == "missing" else content
        if member.name == "variables.key" and damage == "other key":
            content = b"0" * 64
        if member.name == "manifest.json" and damage == "nested":
            return b'{"format":1,"more":' + b"[" * 100_000
        if member.name == "manifest.json" and damage == "other key":
            manifest = json.loads(content)
            manifest["files"]["variables.key"] = hashlib.sha256(b"0" * 64).hexdigest()
            return json.dumps(manifest).encode()
        return None if member.name == "minifn.db" and damage == "no database" else content

    file = rewritten(file, spoil)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    if damage == "foreign":
        file.write_text("something else")
    if damage == "nested headers":
        file.write_bytes(extended(tarfile.GNUTYPE_LONGNAME, b"a") * 2000 + file.read_bytes())
    if damage == "endless":
        file.write_bytes(
            extended(tarfile.XHDTYPE, b"33 size=99999999999999999999999\n") + file.read_bytes()
        )
    target = DataDir(tmp_path / "again")
    with pytest.raises(BackupError):
        restore(file, target)
    assert not target.root.exists()
    assert not list(tmp_path.rglob("outside*"))


def test_a_row_without_its_archive_is_refused(kept: DataDir, tmp_path: Path) -> None:
    """Its checksums are right: only a copy made by other means can be like that."""
    file = tmp_path / "copy.tar"
    backup(kept, file)

    def remove(member: tarfile.TarInfo, content: bytes) -> bytes | None:
        if member.name == "manifest.json":
            manifest = json.loads(content)
            del manifest["files"]["deployments/new.tar.gz"]
            return json.dumps(manifest).encode()
        return None if member.name == "deployments/new.tar.gz" else content

    with pytest.raises(BackupError, match="no archive of the deployment new"):
        restore(rewritten(file, remove), DataDir(tmp_path / "again"))


def test_a_row_that_belongs_to_nothing_is_named(kept: DataDir, tmp_path: Path) -> None:
    file = tmp_path / "copy.tar"
    with contextlib.closing(connect(kept.database)) as conn:
        conn.execute("PRAGMA foreign_keys = OFF")
        conn.execute("INSERT INTO execution_bodies VALUES (123456, x'00')")
    backup(kept, file)
    with pytest.raises(BackupError) as caught:
        restore(file, DataDir(tmp_path / "again"))
    assert "ok" not in str(caught.value).split()
    assert "row 123456 of execution_bodies belongs to a row of execution_requests" in str(
        caught.value
    )


@pytest.mark.parametrize(
    "statements",
    [
        ("UPDATE deployments SET id = '../deployments/old' WHERE id = 'old'",),
        ("UPDATE functions SET id = '../../fn'", "UPDATE deployments SET function_id = '../../fn'"),
        ("UPDATE functions SET id = ''", "UPDATE deployments SET function_id = ''"),
    ],
)
def test_ids_that_lead_elsewhere_are_refused(
    kept: DataDir, tmp_path: Path, statements: tuple[str, ...]
) -> None:
    """A forged backup: the server would delete the files that such ids name."""
    with pytest.raises(BackupError, match="is not an ID"):
        restore(changed(kept, tmp_path, *statements), DataDir(tmp_path / "again"))


def test_pending_fetches_in_a_backup_are_dropped(kept: DataDir, tmp_path: Path) -> None:
    fetch = (
        "INSERT INTO git_fetches VALUES ('old', '', '../../../somewhere', 'refs/heads/main', '', 0)"
    )
    _, conn = restored(changed(kept, tmp_path, fetch), tmp_path / "again")
    with contextlib.closing(conn):
        assert conn.execute("SELECT count(*) FROM git_fetches").fetchone() == (0,)


def changed(kept: DataDir, tmp_path: Path, *statements: str) -> Path:
    """A backup whose database was changed by hand, and its checksum with it."""
    file = tmp_path / "copy.tar"
    backup(kept, file)
    copy = tmp_path / "copy.db"

    def change(member: tarfile.TarInfo, content: bytes) -> bytes:
        if member.name == "minifn.db":
            copy.write_bytes(content)
            with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as conn:
                for statement in statements:
                    conn.execute(statement)
            return copy.read_bytes()
        if member.name == "manifest.json":
            manifest = json.loads(content)
            manifest["files"]["minifn.db"] = hashlib.sha256(copy.read_bytes()).hexdigest()
            return json.dumps(manifest).encode()
        return content

    return rewritten(file, change)


@pytest.mark.slow
def test_a_live_server_under_writes(data: Path, tmp_path: Path) -> None:
    """A copy of any moment is complete; a server started on it answers."""
    ended = threading.Event()
    failures: list[BaseException] = []

    @contextlib.contextmanager
    def writing(server: Server) -> Iterator[None]:
        def write() -> None:
            try:
                with server.api as api:
                    while not ended.is_set():
                        made = [
                            api.upload("churn", ARCHIVE, activate="false")["$id"] for _ in range(4)
                        ]
                        api.execute("hello", body='{"name": "Ada"}')
                        api.enqueue("hello", body='{"name": "Ada"}')
                        api.call(
                            "POST",
                            "/functions/hello/variables",
                            201,
                            json={"key": f"K{new_id()}", "value": "v" * 500},
                        )
                        for one in made:
                            api.call("DELETE", f"/functions/churn/deployments/{one}", 204)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=write) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    with Server(data) as server:
        with server.api as api:
            for name in ("hello", "churn"):
                api.create(name, api.runtime("python"), entrypoint="main.py", execute=["any"])
            api.deploy("hello", ARCHIVE)
        with writing(server):
            for number in range(4):
                done = minifn("backup", tmp_path / "copy.tar", "--force", "--data", data)
                assert done.returncode == 0, done.stderr
                # Raises for any row without its archive, and for a database that is not whole.
                restore(tmp_path / "copy.tar", DataDir(tmp_path / f"again-{number}"))
        assert failures == []
        key = server.key
    place = data.with_name("restored")
    assert minifn("restore", tmp_path / "copy.tar", "--data", place).returncode == 0
    with Server(place) as again:
        assert again.key == key
        with again.api as api:
            function = api.call("GET", "/functions/hello", 200)
            api.built("hello", function["deploymentId"])
            execution = api.execute("hello", body='{"name": "Ada"}')
            assert execution["status"] == "completed", execution["errors"]
            assert len(function["vars"]) >= 1
