"""Uploads of archives: whole, or in chunks that may arrive in any order and again.

The order of checks and the numbers follow Appwrite's
`src/Appwrite/Platform/Modules/Functions/Http/Deployments` (1.9). A chunk or an archive is on disk
before its upload is acknowledged.
"""

import asyncio
import sqlite3
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from minifn.archive.uploads import Chunk, complete, kind_of, parse_content_range, store_chunk
from minifn.change_feed import ChangeFeed
from minifn.config import Config
from minifn.errors import (
    ArgumentInvalid,
    DeploymentNotFound,
    FunctionEntrypointMissing,
    FunctionNotFound,
    StorageFileEmpty,
    StorageFileTypeUnsupported,
    StorageInvalidContentRange,
    StorageInvalidFileSize,
)
from minifn.hooks import Hooks
from minifn.host.datadir import DataDir
from minifn.ids import is_id, new_id
from minifn.models import Deployment
from minifn.services.deployments import DeploymentService, stamped
from minifn.services.functions import existing
from minifn.store import deployments
from minifn.store.database import Database

#: Suffixes of file names besides `.gz`; the content decides about such a file.
OTHER_SUFFIXES = (".tgz", ".zip")


class UploadedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file part of a request, streamed to disk; it may be moved away."""

    path: Path
    size_bytes: int
    filename: str = ""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A request with an archive, or with one chunk of it."""

    function_id: str
    #: The part named `code`.
    code: UploadedFile | None
    #: The part named `file`: Node SDKs 14 to 17 send each chunk there, and with every chunk the
    #: whole archive as `code`.
    slice: UploadedFile | None = None
    activate: bool
    #: None or "" = the function's.
    entrypoint: str | None = None
    #: None = the function's.
    commands: str | None = None
    #: A note about the deployment.
    message: str = ""
    #: The header Content-Range; None when the archive comes whole.
    content_range: str | None = None
    #: The header x-appwrite-id; ignored without Content-Range.
    deployment_id: str = ""
    #: The header x-sdk-language.
    sdk_language: str = ""


class Uploads:
    """Takes archives, whole or in chunks, and has their deployments built."""

    def __init__(
        self,
        config: Config,
        data: DataDir,
        database: Database,
        deployments: DeploymentService,
        hooks: Hooks,
        changes: ChangeFeed | None = None,
    ) -> None:
        self._config = config
        self._data = data
        self._database = database
        self._deployments = deployments
        self._hooks = hooks
        self._changes = changes or ChangeFeed()
        #: Chunks of one deployment are taken one after the other: a repeated chunk must not write
        #: to an archive that another chunk is completing.
        self._uploading: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take(self, upload: Upload) -> Deployment:
        """Take an archive, or a chunk of one, and return its deployment.

        A complete archive is queued for its build. The files of `upload` are moved or read; the
        caller removes what is left. Raises, in this order:
        FunctionNotFound, FunctionEntrypointMissing, StorageFileEmpty, StorageFileTypeUnsupported,
        StorageInvalidContentRange, StorageInvalidFileSize; for a chunk of another function's
        deployment, DeploymentNotFound.
        """
        function = await self._database.read(existing, upload.function_id)
        entrypoint = upload.entrypoint or function.entrypoint
        if not entrypoint:
            raise FunctionEntrypointMissing
        code, chunk = await _checked(upload)
        total_bytes = chunk.total_bytes if chunk else code.size_bytes
        if total_bytes > self._config.upload_limit:
            raise StorageInvalidFileSize
        deployment = Deployment(
            id=(upload.deployment_id if chunk else "") or new_id(),
            function_id=function.id,
            type="cli" if upload.sdk_language == "cli" else "manual",
            entrypoint=entrypoint,
            commands=function.commands if upload.commands is None else upload.commands,
            activate=upload.activate,
            provider_commit_message=upload.message,
            source_size_bytes=total_bytes,
        )
        if chunk is None:
            return await self._deployments.add(deployment, code.path)
        return await self._add_chunk(deployment, chunk, upload)

    async def _add_chunk(self, deployment: Deployment, chunk: Chunk, upload: Upload) -> Deployment:
        if not is_id(deployment.id):
            raise ArgumentInvalid(
                "Invalid `x-appwrite-id` header: it must be the ID of a deployment."
            )
        async with self._uploading.setdefault(deployment.id, asyncio.Lock()):
            return await self._take_chunk(deployment, chunk, upload)

    async def _take_chunk(self, deployment: Deployment, chunk: Chunk, upload: Upload) -> Deployment:
        earlier = await self._database.read(deployments.by_id, deployment.id)
        if earlier is not None:
            _check_same_upload(earlier, deployment)
            if earlier.uploaded:
                return earlier
        file, start = _content(chunk, upload)
        part = self._data.upload(deployment.id)
        try:
            await asyncio.to_thread(store_chunk, file.path, start, chunk, part)
            stored, completed = await self._database.write(_receive, stamped(deployment), chunk)
        except Exception:
            if not upload.deployment_id:
                # The id was made for this chunk, so the file holds no other chunk.
                part.unlink(missing_ok=True)
            raise
        self._changes.tell("update" if earlier else "create", stored)
        if completed:
            await asyncio.to_thread(complete, part, self._data.source(deployment.id))
            self._hooks.build()
        return stored


async def _checked(upload: Upload) -> tuple[UploadedFile, Chunk | None]:
    """Return the file of an upload, and which chunk it is; None for a whole archive.

    Raises StorageFileEmpty, StorageFileTypeUnsupported and StorageInvalidContentRange.
    """
    code = upload.code
    if code is None or not code.size_bytes:
        raise StorageFileEmpty
    name = code.filename.lower()
    if not name.endswith((".gz", *OTHER_SUFFIXES)):
        raise StorageFileTypeUnsupported
    header = upload.content_range
    chunk = None if header is None else parse_content_range(header)
    if not name.endswith(".gz") and (chunk is None or not chunk.number):
        await asyncio.to_thread(_check_kind, code.path)
    return code, chunk


def _check_same_upload(earlier: Deployment, deployment: Deployment) -> None:
    if earlier.function_id != deployment.function_id:
        raise DeploymentNotFound
    if earlier.source_size_bytes != deployment.source_size_bytes:
        raise StorageInvalidContentRange("The chunks of one file must name the same total size.")


def _content(chunk: Chunk, upload: Upload) -> tuple[UploadedFile, int]:
    """Return the file that holds a chunk's bytes and where in it they begin.

    Raises StorageInvalidContentRange.
    """
    code = upload.code
    for file in (code, upload.slice):
        if file is not None and file.size_bytes == chunk.size_bytes:
            return file, 0
    if code is not None and code.size_bytes == chunk.total_bytes:
        return code, chunk.offset
    raise StorageInvalidContentRange(
        "The file part is not as long as the Content-Range header says."
    )


def _receive(
    conn: sqlite3.Connection, deployment: Deployment, chunk: Chunk
) -> tuple[Deployment, bool]:
    """Record a chunk that is on disk; the first to be recorded inserts the deployment's row.

    Return the deployment, and whether this chunk completed its archive.
    """
    earlier = deployments.by_id(conn, deployment.id)
    if earlier is None:
        fresh = msgspec.structs.replace(deployment, chunks_total=chunk.count, chunks_uploaded=0)
        try:
            deployments.insert(conn, fresh)
        except sqlite3.IntegrityError as exc:
            raise FunctionNotFound from exc
    else:
        _check_same_upload(earlier, deployment)
    return deployments.add_chunk(conn, deployment.id, chunk.number, deployment.updated_at)


def _check_kind(path: Path) -> None:
    """Raise StorageFileTypeUnsupported unless a file begins as a gzip or a zip file."""
    if not kind_of(path):
        raise StorageFileTypeUnsupported
