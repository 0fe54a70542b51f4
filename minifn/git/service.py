"""Git of the server: functions connected to repositories, push events, and pushes to minifn."""

import asyncio
import hashlib
import hmac
from contextlib import AsyncExitStack
from typing import Self

from minifn.config import Config
from minifn.errors import (
    AccessForbidden,
    ArgumentInvalid,
    FunctionEntrypointMissing,
    FunctionNotFound,
    InstallationNotFound,
    ProviderRepositoryNotFound,
)
from minifn.git.fetch_queue import FetchQueue, GitContext
from minifn.git.fetcher import Fetcher
from minifn.git.installations import TEMPLATES, Installations
from minifn.git.poller import Poller, source
from minifn.git.program import Git
from minifn.git.pushed import PushedRepositories, pushed_source
from minifn.git_names import folder, is_commit, is_reference, is_repository
from minifn.host.files import remove_tree
from minifn.models import Deployment, Function
from minifn.store import functions, git_sources
from minifn.store.git_sources import Source


def events_secret(server_secret: str, installation_id: str) -> str:
    """Return the secret with which the host of an installation signs push events."""
    return hmac.new(
        server_secret.encode(), f"git events {installation_id}".encode(), hashlib.sha256
    ).hexdigest()


class GitService:
    """Deploys from repositories. An async context manager, entered before `run`."""

    def __init__(self, context: GitContext) -> None:
        self._context = context
        program = Git(
            context.config, context.data, context.engine, context.spawner, context.environ
        )
        fetcher = Fetcher(program, context.config.upload_limit)
        self._installations = Installations(
            context.config.git_installations, context.config.templates
        )
        self._queue = FetchQueue(context, fetcher, self._installations)
        self._poller = Poller(context.database, fetcher, self._queue, context.config.git_poll)
        self._stack = AsyncExitStack()
        #: The repositories that are pushed to this server.
        self.pushed = PushedRepositories(context, program, self._queue)

    async def __aenter__(self) -> Self:
        await self._remove_strangers()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._queue)
            await stack.enter_async_context(self._poller)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def run(self) -> None:
        """Poll connected repositories, and fetch the sources of deployments."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._queue.run(), name="minifn-git-fetches")
            parts.create_task(self._poller.run(), name="minifn-git-poller")

    async def _remove_strangers(self) -> None:
        """Remove the repositories of deleted functions."""
        known = {function.id for function in await self._context.database.read(functions.every)}
        for path in list(self._context.data.repositories.iterdir()):
            if path.name not in known:
                await asyncio.to_thread(remove_tree, path)

    async def follow(self, function: Function, before: Function | None = None) -> None:
        """Deploy the head of a function's branch if its connection is new or changed."""
        if before is not None and _connection(before) == _connection(function):
            return
        await self._context.database.write(git_sources.forget, function.id)
        if function.provider_repository_id:
            reference = f"refs/heads/{function.provider_branch}"
            await self._queue.add(
                function,
                source(function, reference, baseline=True),
                branch=function.provider_branch,
                activate=True,
            )

    async def deploy(
        self, function_id: str, kind: str, reference: str, *, activate: bool
    ) -> Deployment:
        """Deploy a `branch`, `commit` or `tag` of a function's repository, connected or pushed.

        Raises FunctionNotFound, InstallationNotFound, FunctionEntrypointMissing and
        ArgumentInvalid.
        """
        function = await self._function(function_id)
        full = full_reference(kind, reference)
        if function.provider_repository_id:
            wanted = source(function, full)
        elif self._context.data.repository(function.id).exists():
            wanted = pushed_source(function, full)
        else:
            raise InstallationNotFound(
                "The function is not connected to a repository, and none was pushed to it."
            )
        return await self._add(function, wanted, activate=activate)

    async def deploy_template(
        self, function_id: str, template: Source, *, activate: bool
    ) -> Deployment:
        """Deploy a template. Raises FunctionNotFound and FunctionEntrypointMissing."""
        return await self._add(await self._function(function_id), template, activate=activate)

    async def _add(self, function: Function, wanted: Source, *, activate: bool) -> Deployment:
        if not function.entrypoint:
            raise FunctionEntrypointMissing
        _, heads, branch = wanted.reference.partition("refs/heads/")
        deployment = await self._queue.add(
            function, wanted, branch=branch if heads else "", activate=activate
        )
        if deployment is None:
            raise FunctionNotFound
        return deployment

    def check_installation(self, installation_id: str) -> None:
        """Raise InstallationNotFound unless there is such an installation."""
        if installation_id not in {installation.name for installation in self._installations.all}:
            raise InstallationNotFound

    async def check_signature(self, installation_id: str, body: bytes, signature: str) -> None:
        """Check GitHub's header `X-Hub-Signature-256` of an installation's `body`.

        Raises AccessForbidden.
        """
        key = events_secret(self._context.secret, installation_id).encode()
        # In a thread: a body may have 25 MB, and a request needs no credentials.
        digest = await asyncio.to_thread(hmac.digest, key, body, hashlib.sha256)
        expected = f"sha256={digest.hex()}"
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise AccessForbidden(
                "The signature is not that of this installation: see `minifn git`."
            )

    async def pushed_elsewhere(self, installation_id: str, names: set[str]) -> int:
        """Look at the repositories of an installation with one of `names`; return how many."""
        found = [
            repository
            for repository in await self._context.database.read(git_sources.repositories)
            if repository.installation_id == installation_id and _is_one_of(repository.name, names)
        ]
        for repository in found:
            self._poller.look_soon(repository)
        return len(found)

    async def _function(self, function_id: str) -> Function:
        function = await self._context.database.read(functions.get, function_id)
        if function is None:
            raise FunctionNotFound
        return function


def template_source(
    config: Config, repository: str, path: str, kind: str, reference: str
) -> Source:
    """Return the folder `path` of a template repository (`owner/name`) below MINIFN_TEMPLATES.

    A tag may be a glob, such as `0.2.*`. Raises ProviderRepositoryNotFound and ArgumentInvalid.
    """
    inside = folder(path)
    if not config.templates or not is_repository(repository) or inside is None:
        raise ProviderRepositoryNotFound(
            f"{repository}, folder {path!r}, is not one of this server's own templates"
            + (
                ", and cannot be one of MINIFN_TEMPLATES."
                if config.templates
                else ", and MINIFN_TEMPLATES is not set."
            )
        )
    if kind == "tag" and is_reference(reference.replace("*", "0")):
        full = f"refs/tags/{reference}"
    else:
        full = full_reference(kind, reference)
    return Source(installation_id=TEMPLATES, repository=repository, reference=full, folder=inside)


def full_reference(kind: str, reference: str) -> str:
    """Return the full name of a reference, or a commit's hash. Raises ArgumentInvalid."""
    if kind == "commit":
        if not is_commit(reference.lower()):
            raise ArgumentInvalid.for_param("reference", "A commit must be named by its whole hash")
        return reference.lower()
    if not is_reference(reference):
        raise ArgumentInvalid.for_param("reference", f"Value must be the name of a {kind}")
    return f"refs/{'heads' if kind == 'branch' else 'tags'}/{reference}"


def _connection(function: Function) -> tuple[str, str, str]:
    return function.installation_id, function.provider_repository_id, function.provider_branch


def _is_one_of(name: str, names: set[str]) -> bool:
    plain = name.removesuffix(".git")
    return any(given == plain or given.endswith(f"/{plain}") for given in names)
