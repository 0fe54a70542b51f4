"""Backups of a data directory: made while a server runs, restored into an empty directory.

A backup is one tar file of the database, the archives of the deployments and, unless they are left
out, their packed builds and the key files. The last member is a manifest with the checksum of each.
After a restore, a build that does not belong to the machine is made again: it depends on the
processor, the C library, the interpreter and the engine.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from minifn import __version__, jsontext
from minifn.host.datadir import DataDir
from minifn.host.files import make_directories, remove_tree, sync_directory
from minifn.ids import is_id
from minifn.instants import now_ms
from minifn.store import (
    deployments,
    execution_queue,
    functions,
    git_sources,
    packed_builds,
    schema,
)
from minifn.store.cipher import VariableCipher, VariablesKeyError, stored_fingerprint
from minifn.store.connection import connect

#: Version of the tar layout; newer versions are refused.
FORMAT = 2
MANIFEST = "manifest.json"
#: Most bytes of a manifest: enough for two million deployments.
MANIFEST_BYTES_MAX = 256 * 1024 * 1024
#: Error of executions that may have run since the copy was made.
RESTORED = (
    "The server was restored from a backup: whether this execution has run since is not known."
)
_PIECE_BYTES = 1 << 20


class BackupError(Exception):
    """A backup cannot be made or restored; the message is one line."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The last member of a backup."""

    format: int = FORMAT
    minifn: str = __version__
    created_at: int = 0
    #: Member -> SHA-256 (hex) of its content.
    files: dict[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The content of a backup."""

    deployments: int
    #: Deployments that are not in the copy, because their archive is missing or incomplete.
    left_out: int
    keys: int
    #: Packed builds.
    builds: int = 0
    #: Whether it has encrypted variables but not their key.
    locked: bool


def backup(data: DataDir, file: Path, *, keys: bool = True, builds: bool = True) -> Summary:
    """Write a copy of `data` to `file`, mode 0600, complete or not at all; its server may run.

    The copy is consistent: a deployment that is deleted before its archive is copied is deleted
    from the copy too. Raises BackupError, schema.DatabaseTooNew, sqlite3.Error and OSError.
    """
    if not data.database.exists():
        raise BackupError(f"there is no database in {data.root}")
    with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.absolute().parent) as place:
        part = Path(place) / "backup"
        with _writing(part) as content, tarfile.open(fileobj=content, mode="w") as archive:
            writer, copy = _Writer(archive), Path(place) / "database"
            summary = _fill(writer, data, copy, keys=keys, builds=builds)
        part.replace(file)
    sync_directory(file.absolute().parent)
    return summary


def restore(file: Path, data: DataDir) -> Summary:
    """Restore a backup into the empty or new directory of `data`; an error leaves it as it was.

    A directory in which a restore was killed counts as empty. Ready deployments wait for the first
    start, which unpacks their packed builds or builds them again. Queued executions are recorded as
    failed, because they may have run since. Raises BackupError, schema.DatabaseTooNew,
    sqlite3.Error and OSError.
    """
    is_new = not data.root.exists()
    make_directories(data.root)
    with _alone(data.root):
        if data.half_restored:
            _empty(data.root)
        if any(data.root.iterdir()):
            raise BackupError(
                f"{data.root} is not empty: a backup is restored into a new or an empty directory"
            )
        try:
            return _restore(file, data)
        except BaseException:
            _empty(data.root)
            if is_new:
                data.root.rmdir()
            raise


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other restores out of a directory. Raises BackupError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            # Some network file systems lock no directory.
            if isinstance(exc, BlockingIOError):
                raise BackupError(f"another restore into {directory} is under way") from exc
        yield
    finally:
        os.close(descriptor)


def _restore(file: Path, data: DataDir) -> Summary:
    staged = DataDir(data.restoring)
    staged.prepare()
    _unpack(file, staged)
    summary = _make_ready(staged)
    data.prepare()
    for path in (*staged.deployments.iterdir(), *staged.key_files()):
        path.rename(data.root / path.relative_to(staged.root))
    sync_directory(data.deployments)
    sync_directory(data.root)
    # The database comes last: without it the directory is not a server's yet.
    staged.database.rename(data.database)
    sync_directory(data.root)
    remove_tree(staged.root)
    return summary


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        remove_tree(path)


def _fill(writer: "_Writer", data: DataDir, copy: Path, *, keys: bool, builds: bool) -> Summary:
    _copy_database(data.database, copy)
    with contextlib.closing(connect(copy)) as conn:
        known = deployments.ids(conn)
        complete = deployments.uploaded(conn)
        conn.execute("BEGIN")
        for deployment_id in known:
            if deployment_id not in complete or not writer.add_first(
                _archives(data, deployment_id), data
            ):
                _drop(conn, deployment_id)
        conn.execute("COMMIT")
        kept = deployments.ids(conn)
        packed = packed_builds.ids(conn) if builds else set()
    built = sum(writer.add_first([data.output(own)], data) for own in sorted(packed))
    # Written after the rows of deployments that were deleted meanwhile are removed.
    writer.add(copy, data.database.name)
    files = data.key_files() if keys else ()
    for path in files:
        writer.add(path, path.name)
    writer.finish()
    locked = bool(stored_fingerprint(copy)) and data.variables_key not in files
    return Summary(
        deployments=len(kept),
        left_out=len(known) - len(kept),
        keys=len(files),
        builds=built,
        locked=locked,
    )


def _copy_database(source: Path, copy: Path) -> None:
    """Copy the database consistently, in this minifn's schema, as a single file."""
    with (
        contextlib.closing(connect(source, readonly=True)) as live,
        contextlib.closing(connect(copy)) as conn,
    ):
        # In one step, because a server may write meanwhile.
        live.backup(conn)
        schema.migrate(conn)
        conn.execute("PRAGMA journal_mode = DELETE")


def _archives(data: DataDir, deployment_id: str) -> tuple[Path, ...]:
    """Return the possible paths of a complete upload's archive.

    The archive may be renamed to its final name between two looks, so that name comes twice.
    """
    source = data.source(deployment_id)
    return source, data.upload(deployment_id), source


def _drop(conn: sqlite3.Connection, deployment_id: str) -> None:
    row = deployments.by_id(conn, deployment_id)
    if row is not None:
        deployments.delete(conn, row.function_id, deployment_id, row.updated_at)


class _Writer:
    """Writes the tar file of a backup."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._created_at = now_ms()
        self._checksums: dict[str, str] = {}

    def add(self, path: Path, name: str) -> None:
        """Copy a file. Raises OSError."""
        with path.open("rb") as content:
            read = _Hashed(content)
            self._archive.addfile(self._member(name, os.fstat(content.fileno()).st_size), read)
        self._checksums[name] = read.hexdigest()

    def add_first(self, paths: Iterable[Path], data: DataDir) -> bool:
        """Copy the first existing file of a deployment's `paths`; tell whether there was one."""
        paths = tuple(paths)
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                self.add(path, str(paths[0].relative_to(data.root)))
                return True
        return False

    def finish(self) -> None:
        """Write the manifest."""
        manifest = Manifest(created_at=self._created_at, files=self._checksums)
        content = msgspec.json.encode(manifest)
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            self._archive.addfile(self._member(MANIFEST, len(content)), file)

    def _member(self, name: str, size_bytes: int) -> tarfile.TarInfo:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size_bytes, 0o600, self._created_at // 1000
        return member


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """Read and hash the next bytes."""
        piece = self._file.read(size)
        self._hash.update(piece)
        return piece

    def hexdigest(self) -> str:
        """Return the hash of the bytes read."""
        return self._hash.hexdigest()


def _unpack(file: Path, staged: DataDir) -> None:
    """Write the members of a backup into `staged` and check them by the manifest.

    Raises BackupError.
    """
    checksums: dict[str, str] = {}
    manifest = None
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                content = (
                    archive.extractfile(member)
                    if member.isreg() and not member.issparse()
                    else None
                )
                if content is None or member.name in checksums:
                    raise BackupError(f"{file} is not a backup of minifn: {member.name!r}")
                if member.name == MANIFEST:
                    if member.size > MANIFEST_BYTES_MAX:
                        raise BackupError(f"{file} has a manifest that is too large")
                    manifest = _manifest(file, content.read())
                else:
                    read = _Hashed(content)  # type: ignore[arg-type]
                    with _writing(_destination(file, staged, member.name)) as written:
                        shutil.copyfileobj(read, written, _PIECE_BYTES)
                    checksums[member.name] = read.hexdigest()
    except (tarfile.TarError, EOFError, RecursionError) as exc:
        raise BackupError(f"{file} is not a backup of minifn, or it is damaged: {exc}") from exc
    if manifest is None:
        raise BackupError(f"{file} is not complete: it ends before its manifest")
    for name in checksums.keys() ^ manifest.files.keys():
        raise BackupError(f"{file} is damaged: {name} is not in the manifest, or not in the file")
    for name in (name for name, checksum in checksums.items() if manifest.files[name] != checksum):
        raise BackupError(f"{file} is damaged: {name} does not have its checksum")
    if not staged.database.exists():
        raise BackupError(f"{file} holds no database")


def _manifest(file: Path, content: bytes) -> Manifest:
    try:
        manifest = jsontext.decode_as(Manifest, content)
    except jsontext.JsonInvalid as exc:
        raise BackupError(f"{file} has a damaged manifest: {exc}") from exc
    if manifest.format > FORMAT:
        raise BackupError(
            f"{file} was written by minifn {manifest.minifn}, in a newer format: upgrade minifn"
        )
    return manifest


def _destination(file: Path, staged: DataDir, name: str) -> Path:
    """Return the path of a member. Raises BackupError for a name that no backup has."""
    folder, _, base = name.rpartition("/")
    deployment_id = base.removesuffix(".tar.gz").removesuffix("~output")
    known = [staged.database, *staged.key_files(existing=False)]
    if is_id(deployment_id):
        known += [staged.source(deployment_id), staged.output(deployment_id)]
    for path in known:
        if path.relative_to(staged.root) == Path(folder, base):
            return path
    raise BackupError(f"{file} is not a backup of minifn: {name!r}")


def _make_ready(staged: DataDir) -> Summary:
    """Check a restored database against its archives and prepare it for its first start.

    Raises BackupError.
    """
    with contextlib.closing(connect(staged.database)) as conn:
        schema.migrate(conn)
        damage = str(conn.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if damage == "ok" and (broken := conn.execute("PRAGMA foreign_key_check").fetchone()):
            table, row, parent, _ = broken
            damage = f"row {row} of {table} belongs to a row of {parent} that is missing"
        if damage != "ok":
            raise BackupError(f"the database in the backup is damaged: {damage}")
        known = deployments.ids(conn)
        for named in (*known, *(function.id for function in functions.every(conn))):
            # Ids become names of files, some of which will be deleted.
            if not is_id(named):
                raise BackupError(
                    f"the database in the backup was not made by minifn: {named!r} is not an ID"
                )
        for deployment_id in known:
            if not staged.source(deployment_id).exists():
                raise BackupError(f"the backup has no archive of the deployment {deployment_id}")
        now = now_ms()
        conn.execute("BEGIN")
        git_sources.forget_fetches(conn)
        deployments.rebuild(conn, deployments.built(conn), now)
        execution_queue.abandon(conn, RESTORED, now)
        conn.execute("COMMIT")
    return Summary(
        deployments=len(known),
        left_out=0,
        keys=len(staged.key_files()),
        builds=len(staged.outputs()),
        locked=_check_key(staged),
    )


def _check_key(staged: DataDir) -> bool:
    """Return whether variables are encrypted and their key is missing.

    Raises BackupError for another key.
    """
    fingerprint = stored_fingerprint(staged.database)
    if not fingerprint or not staged.variables_key.exists():
        return bool(fingerprint)
    with contextlib.suppress(VariablesKeyError):
        if VariableCipher(staged.variables_key.read_text().strip()).fingerprint == fingerprint:
            return False
    raise BackupError("the backup's variables.key is not the key of its variables")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file, mode 0600, for writing; at the end its content is on disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(descriptor)
