"""Deployments as clients see them: rebuilds, activation, cancellation, deletion and downloads.

The order of checks follows Appwrite's
`src/Appwrite/Platform/Modules/Functions/Http/Deployments` (1.9).
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from minifn.archive import pack, read_files, uploads
from minifn.archive.folders import Folder
from minifn.builder.packed import PackedBuilds
from minifn.change_feed import ChangeFeed
from minifn.errors import DeploymentNotFound, FunctionNotFound, StorageUnavailable
from minifn.hooks import Hooks
from minifn.host.datadir import DataDir
from minifn.host.files import remove_tree
from minifn.host.space import TreeRefused
from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.models import Deployment, DeploymentType, Function
from minifn.services.functions import existing
from minifn.store import build_queue, deployments, functions
from minifn.store.database import Database

logger = logging.getLogger("minifn.services.deployments")

#: Last line of the build log of a canceled build; clients look for it.
CANCELED = "Build has been canceled."
#: Entries of a template's folder that are left out: traces of running the template in place.
_NOT_IN_TEMPLATES = frozenset({"__pycache__"})


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """The code of a starter function; `folder` has a copy of its repository."""

    folder: Path
    #: For a function that names no entrypoint.
    entrypoint: str
    owner: str
    repository: str
    url: str


class DeploymentService:
    """Creates, activates, cancels and deletes deployments; the builder builds them."""

    def __init__(
        self,
        data: DataDir,
        database: Database,
        hooks: Hooks,
        changes: ChangeFeed | None = None,
    ) -> None:
        self.packed = PackedBuilds(data, database)
        self._data = data
        self._database = database
        self._hooks = hooks
        self._changes = changes or ChangeFeed()
        #: Deployment -> the folder that it is built from, in place of an archive.
        self.folders: dict[str, Folder] = {}
        #: The files of one archive are read at a time.
        self._listing = asyncio.Lock()
        #: Builds are removed, or a deployment becomes active.
        self._removing = asyncio.Lock()

    async def add(self, deployment: Deployment, archive: Path) -> Deployment:
        """Store a new deployment with the file `archive`, which is moved, and queue its build.

        Raises FunctionNotFound.
        """
        return await self._insert(deployment, uploads.store_whole, archive)

    async def add_template(
        self, function_id: str, template: Template, *, activate: bool, kind: DeploymentType
    ) -> Deployment:
        """Store a new deployment of a template's code and queue its build.

        Raises FunctionNotFound.
        """
        function = await self._database.read(existing, function_id)
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

    async def add_folder(self, deployment: Deployment, folder: Folder) -> Deployment:
        """Store a new deployment of a folder of this machine, and queue its build.

        The build copies the folder when it begins. Raises FunctionNotFound.
        """
        self.folders[deployment.id] = folder
        return await self._insert(deployment, lambda *_: None, folder.path)

    async def _insert(
        self, deployment: Deployment, store: Callable[[Path, Path], None], archive: Path
    ) -> Deployment:
        source = self._data.source(deployment.id)
        try:
            await asyncio.to_thread(store, archive, source)
            stored = await self._database.write(deployments.insert, stamped(deployment))
        except Exception as exc:
            # A file without a row would never be removed. Keep it when canceled: the row will
            # still be written.
            source.unlink(missing_ok=True)
            if isinstance(exc, sqlite3.IntegrityError):
                raise FunctionNotFound from exc
            raise
        self._changes.tell("create", stored)
        self._hooks.build()
        return stored

    async def rebuild(self, function_id: str, deployment_id: str) -> Deployment:
        """Queue a new deployment of the same archive, with the function's current settings.

        Raises FunctionNotFound, and DeploymentNotFound also when the archive is incomplete.
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
            build_identity="",
            build_sha256="",
        )
        try:
            return await self._insert(copy, uploads.store_copy, self._data.source(original.id))
        except FileNotFoundError as exc:
            raise DeploymentNotFound from exc

    async def activate(self, function_id: str, deployment_id: str) -> Function:
        """Make a ready deployment its function's active one, and return the function.

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
        """Stop a build that has not ended, and return the deployment. Repeating it is allowed.

        Raises FunctionNotFound, DeploymentNotFound, BuildAlreadyCompleted.
        """
        await self._database.read(existing, function_id)
        deployment = await self._database.write(
            build_queue.cancel, function_id, deployment_id, now_ms(), note=f"{CANCELED}\n"
        )
        self._changes.tell_log(deployment_id, f"{CANCELED}\n", len(deployment.build_logs))
        self._changes.tell("update", deployment)
        await self._hooks.interrupt(deployment_id)
        return deployment

    async def delete(self, function_id: str, deployment_id: str) -> Deployment:
        """Delete a deployment in any state, with its files, and return it.

        Raises FunctionNotFound, DeploymentNotFound.
        """
        await self._database.read(existing, function_id)
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

    async def files(self, function_id: str, deployment_id: str, *wanted: str) -> Any:
        """Return the files of the uploaded archive, or the content of one.

        Raises what `source` raises, and ArchiveUnreadable.
        """
        path = await self.source(function_id, deployment_id)
        async with self._listing:
            return await asyncio.to_thread(read_files, path, *wanted)

    async def output(self, function_id: str, deployment_id: str) -> Path:
        """Return the packed build; it is packed the first time.

        Raises FunctionNotFound, DeploymentNotFound also for one without a build, and
        StorageUnavailable.
        """
        _, deployment = await self._both(function_id, deployment_id)
        try:
            path, _ = await self.packed.of(deployment.id)
        except TreeRefused as exc:
            raise StorageUnavailable(f"The build cannot be packed: {exc}.") from exc
        return path

    async def forget(self, function_id: str, deployment_ids: list[str]) -> None:
        """Remove the files of a deleted function and of its deployments, whose rows are gone."""
        for deployment_id in deployment_ids:
            await self._discard(deployment_id)
        self._hooks.forget(function_id)
        for path in (self._data.cache(function_id), self._data.repository(function_id)):
            await asyncio.to_thread(remove_tree, path)

    async def expire(self, now: int, limit: int) -> int:
        """Delete up to `limit` deployments and return how many were deleted.

        These are the ones older than their function's retention, and abandoned uploads.
        """
        ids = await self._database.read(deployments.expired, now, limit)
        if not ids:
            return 0
        # A deployment that became active since the read is kept.
        deleted = await self._database.write(deployments.delete_expired, ids, now)
        for deployment in deleted:
            self._changes.tell("delete", deployment)
            await self._discard(deployment.id)
        return len(deleted)

    async def remove_builds(self, kept: int, limit: int) -> int:
        """Remove up to `limit` inactive builds beyond the `kept` newest of each function.

        Return how many. Their archives stay.
        """
        async with self.packed.turn, self._removing:
            ids = await self._database.write(deployments.remove_builds, kept, limit)
            # At once, so that a build that begins now makes a new directory.
            aside = [
                self._data.set_build_aside(deployment_id)
                for deployment_id in ids
                if self._data.build(deployment_id).exists()
            ]
            for deployment_id in ids:
                self.packed.drop(deployment_id)
        for deployment_id in ids:
            await self._hooks.retire(deployment_id)
        for path in aside:
            await asyncio.to_thread(remove_tree, path)
        return len(ids)

    async def tidy(self, user_of: Callable[[Function], int] | None = None) -> None:
        """Remove files that belong to no deployment, and queue missing builds again.

        `user_of` returns the uid that a function runs with: builds that it cannot read are missing
        too. None is for the server's own. It runs at start-up, before any request.
        """
        known = await self._database.read(deployments.ids)
        # A server that was killed may have left files of a canceled build.
        built = await self._database.read(deployments.built)
        await asyncio.to_thread(self._data.remove_strangers, known, built)
        users: dict[str, int] = {}
        if user_of is not None:
            users = {one.id: user_of(one) for one in await self._database.read(functions.every)}
        builds = {own: users.get(function_id, 0) for own, function_id in built.items()}
        lost = await asyncio.to_thread(self._data.without_build, builds)
        if lost:
            logger.warning(
                "%d builds are not in %s, or of another user, and are made again",
                len(lost),
                self._data.builds,
            )
            for function_id in {built[own] for own in lost}:
                # It may have files that the function's user cannot change.
                await asyncio.to_thread(remove_tree, self._data.cache(function_id))
            await self._database.write(deployments.rebuild, lost, now_ms())

    async def _discard(self, deployment_id: str) -> None:
        await self._hooks.interrupt(deployment_id)
        await self._hooks.retire(deployment_id)
        self.folders.pop(deployment_id, None)
        await asyncio.to_thread(self._data.remove_deployment, deployment_id)

    async def _both(self, function_id: str, deployment_id: str) -> tuple[Function, Deployment]:
        function = await self._database.read(existing, function_id)
        deployment = await self._database.read(deployments.get, function_id, deployment_id)
        if deployment is None:
            raise DeploymentNotFound
        return function, deployment


def stamped(deployment: Deployment) -> Deployment:
    """Return a deployment that is created now, with an id."""
    now = now_ms()
    return msgspec.structs.replace(
        deployment, id=deployment.id or new_id(), created_at=now, updated_at=now
    )
