"""Deployments as clients see them: uploads, rebuilds, activation, cancellation, deletion and downloads.

Order of checks and numbers follow Appwrite's `src/Appwrite/Platform/Modules/Functions/Http/Deployments` (1.9). What an
upload's answer acknowledges is on disk.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from minifn.archive import pack, uploads
from minifn.archive.uploads import Chunk
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
from minifn.host.datadir import DataDir, remove_tree
from minifn.ids import is_id, new_id
from minifn.instants import now_ms
from minifn.models import Deployment, DeploymentType, Function
from minifn.store import deployments, functions
from minifn.store.database import Database

logger = logging.getLogger("minifn.services.deployments")

#: Last line of the build log of a canceled build; clients look for it.
CANCELED = "Build has been canceled."
#: Suffixes of file names besides `.gz`, of which the content decides.
OTHER_SUFFIXES = (".tgz", ".zip")
#: The first bytes of a gzip file.
GZIP_MAGIC = b"\x1f\x8b"


class UploadedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file part of a request, streamed to disk; it may be moved away."""

    path: Path
    size_bytes: int
    filename: str = ""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A request that brings an archive, or one chunk of it."""

    function_id: str
    #: The part named `code`.
    code: UploadedFile | None
    #: The part named `file`: Node SDKs 14 to 17 send the chunk there and the whole archive as `code`, every time.
    slice: UploadedFile | None = None
    activate: bool
    #: None or "" = the function's.
    entrypoint: str | None = None
    #: None = the function's.
    commands: str | None = None
    #: The header Content-Range; None when the archive comes whole.
    content_range: str | None = None
    #: The header x-appwrite-id; means something only together with Content-Range.
    deployment_id: str = ""
    #: The header x-sdk-language.
    sdk_language: str = ""


#: What a template's folder may hold and is none of its code: traces of running it in place.
_NOT_IN_TEMPLATES = frozenset({"__pycache__"})


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """Code to begin from, of which there is a copy in `folder`."""

    folder: Path
    #: What the function runs unless it says otherwise.
    entrypoint: str
    owner: str
    repository: str
    url: str


class DeploymentService:
    """Everything that happens to deployments but their builds."""

    def __init__(
        self,
        config: Config,
        data: DataDir,
        database: Database,
        hooks: Hooks,
        changes: ChangeFeed | None = None,
    ) -> None:
        self._config = config
        self._data = data
        self._database = database
        self._hooks = hooks
        self._changes = changes or ChangeFeed()
        #: The chunks of one deployment are taken one after the other: one that comes again while the last one completes
        #: the archive must not write to it.
        self._uploading: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        #: One build is packed for download at a time.
        self._packing = asyncio.Lock()
        #: Builds are removed, or a deployment becomes active.
        self._removing = asyncio.Lock()

    async def upload(self, upload: Upload) -> Deployment:
        """Take an archive, or a chunk of one, and return its deployment; a complete one is built soon.

        The files of `upload` are moved or read; the caller removes what is left. Raises, in this order:
        FunctionNotFound, FunctionEntrypointMissing, StorageFileEmpty, StorageFileTypeUnsupported,
        StorageInvalidContentRange, StorageInvalidFileSize; for a chunk of another function's deployment,
        DeploymentNotFound.
        """
        function = await self._function(upload.function_id)
        entrypoint = upload.entrypoint or function.entrypoint
        if not entrypoint:
            raise FunctionEntrypointMissing
        code = upload.code
        if code is None or not code.size_bytes:
            raise StorageFileEmpty
        name = code.filename.lower()
        if not name.endswith((".gz", *OTHER_SUFFIXES)):
            raise StorageFileTypeUnsupported
        chunk = (
            None
            if upload.content_range is None
            else uploads.parse_content_range(upload.content_range)
        )
        if not name.endswith(".gz") and (chunk is None or not chunk.number):
            await asyncio.to_thread(_check_gzip, code.path)
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
            source_size_bytes=total_bytes,
        )
        if chunk is None:
            return await self.add(deployment, code.path)
        return await self._add_chunk(deployment, chunk, upload)

    async def add(self, deployment: Deployment, archive: Path) -> Deployment:
        """Store a new deployment whose whole archive is the file `archive`, which is moved, and queue its build.

        Raises FunctionNotFound when the function is gone.
        """
        return await self._insert(deployment, uploads.store_whole, archive)

    async def add_template(
        self, function_id: str, template: Template, *, activate: bool, kind: DeploymentType
    ) -> Deployment:
        """Store a new deployment of a template's code and queue its build. Raises FunctionNotFound."""
        function = await self._function(function_id)
        deployment = Deployment(
            id=new_id(),
            function_id=function.id,
            type=kind,
            entrypoint=function.entrypoint or template.entrypoint,
            commands=function.commands,
            activate=activate,
            provider_repository_name=template.repository,
            provider_repository_owner=template.owner,
            provider_repository_url=template.url,
        )
        archive = self._data.upload(deployment.id)
        await asyncio.to_thread(pack, template.folder, archive, _NOT_IN_TEMPLATES)
        return await self.add(
            msgspec.structs.replace(deployment, source_size_bytes=archive.stat().st_size), archive
        )

    async def _insert(
        self, deployment: Deployment, store: Callable[[Path, Path], None], archive: Path
    ) -> Deployment:
        source = self._data.source(deployment.id)
        try:
            await asyncio.to_thread(store, archive, source)
            stored = await self._database.write(deployments.insert, _stamped(deployment))
        except Exception as exc:
            # Without its row nobody would find the file. Not when cancelled: the row is certain from `write` on.
            source.unlink(missing_ok=True)
            if isinstance(exc, sqlite3.IntegrityError):
                raise FunctionNotFound from exc
            raise
        self._changes.tell("create", stored)
        self._hooks.build()
        return stored

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
            await asyncio.to_thread(uploads.store_chunk, file.path, start, chunk, part)
            stored, completed = await self._database.write(_receive, _stamped(deployment), chunk)
        except Exception:
            if not upload.deployment_id:
                # The id was made for this very chunk, so that no other chunk can lie in the file.
                part.unlink(missing_ok=True)
            raise
        self._changes.tell("update" if earlier else "create", stored)
        if completed:
            await asyncio.to_thread(uploads.complete, part, self._data.source(deployment.id))
            self._hooks.build()
        return stored

    async def rebuild(self, function_id: str, deployment_id: str) -> Deployment:
        """Queue a new deployment of the same archive, with the function's current entrypoint and commands.

        Raises FunctionNotFound, and DeploymentNotFound also for one without a complete archive.
        """
        function, original = await self._both(function_id, deployment_id)
        if not original.uploaded:
            raise DeploymentNotFound
        copy = msgspec.structs.replace(
            original,
            id=new_id(),
            sequence=0,
            entrypoint=function.entrypoint or original.entrypoint,
            commands=function.commands,
            status="waiting",
            build_size_bytes=0,
            build_id="",
            build_logs="",
            build_started_at=0,
            build_duration_seconds=0,
            chunks_total=1,
            chunks_uploaded=1,
            build_removed=False,
        )
        try:
            return await self._insert(copy, uploads.store_copy, self._data.source(original.id))
        except FileNotFoundError as exc:
            raise DeploymentNotFound from exc

    async def activate(self, function_id: str, deployment_id: str) -> Function:
        """Make a ready deployment answer for its function, and return the function.

        A deployment whose build was removed is built first.
        Raises FunctionNotFound, DeploymentNotFound, BuildNotReady.
        """
        await self._both(function_id, deployment_id)
        async with self._removing:
            function = await self._database.write(
                deployments.activate, function_id, deployment_id, now_ms()
            )
        _, deployment = await self._both(function_id, deployment_id)
        self._changes.tell("update", deployment)
        if deployment.status == "ready":
            self._hooks.prewarm(function, deployment)
        else:
            self._hooks.build()
        return function

    async def cancel(self, function_id: str, deployment_id: str) -> Deployment:
        """Stop a build that has not ended, and return the deployment; canceling again is fine.

        Raises FunctionNotFound, DeploymentNotFound, BuildAlreadyCompleted.
        """
        await self._function(function_id)
        deployment = await self._database.write(
            deployments.cancel, function_id, deployment_id, now_ms(), note=f"{CANCELED}\n"
        )
        self._changes.tell_log(deployment_id, f"{CANCELED}\n")
        self._changes.tell("update", deployment)
        await self._hooks.interrupt(deployment_id)
        return deployment

    async def delete(self, function_id: str, deployment_id: str) -> Deployment:
        """Delete a deployment with its files, in whatever state it is, and return what it was.

        Raises FunctionNotFound, DeploymentNotFound.
        """
        await self._function(function_id)
        deployment = await self._database.write(
            deployments.delete, function_id, deployment_id, now_ms()
        )
        self._changes.tell("delete", deployment)
        await self._discard(deployment_id)
        return deployment

    async def source(self, function_id: str, deployment_id: str) -> Path:
        """Return the uploaded archive.

        Raises FunctionNotFound, and DeploymentNotFound also for an unfinished upload.
        """
        _, deployment = await self._both(function_id, deployment_id)
        path = self._data.source(deployment.id)
        if not (deployment.uploaded and path.exists()):
            raise DeploymentNotFound
        return path

    async def output(self, function_id: str, deployment_id: str) -> Path:
        """Return the packed build, packing it the first time.

        Raises FunctionNotFound, and DeploymentNotFound also for one without a build.
        """
        path = self._data.output(deployment_id)
        async with self._packing:
            _, deployment = await self._both(function_id, deployment_id)
            if deployment.status != "ready" or deployment.build_removed:
                raise DeploymentNotFound
            if not path.exists():
                await asyncio.to_thread(pack, self._data.build(deployment.id), path)
        return path

    async def forget(self, function_id: str, deployment_ids: list[str]) -> None:
        """Remove what a deleted function and its deployments, whose rows are gone, have left on disk."""
        for deployment_id in deployment_ids:
            await self._discard(deployment_id)
        for path in (self._data.cache(function_id), self._data.repository(function_id)):
            await asyncio.to_thread(remove_tree, path)

    async def expire(self, now: int, limit: int) -> int:
        """Delete up to `limit` deployments that outlived their function's retention, or whose upload was given up.

        Return how many.
        """
        ids = await self._database.read(deployments.expired, now, limit)
        if not ids:
            return 0
        # What became active since is not deleted.
        deleted = await self._database.write(deployments.delete_expired, ids, now)
        for deployment in deleted:
            self._changes.tell("delete", deployment)
            await self._discard(deployment.id)
        return len(deleted)

    async def remove_builds(self, limit: int) -> int:
        """Remove up to `limit` inactive builds beyond those kept of each function; return how many.

        Their archives stay.
        """
        kept = self._config.builds_kept
        if not kept:
            return 0
        async with self._packing, self._removing:
            ids = await self._database.write(deployments.remove_builds, kept, limit)
            # At once, so that a build that begins now makes a new directory.
            aside = [
                self._data.set_build_aside(deployment_id)
                for deployment_id in ids
                if self._data.build(deployment_id).exists()
            ]
            for deployment_id in ids:
                self._data.output(deployment_id).unlink(missing_ok=True)
        for deployment_id in ids:
            await self._hooks.retire(deployment_id)
        for path in aside:
            await asyncio.to_thread(remove_tree, path)
        return len(ids)

    async def tidy(self) -> None:
        """Remove files that belong to no deployment, and queue builds that are not there to be made again.

        For the start of a server, before requests come in.
        """
        known = await self._database.read(deployments.ids)
        # Of a canceled build, what a kill left of it.
        built = await self._database.read(deployments.built)
        await asyncio.to_thread(self._data.remove_strangers, known, built)
        lost = await asyncio.to_thread(self._data.without_build, built)
        if lost:
            logger.warning(
                "%d builds are not in %s and are made again", len(lost), self._data.builds
            )
            await self._database.write(deployments.rebuild, lost, now_ms())

    async def _discard(self, deployment_id: str) -> None:
        await self._hooks.interrupt(deployment_id)
        await self._hooks.retire(deployment_id)
        await asyncio.to_thread(self._data.remove_deployment, deployment_id)

    async def _function(self, function_id: str) -> Function:
        function = await self._database.read(functions.get, function_id)
        if function is None:
            raise FunctionNotFound
        return function

    async def _both(self, function_id: str, deployment_id: str) -> tuple[Function, Deployment]:
        function = await self._function(function_id)
        deployment = await self._database.read(deployments.get, function_id, deployment_id)
        if deployment is None:
            raise DeploymentNotFound
        return function, deployment


def _stamped(deployment: Deployment) -> Deployment:
    now = now_ms()
    return msgspec.structs.replace(
        deployment, id=deployment.id or new_id(), created_at=now, updated_at=now
    )


def _check_same_upload(earlier: Deployment, deployment: Deployment) -> None:
    if earlier.function_id != deployment.function_id:
        raise DeploymentNotFound
    if earlier.source_size_bytes != deployment.source_size_bytes:
        raise StorageInvalidContentRange("The chunks of one file must name the same total size.")


def _content(chunk: Chunk, upload: Upload) -> tuple[UploadedFile, int]:
    """Return the file that holds a chunk's bytes and where in it they begin. Raises StorageInvalidContentRange."""
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
    """Note a chunk that is on disk, for whichever chunk comes first with the deployment's row."""
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


def _check_gzip(path: Path) -> None:
    """Raise StorageFileTypeUnsupported unless a file begins as a gzip file."""
    with path.open("rb") as file:
        if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
            raise StorageFileTypeUnsupported
