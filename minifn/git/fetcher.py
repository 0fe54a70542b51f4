"""Reads from a repository: branches, a commit as an archive, the paths changed between commits.

Nothing is checked out: git packs the tree of a commit into an archive. Its links and names are
checked when it is unpacked, as those of every uploaded archive are.
"""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

from minifn.archive import uploads
from minifn.git.installations import Remote
from minifn.git.program import BARE, Git, GitFailed, Run

#: Factor between the largest archive and the largest repository: often one folder is deployed.
REPOSITORY_FACTOR = 10
#: Seconds after which a host that has not listed its branches counts as unreachable.
LOOK_SECONDS = 60
#: Reference of a fetched commit in the repository that it is fetched into.
FETCHED = "refs/minifn/fetched"
#: Most characters stored of a commit's message, and of its author's name.
TEXT_CHARS = 1000
_HEAD = re.compile(r"^([0-9a-f]{40,64})\trefs/heads/(\S+)$", re.MULTILINE)
_TAG = re.compile(r"^[0-9a-f]{40,64}\t(refs/tags/\S+)$", re.MULTILINE)
#: Attributes that make an archive equal a checkout: no file is left out or rewritten.
_ATTRIBUTES = "* -export-ignore -export-subst\n"
#: Name of the unfinished archive in git's working directory.
_ARCHIVE = "source.tar.gz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """A commit, with its author's name and its message."""

    hash: str
    author: str
    message: str


class Fetcher:
    """Reads from remotes. `archive_bytes` is the size of the largest archive it makes."""

    def __init__(self, git: Git, archive_bytes: int) -> None:
        self._git = git
        self._archive_bytes = archive_bytes
        self._repository_bytes = REPOSITORY_FACTOR * archive_bytes

    async def heads(self, remote: Remote) -> dict[str, str]:
        """Return the name of each branch -> its commit. Raises GitFailed."""
        async with self._git.place(remote) as place:
            arguments = ("ls-remote", "--heads", "--", self._git.address(remote))
            call = Run(
                arguments=arguments,
                place=place,
                remote=remote,
                file_bytes=self._repository_bytes,
                seconds=LOOK_SECONDS,
            )
            text = await self._git.run(call)
        return {name: commit for commit, name in _HEAD.findall(text)}

    async def archive(self, remote: Remote, reference: str, folder: str, target: Path) -> Commit:
        """Write a folder of a commit ("" = all) to the .tar.gz `target` and return the commit.

        `reference` is a full reference (`refs/heads/main`), a whole hash, or a glob of tags
        (`refs/tags/0.2.*`), which stands for the highest matching version. A repository of this
        server is read in place. Raises GitFailed.
        """
        async with self._git.place(remote) as place:
            if remote.own:
                return await self._pack(place, remote, reference, folder, target)
            if "*" in reference:
                reference = await self._newest(place, remote, reference)
            await self._fetch(place, remote, reference)
            return await self._pack(place, None, FETCHED, folder, target)

    async def _pack(
        self, place: Path, own: Remote | None, reference: str, folder: str, target: Path
    ) -> Commit:
        """Write the archive from `own`, a repository of this server, or from the one in `place`."""
        repository = place / BARE if own is None or own.path is None else own.path
        await asyncio.to_thread(_set_attributes, repository)
        commit = await self._describe(place, own, reference)
        tree = f"{commit.hash}:{folder}"
        if folder:
            await self._check_folder(place, own, tree, folder)
        arguments = ("archive", "--format=tar.gz", f"--output={_ARCHIVE}", tree)
        await self._read(place, own, arguments, self._archive_bytes)
        await asyncio.to_thread(uploads.store_whole, place / _ARCHIVE, target)
        return commit

    async def changed(self, remote: Remote, before: str, after: str) -> list[str] | None:
        """Return the paths that differ between two commits; None when one no longer exists."""
        async with self._git.place(remote) as place:
            try:
                await self._fetch(place, remote, before, f"{FETCHED}-before")
                await self._fetch(place, remote, after)
            except GitFailed:
                return None
            arguments = (
                "diff",
                "--name-only",
                "--no-renames",
                "-z",
                f"{FETCHED}-before",
                FETCHED,
                "--",
            )
            text = await self._read(place, None, arguments)
        return [path for path in text.split("\0") if path]

    async def _newest(self, place: Path, remote: Remote, glob: str) -> str:
        options = ("--tags", "--refs", "--sort=version:refname")
        arguments = ("ls-remote", *options, "--", self._git.address(remote), glob)
        tags = _TAG.findall(await self._run(place, arguments, remote))
        if not tags:
            raise GitFailed(f"no tag matches {glob.removeprefix('refs/tags/')!r}")
        return str(tags[-1])

    async def _fetch(
        self, place: Path, remote: Remote, reference: str, name: str = FETCHED
    ) -> None:
        if not (place / BARE).exists():
            await self._run(place, ("init", "--quiet", "--bare", "--template=", "--", BARE))
        options = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules")
        arguments = ("fetch", *options, "--", self._git.address(remote), f"+{reference}:{name}")
        await self._run(place, (f"--git-dir={BARE}", *arguments), remote)

    async def _describe(self, place: Path, own: Remote | None, reference: str) -> Commit:
        arguments = (
            "log",
            "-1",
            "--no-show-signature",
            "--format=%x00%H%x00%an%x00%B%x00",
            reference,
            "--",
        )
        text = await self._read(place, own, arguments)
        parts = text.split("\0")
        if len(parts) != 5:
            raise GitFailed(f"the reference is not a commit: {text.strip()[:200]}")
        return Commit(
            hash=parts[1], author=parts[2][:TEXT_CHARS], message=parts[3].strip()[:TEXT_CHARS]
        )

    async def _check_folder(self, place: Path, own: Remote | None, tree: str, folder: str) -> None:
        try:
            kind = await self._read(place, own, ("cat-file", "-t", tree))
        except GitFailed as exc:
            raise GitFailed(f"the commit has no folder {folder!r}") from exc
        if kind.strip() != "tree":
            raise GitFailed(f"{folder!r} is not a folder in this commit")

    async def _read(
        self, place: Path, own: Remote | None, arguments: tuple[str, ...], file_bytes: int = 0
    ) -> str:
        """Run git on `own`, or on the repository in `place`."""
        repository = BARE if own is None else self._git.address(own)
        return await self._run(place, (f"--git-dir={repository}", *arguments), own, file_bytes)

    async def _run(
        self,
        place: Path,
        arguments: tuple[str, ...],
        remote: Remote | None = None,
        file_bytes: int = 0,
    ) -> str:
        call = Run(
            arguments=arguments,
            place=place,
            remote=remote,
            file_bytes=file_bytes or self._repository_bytes,
        )
        return await self._git.run(call)


def _set_attributes(repository: Path) -> None:
    """Make archives of a repository hold every file unchanged.

    Raises GitFailed if it is missing.
    """
    file = repository / "info" / "attributes"
    try:
        file.parent.mkdir(exist_ok=True)
        if not file.exists() or file.read_text() != _ATTRIBUTES:
            file.write_text(_ATTRIBUTES)
    except FileNotFoundError as exc:
        raise GitFailed("the repository is missing") from exc
