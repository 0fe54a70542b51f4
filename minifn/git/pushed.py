"""Repositories that functions are pushed to: `git push http://HOST/git/<functionId>.git main` deploys.

The server is git itself (`receive-pack` and `upload-pack`), confined, on a bare repository in the data directory. Of
its answer only the very end is held back, until the build that the push began has ended: before it, the build's log
rides to the pusher on git's own side-band.
"""

import asyncio
import contextlib
import logging
import os
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import BinaryIO

from minifn.git import pktlines
from minifn.git.fetch_queue import FetchQueue, GitContext
from minifn.git.fetcher import REPOSITORY_FACTOR
from minifn.git.follower import BuildFollower
from minifn.git.program import BARE, SETTINGS, SETTINGS_FILE, Git, GitFailed, Run
from minifn.git_names import folder
from minifn.host.datadir import make_directory, remove_tree, sync_directory, sync_tree
from minifn.host.space import TreeRefused, TreeSize, check_space, measure
from minifn.ids import new_id
from minifn.log_text import one_line
from minifn.models import Deployment, Function
from minifn.store import functions
from minifn.store.git_sources import Source

logger = logging.getLogger("minifn.git")

SERVICES = ("git-upload-pack", "git-receive-pack")
#: Branches that deploy for everybody, unless the function names its own.
MAIN_BRANCHES = ("main", "master")
#: Packs that a repository may have before they are put together.
PACKS_MAX = 20
#: Processes of git that serve at once: each may take a gigabyte.
PROCESSES_MAX = 8
#: Seconds of a build without news between two signs of life.
QUIET_SECONDS = 4
#: Levels and characters of a reference's name: each level is a directory of the repository.
REFERENCE_LEVELS_MAX = 32
REFERENCE_CHARS_MAX = 255
#: A repository that is being made: one with its right name is whole.
UNBORN = f"{BARE}~new"


class PushRefused(Exception):
    """A push that is not taken; the message is for people."""


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
        arguments = (service.removeprefix("git-"), "--stateless-rpc", "--advertise-refs", BARE)
        with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as nothing:
            await self._serve(place, arguments, protocol, nothing, printed)
            content = await asyncio.to_thread(_whole, printed)
        if protocol == "version=2" and service == "git-upload-pack":
            return content
        return pktlines.line(f"# service={service}\n".encode()) + pktlines.FLUSH + content

    async def send(
        self, function: Function, request: BinaryIO, printed: BinaryIO, protocol: str
    ) -> None:
        """Answer a client that fetches, into the file `printed`. Raises GitFailed."""
        place = await self._open(function)
        await self._serve(
            place, ("upload-pack", "--stateless-rpc", BARE), protocol, request, printed
        )

    async def receive(self, function: Function, request: BinaryIO) -> AsyncGenerator[bytes, None]:
        """Take a push, yield git's answer and, on the way, the logs of the builds it begins.

        `request` is unbuffered: git reads on from its descriptor. Raises pktlines.Malformed and, for a
        pusher who does not understand git's report, GitFailed and PushRefused before anything is yielded.
        """
        push = await asyncio.to_thread(pktlines.read_push, request)
        try:
            _check_names(push)
            place = await self._open(function)
            answer, pushed = await self._take(function, place, push, request)
        except (PushRefused, GitFailed) as exc:
            yield _refusal(push, exc)
            return
        follower = BuildFollower(function.id)
        with self._tools.changes.followed(follower.hear):
            # Before anything is answered: a pusher who goes away leaves no taken branch undeployed.
            begun = [
                (branch, commit, await self._deploy(function, branch, commit, follower))
                for branch, commit in pushed.items()
            ]
            tells = push.side_band and answer.endswith(pktlines.FLUSH)
            yield answer.removesuffix(pktlines.FLUSH) if tells else answer
            for branch, commit, deployment in begun:
                if tells and deployment is not None:
                    yield pktlines.progress(
                        f"-----> Building {function.id} from {branch} ({commit[:7]})\n"
                    )
                    async for text in follower.log(deployment.id, QUIET_SECONDS):
                        yield (
                            await asyncio.to_thread(pktlines.progress, text)
                            if text
                            else pktlines.KEEPALIVE
                        )
                    yield pktlines.progress(await self._verdict(follower.outcome(deployment.id)))
            if tells:
                yield pktlines.FLUSH

    async def refuse(self, request: BinaryIO, reason: str) -> AsyncGenerator[bytes, None]:
        """Yield the answer to a push that is not taken. Raises PushRefused and pktlines.Malformed."""
        yield _refusal(await asyncio.to_thread(pktlines.read_push, request), PushRefused(reason))

    async def _take(
        self, function: Function, place: Path, push: pktlines.Push, request: BinaryIO
    ) -> tuple[bytes, dict[str, str]]:
        """Have git take a push; return its answer and the branches that it moved as was wanted."""
        async with self._turns.setdefault(function.id, asyncio.Lock()):
            await asyncio.to_thread(_clear_up, place)
            # A push that only deletes needs no room, and makes some.
            if push.set:
                await self._make_room(place)
            request.seek(0)
            with tempfile.TemporaryFile() as printed:
                await self._serve(
                    place, ("receive-pack", "--stateless-rpc", BARE), "", request, printed
                )
                answer = await asyncio.to_thread(_whole, printed)
            pushed = await self._accepted(place, push) if push.branches() else {}
            # git synchronizes its files, and not their names.
            await asyncio.to_thread(sync_tree, place)
        return answer, pushed

    async def _open(self, function: Function) -> Path:
        """Return the directory of a function's repository, which is made when it is missing."""
        place = self._tools.data.repository(function.id)
        async with self._turns.setdefault(function.id, asyncio.Lock()):
            if not (place / BARE).exists():
                await asyncio.to_thread(_make_anew, place)
                await self._run(place, ("init", "--quiet", "--bare", "--template=", "--", UNBORN))
                await asyncio.to_thread(_put_in_place, place)
        return place

    async def _serve(
        self,
        place: Path,
        arguments: tuple[str, ...],
        protocol: str,
        request: BinaryIO,
        printed: BinaryIO,
    ) -> None:
        environment = {"GIT_PROTOCOL": protocol} if protocol else {}
        call = Run(
            arguments=arguments, place=place, file_bytes=self._limit_bytes, environment=environment
        )
        # It reads a file and writes one, so that no client can keep another's from its turn.
        async with self._processes:
            exit = await self._git.start(call, request.fileno(), printed.fileno())
        # git has told its client what it did not like, unless it never came to that.
        if exit.code != 0 and not os.fstat(printed.fileno()).st_size:
            raise GitFailed(
                f"git ended with code {exit.code}, signal {exit.signal} {exit.reason}".rstrip()
            )

    async def _accepted(self, place: Path, push: pktlines.Push) -> dict[str, str]:
        """Return the branches that are now where the push wanted them."""
        arguments = (
            "-C",
            BARE,
            "for-each-ref",
            "--format=%(objectname) %(refname:lstrip=2)",
            "refs/heads/",
        )
        text = await self._run(place, arguments)
        heads = {
            name: commit for commit, _, name in (row.partition(" ") for row in text.splitlines())
        }
        return {
            branch: commit
            for branch, commit in push.branches().items()
            if heads.get(branch) == commit
        }

    async def _make_room(self, place: Path) -> None:
        """Have git pack what has grown too much. Raises PushRefused when there is no room."""
        try:
            await asyncio.to_thread(check_space, place)
            usage = await self._packed(place)
        except TreeRefused as exc:
            raise PushRefused(str(exc)) from exc
        if usage.size_bytes > self._limit_bytes:
            raise PushRefused(
                f"the repository is larger than {self._limit_bytes:,} bytes: delete branches"
            )

    async def _packed(self, place: Path) -> TreeSize:
        """Return the size of a repository, after a `git gc` if it needs one. Raises TreeRefused."""
        packs = place / BARE / "objects" / "pack"
        # References that nest too deep to be measured are one file after `git gc`.
        with contextlib.suppress(TreeRefused):
            usage = await asyncio.to_thread(measure, place)
            if (
                usage.size_bytes <= self._limit_bytes
                and len(list(packs.glob("*.pack"))) <= PACKS_MAX
            ):
                return usage
        # The new pack may be as large as all the others.
        file_bytes = self._limit_bytes + self._tools.config.upload_limit
        try:
            await self._run(place, ("-C", BARE, "gc", "--quiet", "--prune=now"), file_bytes)
        except GitFailed as exc:
            logger.warning("git gc failed in %s: %s", place, one_line(str(exc)))
        return await asyncio.to_thread(measure, place)

    async def _run(self, place: Path, arguments: tuple[str, ...], file_bytes: int = 0) -> str:
        return await self._git.run(
            Run(arguments=arguments, place=place, file_bytes=file_bytes or self._limit_bytes)
        )

    async def _deploy(
        self, function: Function, branch: str, commit: str, follower: BuildFollower
    ) -> Deployment | None:
        own = (function.provider_branch,) if function.provider_branch else MAIN_BRANCHES
        source = pushed_source(function, commit)
        deployment_id = new_id()
        follower.expect(deployment_id)
        return await self._queue.add(
            function, source, branch=branch, activate=branch in own, deployment_id=deployment_id
        )

    async def _verdict(self, deployment: Deployment | None) -> str:
        if deployment is None:
            return "\n-----> The deployment was deleted.\n"
        if deployment.status != "ready":
            return f"\n-----> Build {deployment.status}: what ran before goes on running.\n"
        function = await self._tools.database.read(functions.get, deployment.function_id)
        if function is None or function.deployment_id != deployment.id:
            return f"\n-----> Built, not active: deployment {deployment.id}\n"
        domain = f"{function.id.lower()}.{self._tools.config.functions_domain}"
        return f"\n-----> Deployed to {self._tools.endpoint.url_of(domain)}/\n"


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
    (place / UNBORN).rename(place / BARE)
    sync_directory(place)


def _check_names(push: pktlines.Push) -> None:
    """Raise PushRefused for a reference whose name would make later pushes slow or fail."""
    for name in push.set:
        shown = name if len(name) <= 60 else f"{name[:60]}..."
        if name.count("/") > REFERENCE_LEVELS_MAX:
            raise PushRefused(f"{shown} has more than {REFERENCE_LEVELS_MAX} levels")
        if len(name) > REFERENCE_CHARS_MAX:
            raise PushRefused(f"{shown} is longer than {REFERENCE_CHARS_MAX} characters")


def _refusal(push: pktlines.Push, error: PushRefused | GitFailed) -> bytes:
    """Return the report that nothing was taken: of an HTTP error, git shows its pusher the code alone."""
    if not push.reports:
        raise error
    if isinstance(error, GitFailed):
        logger.error("a push was not taken: %s", one_line(str(error)))
    return pktlines.refusal(push, str(error))


def _clear_up(place: Path) -> None:
    """Remove the files of a killed push or `git gc`, which refuse later ones. None runs now."""
    repository = place / BARE
    for left in (
        "*.lock",
        "gc.pid",
        "objects/tmp_objdir-*",
        "objects/pack/tmp_*",
        "objects/pack/.tmp-*",
    ):
        for path in list(repository.glob(left)):
            remove_tree(path)
    for lock in list(_locks(repository / "refs")):
        lock.unlink(missing_ok=True)


def _locks(directory: Path) -> Iterator[Path]:
    """Yield the locks of references, however deep they nest."""
    directories = [directory]
    while directories:
        for path in directories.pop().iterdir():
            if path.is_dir():
                directories.append(path)
            elif path.suffix == ".lock":
                yield path


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
