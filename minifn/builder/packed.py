"""The packed builds of a server: for downloads, backups and nodes, and in place of a rebuild.

A packed build is the gzipped tar that users download. It lies beside the archive of its deployment,
whose row has its SHA-256, and goes with the deployment.
"""

import asyncio
import hashlib
import os
from pathlib import Path

from minifn.archive.apart import pack_apart
from minifn.errors import DeploymentNotFound
from minifn.host.datadir import DataDir
from minifn.host.space import check_space
from minifn.models import Deployment
from minifn.store import deployments, packed_builds
from minifn.store.database import Database

#: Bytes of all packed builds together; those used longest ago are given up, and packed again when
#: they are needed.
PACKED_BYTES_MAX = 20_000_000_000


class PackedBuilds:
    """Packs builds, one at a time."""

    def __init__(self, data: DataDir, database: Database) -> None:
        self._data = data
        self._database = database
        #: Held while a build is packed, and by those who remove builds.
        self.turn = asyncio.Lock()

    async def of(self, deployment_id: str) -> tuple[Path, str]:
        """Return a packed build and its SHA-256; it is packed the first time.

        Raises DeploymentNotFound, also for a deployment without a build, TreeRefused and OSError.
        """
        path = self._data.output(deployment_id)
        async with self.turn:
            deployment = await self._database.read(deployments.by_id, deployment_id)
            if deployment is None or deployment.status != "ready" or deployment.build_removed:
                raise DeploymentNotFound
            sha256 = deployment.build_sha256
            if not sha256 or not path.exists():
                sha256 = await self._pack(deployment_id)
                await self._database.write(packed_builds.note, deployment_id, sha256)
        return path, sha256

    def kept(self, deployment: Deployment) -> Path | None:
        """Return the packed build of a deployment if it is there and undamaged; blocks."""
        path = self._data.output(deployment.id)
        return (
            path if deployment.build_sha256 and has_digest(path, deployment.build_sha256) else None
        )

    def drop(self, deployment_id: str) -> None:
        """Remove a packed build. Raises OSError."""
        self._data.output(deployment_id).unlink(missing_ok=True)

    def trim(self, limit_bytes: int) -> int:
        """Remove packed builds beyond `limit_bytes`, those used longest ago first; blocks.

        Return how many. Raises OSError.
        """
        states = {path: path.stat() for path in self._data.outputs()}
        excess_bytes = sum(status.st_size for status in states.values()) - limit_bytes
        removed = 0
        for path, status in sorted(states.items(), key=lambda one: one[1].st_mtime):
            if excess_bytes <= 0:
                break
            path.unlink(missing_ok=True)
            excess_bytes -= status.st_size
            removed += 1
        return removed

    async def _pack(self, deployment_id: str) -> str:
        await asyncio.to_thread(check_space, self._data.deployments)
        build, path = self._data.build(deployment_id), self._data.output(deployment_id)
        sha256 = await pack_apart(build, path)
        if not build.exists():
            # Deleted meanwhile: its packed build was removed before it was there.
            path.unlink(missing_ok=True)
            raise FileNotFoundError(build)
        return sha256


def has_digest(path: Path, sha256: str) -> bool:
    """Tell whether a file exists and has a SHA-256; blocks, and marks the file as used."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        os.utime(path)
    except FileNotFoundError:
        return False
    return found == sha256
