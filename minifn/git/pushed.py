"""Repositories that functions are pushed to: `git push http://HOST/git/<functionId>.git main` deploys.

The server is git itself (`receive-pack` and `upload-pack`), confined, on a bare repository in the data directory. Of
its answer only the very end is held back, until the build that the push began has ended: before it, the build's log
rides to the pusher on git's own side-band.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from minifn.config import authority
from minifn.git import pktlines
from minifn.git.fetch_queue import PUSHED, FetchQueue, GitContext
from minifn.git.fetcher import REPOSITORY_FACTOR
from minifn.git.program import SETTINGS, SETTINGS_FILE, Git, GitFailed, Run
from minifn.git_names import folder
from minifn.host.datadir import make_directory, remove_tree, sync_directory, sync_tree
from minifn.host.space import TreeRefused, check_space, measure
from minifn.models import UNFINISHED_BUILD, Deployment, Function
from minifn.store import deployments, functions
from minifn.store.git_sources import Source

logger = logging.getLogger("minifn.git")

SERVICES = ("git-upload-pack", "git-receive-pack")
#: Branches that deploy for everybody, unless the function names its own.
MAIN_BRANCHES = ("main", "master")
#: Packs that a repository may have before they are put together.
PACKS_MAX = 20
#: Processes of git that serve at once: each may take a gigabyte.
PROCESSES_MAX = 8
FOLLOW_SECONDS = 0.2
#: Looks at a build without news between two signs of life.
QUIET_LOOKS = 20
#: A repository that is being made: one with its right name is whole.
UNBORN = f"{PUSHED}~new"


class PushRefused(Exception):
    """There is no room for what would be pushed; the message is for people."""


class PushedRepositories:
    """The repositories of a server's functions, made when they are first asked for."""

    def __init__(self, tools: GitContext, git: Git, queue: FetchQueue) -> None:
        self._tools = tools
        self._git = git
        self._queue = queue
        self._limit_bytes = REPOSITORY_FACTOR * tools.config.upload_limit
        self._turns: dict[str, asyncio.Lock] = {}
        self._processes = asyncio.Semaphore(PROCESSES_MAX)

    async def advertise(self, function: Function, service: str, protocol: str) -> bytes:
        """Return what a client of `service` is told first. Raises GitFailed."""
        place = await self._open(function)
        arguments = (service.removeprefix("git-"), "--stateless-rpc", "--advertise-refs", PUSHED)
        with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as nothing:
            await self._serve(place, arguments, protocol, nothing, printed)
            content = await asyncio.to_thread(_whole, printed)
        if protocol == "version=2" and service == "git-upload-pack":
            return content
        return pktlines.line(f"# service={service}\n".encode()) + pktlines.FLUSH + content

    async def send(self, function: Function, request: BinaryIO, printed: BinaryIO, protocol: str) -> None:
        """Answer a client that fetches, into the file `printed`. Raises GitFailed."""
        place = await self._open(function)
        await self._serve(place, ("upload-pack", "--stateless-rpc", PUSHED), protocol, request, printed)

    async def receive(self, function: Function, request: BinaryIO) -> AsyncIterator[bytes]:
        """Take a push, yield git's answer and, on the way, the logs of the builds it begins.

        Raises GitFailed, PushRefused and pktlines.Malformed before anything is yielded.
        """
        push = await asyncio.to_thread(pktlines.read_push, request)
        # git reads from the descriptor, which the buffer of the file object is ahead of.
        os.lseek(request.fileno(), 0, os.SEEK_SET)
        place = await self._open(function)
        async with self._turns.setdefault(function.id, asyncio.Lock()):
            await asyncio.to_thread(_clear_up, place)
            await self._make_room(place)
            with tempfile.TemporaryFile() as printed:
                await self._serve(place, ("receive-pack", "--stateless-rpc", PUSHED), "", request, printed)
                answer = await asyncio.to_thread(_whole, printed)
            pushed = await self._accepted(place, push) if push.branches() else {}
            # git synchronizes its files, and not their names.
            await asyncio.to_thread(sync_tree, place)
        # Before anything is answered: a pusher who goes away leaves no branch behind that was taken and not deployed.
        begun = [(branch, commit, await self._deploy(function, branch, commit)) for branch, commit in pushed.items()]
        tells = "side-band-64k" in push.capabilities and answer.endswith(pktlines.FLUSH)
        yield answer.removesuffix(pktlines.FLUSH) if tells else answer
        for branch, commit, deployment in begun:
            if tells and deployment is not None:
                yield pktlines.progress(f"-----> Building {function.id} from {branch} ({commit[:7]})\n")
                async for told in self._follow(deployment):
                    yield told
        if tells:
            yield pktlines.FLUSH

    async def _open(self, function: Function) -> Path:
        """Return the directory of a function's repository, which is made when it is missing."""
        place = self._tools.data.repository(function.id)
        async with self._turns.setdefault(function.id, asyncio.Lock()):
            if not (place / PUSHED).exists():
                await asyncio.to_thread(_make_anew, place)
                await self._run(place, ("init", "--quiet", "--bare", "--template=", "--", UNBORN))
                await asyncio.to_thread(_put_in_place, place)
        return place

    async def _serve(
        self, place: Path, arguments: tuple[str, ...], protocol: str, request: BinaryIO, printed: BinaryIO
    ) -> None:
        environment = {"GIT_PROTOCOL": protocol} if protocol else {}
        call = Run(arguments=arguments, place=place, file_bytes=self._limit_bytes, environment=environment)
        # It reads a file and writes one, so that no client can keep another's from its turn.
        async with self._processes:
            exit = await self._git.start(call, request.fileno(), printed.fileno())
        # git has told its client what it did not like, unless it never came to that.
        if exit.code != 0 and not os.fstat(printed.fileno()).st_size:
            raise GitFailed(f"git ended with code {exit.code}, signal {exit.signal} {exit.reason}".rstrip())

    async def _accepted(self, place: Path, push: pktlines.Push) -> dict[str, str]:
        """Return the branches that are now where the push wanted them."""
        arguments = ("-C", PUSHED, "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads/")
        text = await self._run(place, arguments)
        heads = {name: commit for commit, _, name in (row.partition(" ") for row in text.splitlines())}
        return {branch: commit for branch, commit in push.branches().items() if heads.get(branch) == commit}

    async def _make_room(self, place: Path) -> None:
        try:
            await asyncio.to_thread(check_space, place)
        except TreeRefused as exc:
            raise PushRefused(str(exc)) from exc
        packs = place / PUSHED / "objects" / "pack"
        usage = await asyncio.to_thread(measure, place)
        if usage.size_bytes > self._limit_bytes or len(list(packs.glob("*.pack"))) > PACKS_MAX:
            await self._run(place, ("-C", PUSHED, "gc", "--quiet", "--prune=now"))
            usage = await asyncio.to_thread(measure, place)
        if usage.size_bytes > self._limit_bytes:
            raise PushRefused(f"the repository is larger than {self._limit_bytes:,} bytes: delete branches")

    async def _run(self, place: Path, arguments: tuple[str, ...]) -> str:
        return await self._git.run(Run(arguments=arguments, place=place, file_bytes=self._limit_bytes))

    async def _deploy(self, function: Function, branch: str, commit: str) -> Deployment | None:
        own = (function.provider_branch,) if function.provider_branch else MAIN_BRANCHES
        return await self._queue.add(function, pushed_source(function, commit), branch=branch, activate=branch in own)

    async def _follow(self, deployment: Deployment) -> AsyncIterator[bytes]:
        """Yield a build's log as it is written, and how it ended."""
        told = quiet = 0
        while True:
            current = await self._tools.database.read(deployments.by_id, deployment.id)
            if current is None:
                yield pktlines.progress("\n-----> The deployment was deleted.\n")
                return
            if news := current.build_logs[told:]:
                yield pktlines.progress(news)
            elif not quiet % QUIET_LOOKS:
                yield pktlines.KEEPALIVE
            quiet = 0 if news else quiet + 1
            told = len(current.build_logs)
            if current.status not in UNFINISHED_BUILD:
                yield pktlines.progress(await self._verdict(current))
                return
            await asyncio.sleep(FOLLOW_SECONDS)

    async def _verdict(self, deployment: Deployment) -> str:
        if deployment.status != "ready":
            return f"\n-----> Build {deployment.status}: what ran before goes on running.\n"
        function = await self._tools.database.read(functions.get, deployment.function_id)
        if function is None or function.deployment_id != deployment.id:
            return f"\n-----> Built, not active: deployment {deployment.id}\n"
        config = self._tools.config
        port = authority(config.host, config.port).rpartition(":")[2]
        return f"\n-----> Deployed to http://{function.id.lower()}.{config.functions_domain}:{port}/\n"


def pushed_source(function: Function, reference: str) -> Source:
    """Return a reference of the repository that is pushed to this server."""
    root = folder(function.provider_root_directory) or ""
    return Source(installation_id="", repository=function.id, reference=reference, folder=root)


def _make_anew(place: Path) -> None:
    remove_tree(place)
    make_directory(place)
    (place / SETTINGS_FILE).write_text(SETTINGS)


def _put_in_place(place: Path) -> None:
    sync_tree(place)
    (place / UNBORN).rename(place / PUSHED)
    sync_directory(place)


def _clear_up(place: Path) -> None:
    """Remove what a push left behind that was killed: its locks refuse every later one. None runs now."""
    repository = place / PUSHED
    for left in ("*.lock", "refs/**/*.lock", "objects/tmp_objdir-*", "objects/pack/tmp_*"):
        for path in list(repository.glob(left)):
            remove_tree(path)


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
