"""Repositories to push functions to: `git push http://HOST/git/<functionId>.git main` deploys.

The server side is git itself (`receive-pack` and `upload-pack`), confined, on a bare repository in
the data directory. The end of git's answer is held back until the build of the push has ended. The
build's log is sent before it, on git's side-band.
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
from minifn.host.files import make_directories, remove_tree, sync_directory, sync_tree
from minifn.host.space import TreeRefused, TreeSize, check_space, measure
from minifn.ids import new_id
from minifn.log_text import one_line
from minifn.models import Deployment, Function
from minifn.store import functions
from minifn.store.git_sources import Source

logger = logging.getLogger("minifn.git")

SERVICES = ("git-upload-pack", "git-receive-pack")
#: Branches whose deployments are activated, unless the function names its own.
MAIN_BRANCHES = ("main", "master")
#: Most packs of a repository before `git gc`.
PACKS_MAX = 20
#: Most git processes that serve at once: each may take a gigabyte of memory.
PROCESSES_MAX = 8
#: Seconds between two keep-alive packets while a build is silent.
QUIET_SECONDS = 4
#: Most levels and characters of a reference's name: each level is a directory of the repository.
REFERENCE_LEVELS_MAX = 32
REFERENCE_CHARS_MAX = 255
#: Name of an unfinished repository: one named BARE is complete.
UNFINISHED = f"{BARE}~new"


class PushRefused(Exception):
    """A push that is not accepted; the message can be shown to users."""


class PushedRepositories:
    """The repositories of a server's functions, made on first use."""

    def __init__(self, context: GitContext, git: Git, queue: FetchQueue) -> None:
        self._context = context
        self._git = git
        self._queue = queue
        self._limit_bytes = REPOSITORY_FACTOR * context.config.upload_limit
        self._turns: dict[str, asyncio.Lock] = {}
        self._processes = asyncio.Semaphore(PROCESSES_MAX)

    async def advertise(self, function: Function, service: str, protocol: str) -> bytes:
        """Return the references that a client of `service` gets first. Raises GitFailed."""
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
        """Write the answer to a client that fetches to the file `printed`. Raises GitFailed."""
        place = await self._open(function)
        await self._serve(
            place, ("upload-pack", "--stateless-rpc", BARE), protocol, request, printed
        )

    async def receive(self, function: Function, request: BinaryIO) -> AsyncGenerator[bytes, None]:
        """Take a push; yield git's answer and the logs of the builds that the push begins.

        `request` is unbuffered, because git reads its descriptor. Raises pktlines.Malformed and,
        for a client that does not understand git's report, GitFailed and PushRefused before
        anything is yielded.
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
        with self._context.changes.followed(follower.hear):
            # Before the answer: an accepted branch is deployed even if the client disconnects.
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
        """Yield the answer to a push that is refused. Raises PushRefused and pktlines.Malformed."""
        yield _refusal(await asyncio.to_thread(pktlines.read_push, request), PushRefused(reason))

    async def _take(
        self, function: Function, place: Path, push: pktlines.Push, request: BinaryIO
    ) -> tuple[bytes, dict[str, str]]:
        """Have git take a push; return its answer and the branches that it updated."""
        async with self._turns.setdefault(function.id, asyncio.Lock()):
            await asyncio.to_thread(_clear_up, place)
            # A push that only deletes references needs no space.
            if push.set:
                await self._make_room(place)
            request.seek(0)
            with tempfile.TemporaryFile() as printed:
                await self._serve(
                    place, ("receive-pack", "--stateless-rpc", BARE), "", request, printed
                )
                answer = await asyncio.to_thread(_whole, printed)
            pushed = await self._accepted(place, push) if push.branches() else {}
            # git syncs its files, but not their names.
            await asyncio.to_thread(sync_tree, place)
        return answer, pushed

    async def _open(self, function: Function) -> Path:
        """Return the directory of a function's repository; make a missing one."""
        place = self._context.data.repository(function.id)
        async with self._turns.setdefault(function.id, asyncio.Lock()):
            if not (place / BARE).exists():
                await asyncio.to_thread(_make_anew, place)
                await self._run(
                    place, ("init", "--quiet", "--bare", "--template=", "--", UNFINISHED)
                )
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
        # git reads a file and writes one, so that no slow client occupies a process.
        async with self._processes:
            exit = await self._git.start(call, request.fileno(), printed.fileno())
        # With output, git has told its client the error.
        if exit.code != 0 and not os.fstat(printed.fileno()).st_size:
            raise GitFailed(
                f"git ended with code {exit.code}, signal {exit.signal} {exit.reason}".rstrip()
            )

    async def _accepted(self, place: Path, push: pktlines.Push) -> dict[str, str]:
        """Return the branches of a push that now are at the pushed commit."""
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
        """Pack a repository that has grown. Raises PushRefused when there is no space."""
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
        # References that nest too deep to be measured become one file by `git gc`.
        with contextlib.suppress(TreeRefused):
            usage = await asyncio.to_thread(measure, place)
            if (
                usage.size_bytes <= self._limit_bytes
                and len(list(packs.glob("*.pack"))) <= PACKS_MAX
            ):
                return usage
        # The new pack may be as large as all old ones.
        file_bytes = self._limit_bytes + self._context.config.upload_limit
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
        active = (function.provider_branch,) if function.provider_branch else MAIN_BRANCHES
        source = pushed_source(function, commit)
        deployment_id = new_id()
        follower.expect(deployment_id)
        return await self._queue.add(
            function, source, branch=branch, activate=branch in active, deployment_id=deployment_id
        )

    async def _verdict(self, deployment: Deployment | None) -> str:
        if deployment is None:
            return "\n-----> The deployment was deleted.\n"
        if deployment.status != "ready":
            return f"\n-----> Build {deployment.status}: the active deployment stays as it was.\n"
        function = await self._context.database.read(functions.get, deployment.function_id)
        if function is None or function.deployment_id != deployment.id:
            return f"\n-----> Built, not active: deployment {deployment.id}\n"
        domain = f"{function.id.lower()}.{self._context.config.functions_domain}"
        return f"\n-----> Deployed to {self._context.endpoint.url_of(domain)}/\n"


def pushed_source(function: Function, reference: str) -> Source:
    """Return a reference of a function's repository on this server."""
    root = folder(function.provider_root_directory) or ""
    return Source(installation_id="", repository=function.id, reference=reference, folder=root)


def _make_anew(place: Path) -> None:
    remove_tree(place)
    make_directories(place)
    (place / SETTINGS_FILE).write_text(SETTINGS)


def _put_in_place(place: Path) -> None:
    sync_tree(place)
    (place / UNFINISHED).rename(place / BARE)
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
    """Return the report of a refused push: git would show only the code of an HTTP error."""
    if not push.reports:
        raise error
    if isinstance(error, GitFailed):
        logger.error("a push was refused: %s", one_line(str(error)))
    return pktlines.refusal(push, str(error))


def _clear_up(place: Path) -> None:
    """Remove the files of a killed push or `git gc`, which block later ones. Neither runs now."""
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
    """Yield the locks of references at every level."""
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
