"""Deployments from git: queued in the database, fetched a few at a time, then built."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote

import msgspec

from minifn.change_feed import ChangeFeed
from minifn.config import Config
from minifn.endpoint import ApiEndpoint
from minifn.git.fetcher import Commit, Fetcher
from minifn.git.installations import Installations, Remote, RepositoryMissing
from minifn.git.program import BARE, GitFailed
from minifn.hooks import Hooks
from minifn.host.datadir import DataDir
from minifn.host.files import remove_tree
from minifn.host.tasks import Tasks
from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.models import Deployment, Function
from minifn.sandbox.engines import Engine
from minifn.sandbox.spawner import Spawner
from minifn.store import git_sources
from minifn.store.database import Database
from minifn.store.git_sources import Fetch, Source

logger = logging.getLogger("minifn.git")

#: Most fetches of one installation at a time.
FETCHES_AT_ONCE = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class GitContext:
    """The parts of the server that git uses."""

    config: Config
    endpoint: ApiEndpoint
    data: DataDir
    database: Database
    engine: Engine
    spawner: Spawner
    #: The server's secret, from which webhook secrets are derived.
    secret: str = field(repr=False)
    changes: ChangeFeed = field(default_factory=ChangeFeed)
    hooks: Hooks = field(default_factory=Hooks)
    environ: Mapping[str, str] = field(default_factory=dict)


class FetchQueue:
    """Fetches the sources of deployments while `run` runs.

    An async context manager, entered before.
    """

    def __init__(self, context: GitContext, fetcher: Fetcher, installations: Installations) -> None:
        self._context = context
        self._fetcher = fetcher
        self._installations = installations
        self._wake = asyncio.Event()
        self._fetches = Tasks()
        self._turns: dict[str, asyncio.Semaphore] = {}

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(remove_tree, self._context.data.git)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Stop fetching; the next server fetches what is left in the queue."""
        await self._fetches.end()

    def remote(self, installation_id: str, repository: str) -> Remote:
        """Return the remote of a repository, of this server without an installation.

        Raises RepositoryMissing.
        """
        if not installation_id:
            return Remote(
                path=self._context.data.repository(repository) / BARE, name=repository, own=True
            )
        return self._installations.find(installation_id).remote(repository)

    async def add(
        self,
        function: Function,
        source: Source,
        *,
        branch: str,
        activate: bool,
        commit: str = "",
        deployment_id: str = "",
    ) -> Deployment | None:
        """Queue a deployment of a function, with a new id unless one is given, and return it.

        None when the function is gone, or when this commit of the branch was queued before.
        """
        now = now_ms()
        deployment = Deployment(
            id=deployment_id or new_id(),
            created_at=now,
            updated_at=now,
            function_id=function.id,
            type="vcs",
            entrypoint=function.entrypoint,
            commands=function.commands,
            activate=activate,
            chunks_uploaded=0,
            provider_branch=branch,
        )
        try:
            remote = await asyncio.to_thread(self.remote, source.installation_id, source.repository)
            deployment = _described(deployment, remote)
        except RepositoryMissing:
            logger.info(
                "%s: its repository is missing; the deployment's log will say so", function.id
            )
        inserted = await self._context.database.write(
            git_sources.insert, deployment, source, commit=commit
        )
        if inserted is not None:
            self._context.changes.tell("create", inserted)
            self._wake.set()
        return inserted

    async def run(self) -> None:
        """Fetch waiting deployments as they come."""
        while True:
            self._wake.clear()
            # Noted before the read: the list may hold a fetch that ends meanwhile.
            running = self._fetches.names
            for fetch in await self._context.database.insist(git_sources.pending):
                name = f"minifn-git-fetch-{fetch.deployment.id}"
                if name not in running:
                    self._fetches.start(self._attempt(fetch), name)
            await self._wake.wait()

    async def _attempt(self, fetch: Fetch) -> None:
        """Fetch a deployment when its installation has a free slot.

        Slots are counted per installation, so that a host that does not answer delays no other.
        """
        turn = self._turns.setdefault(
            fetch.source.installation_id, asyncio.Semaphore(FETCHES_AT_ONCE)
        )
        async with turn:
            try:
                await self._fetch(fetch)
            except Exception:
                logger.exception("the source of %s could not be fetched", fetch.deployment.id)
                await self._fail(fetch.deployment, "Internal error.")

    async def _fetch(self, fetch: Fetch) -> None:
        deployment, source = fetch.deployment, fetch.source
        archive = self._context.data.source(deployment.id)
        try:
            remote = await asyncio.to_thread(self.remote, source.installation_id, source.repository)
            deployment = _described(deployment, remote)
            heads = await self._fetcher.heads(remote) if source.baseline else {}
            commit = await self._fetcher.archive(remote, source.reference, source.folder, archive)
        except (GitFailed, RepositoryMissing) as exc:
            await self._fail(deployment, f"The source could not be fetched: {exc}")
            return
        size_bytes = (await asyncio.to_thread(archive.stat)).st_size
        if source.baseline:
            heads[deployment.provider_branch] = commit.hash
        complete = msgspec.structs.replace(
            _committed(deployment, commit),
            source_size_bytes=size_bytes,
            chunks_uploaded=deployment.chunks_total,
            updated_at=now_ms(),
        )
        stored = await self._context.database.write(git_sources.fetched, complete, heads)
        if stored is None:
            await asyncio.to_thread(archive.unlink, missing_ok=True)
            return
        self._context.changes.tell("update", stored)
        self._context.hooks.build()

    async def _fail(self, deployment: Deployment, message: str) -> None:
        log = f"{time.strftime('[%H:%M:%S]', time.gmtime())} [minifn] {message}\n"
        stored = await self._context.database.write(
            git_sources.failed, deployment.id, log, now_ms()
        )
        if stored is not None:
            self._context.changes.tell_log(stored.id, log, len(stored.build_logs))
            self._context.changes.tell("update", stored)


def _described(deployment: Deployment, remote: Remote) -> Deployment:
    """Return the deployment with the names and pages of its repository."""
    branch = deployment.provider_branch
    return msgspec.structs.replace(
        deployment,
        provider_repository_name=remote.name,
        provider_repository_owner=remote.owner,
        provider_repository_url=remote.page,
        provider_branch_url=f"{remote.page}/tree/{quote(branch)}" if remote.page and branch else "",
    )


def _committed(deployment: Deployment, commit: Commit) -> Deployment:
    page = deployment.provider_repository_url
    return msgspec.structs.replace(
        deployment,
        provider_commit_hash=commit.hash,
        provider_commit_message=commit.message,
        provider_commit_author=commit.author,
        provider_commit_url=f"{page}/commit/{commit.hash}" if page else "",
    )
