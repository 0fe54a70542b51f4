"""Finds pushes to connected repositories: polls their branches, and looks when a webhook says so.

A push event is only a reason to look. The repository decides what is deployed, so a push that is
reported twice, late or never makes no difference.
"""

import asyncio
import logging
import sqlite3
from typing import Self

from minifn.git.fetch_queue import FetchQueue
from minifn.git.fetcher import Fetcher
from minifn.git.installations import Remote, RepositoryMissing
from minifn.git.program import GitFailed
from minifn.git_names import folder, matches, touches
from minifn.host.tasks import Tasks
from minifn.log_text import one_line
from minifn.models import Function
from minifn.store import git_sources
from minifn.store.database import Database
from minifn.store.git_sources import Repository, Source

logger = logging.getLogger("minifn.git")


class Poller:
    """Looks at each connected repository every `interval_seconds` while `run` runs.

    An async context manager, entered before `run`.
    """

    def __init__(
        self, database: Database, fetcher: Fetcher, queue: FetchQueue, interval_seconds: float
    ) -> None:
        self._database = database
        self._fetcher = fetcher
        self._queue = queue
        self._interval_seconds = interval_seconds
        self._looking: dict[Repository, asyncio.Lock] = {}
        #: Last logged error of each repository that could not be read.
        self._complaints: dict[Repository, str] = {}
        self._looks = Tasks()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._looks.end()

    def look_soon(self, repository: Repository) -> None:
        """Look at a repository now, in the background."""
        self._looks.start(self.look(repository), "minifn-git-look")

    async def run(self) -> None:
        """Look at one repository after the other."""
        while True:
            repositories = await self._repositories()
            if not repositories:
                await asyncio.sleep(self._interval_seconds)
            for repository in repositories:
                await asyncio.sleep(self._interval_seconds / len(repositories))
                # A slow host gets no second request meanwhile, and delays no other repository.
                if not self._turn(repository).locked():
                    self.look_soon(repository)

    async def _repositories(self) -> list[Repository]:
        try:
            return await self._database.read(git_sources.repositories)
        except sqlite3.Error as exc:
            logger.error(
                "connected repositories could not be listed (%s); the next poll tries again", exc
            )
            return []

    def _turn(self, repository: Repository) -> asyncio.Lock:
        return self._looking.setdefault(repository, asyncio.Lock())

    async def look(self, repository: Repository) -> None:
        """Deploy the branches that were pushed to a repository since the last look."""
        async with self._turn(repository):
            functions = await self._database.read(git_sources.connected, repository)
            if not functions:
                return
            try:
                remote = await asyncio.to_thread(
                    self._queue.remote, repository.installation_id, repository.name
                )
                heads = await self._fetcher.heads(remote)
            except (GitFailed, RepositoryMissing) as exc:
                if self._complaints.get(repository) != str(exc):
                    # The text may come from the repository's host.
                    reason = one_line(" ".join(str(exc).split()), 1000)
                    logger.warning(
                        "%s of %s: %s", repository.name, repository.installation_id, reason
                    )
                self._complaints[repository] = str(exc)
                return
            self._complaints.pop(repository, None)
            for function in functions:
                await self._deploy(function, remote, heads)

    async def _deploy(self, function: Function, remote: Remote, heads: dict[str, str]) -> None:
        """Deploy the branches of one function that have a new commit."""
        known = await self._database.read(git_sources.known, function.id)
        for branch, commit in heads.items():
            before = known.get(branch, [])
            if commit in before:
                continue
            main = branch == function.provider_branch
            # Without known branches: the repository could not be read when it was connected.
            wanted = main or (bool(known) and matches(branch, function.provider_branches))
            if wanted and await self._concerns(function, remote, before, commit):
                await self._queue.add(
                    function, source(function, commit), branch=branch, activate=main, commit=commit
                )
            else:
                await self._database.write(git_sources.note_commit, function.id, branch, commit)

    async def _concerns(
        self, function: Function, remote: Remote, before: list[str], commit: str
    ) -> bool:
        """Tell whether a push touches the function's paths; assume so when git cannot tell."""
        if not function.provider_paths or not before:
            return True
        changed = await self._fetcher.changed(remote, before[-1], commit)
        return changed is None or await asyncio.to_thread(touches, changed, function.provider_paths)


def source(function: Function, reference: str, *, baseline: bool = False) -> Source:
    """Return a reference of the repository that a function is connected to."""
    return Source(
        installation_id=function.installation_id,
        repository=function.provider_repository_id,
        reference=reference,
        folder=folder(function.provider_root_directory) or "",
        baseline=baseline,
    )
