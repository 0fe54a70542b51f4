"""The data directory: the paths in it."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from minifn.host.files import make_directories, remove_tree, sync_directory

#: The file that has git leave all of a data directory out.
IGNORED = ".gitignore"


class DataDir:
    """The paths below MINIFN_DATA.

    `prepare` makes them; nothing else in minifn joins paths to the root.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = root / "minifn.db"
        #: `<deployment id>.tar.gz`: the source archives, kept for rebuilds and downloads.
        self.deployments = root / "deployments"
        #: Files of a running server: sockets, temporary directories, process records, uploads.
        self.run = root / "run"
        #: The URL of the server that serves this directory, and its project, while it runs.
        self.address = self.run / "address"
        #: `<function id>/`: git repositories to which functions are pushed.
        self.repositories = root / "repositories"
        self.admin_key = root / "admin.key"
        self.jwt_secret = root / "jwt.secret"
        self.variables_key = root / "variables.key"
        #: Files that a restore has unpacked and not yet moved to their places.
        self.restoring = root / "restoring"
        self.keep_code(root)

    def keep_code(self, place: Path) -> None:
        """Keep builds and other files of code below `place`: the root, or a directory outside."""
        inside = place == self.root
        #: `<deployment id>/`: the built code, published read-only.
        self.builds = place / "builds"
        #: Build caches, private to a function.
        self.caches = self.builds / ".cache"
        #: `<name>/`: files that all functions of a toolchain read; `<name>.json` is their record.
        self.toolchains = self.builds / ".toolchains"
        #: A temporary working directory for each run of git.
        self.git = self.run / "git" if inside else place / "git"
        #: Copies of the wrappers, for the users of functions.
        self.runtimes = self.run / "runtimes" if inside else place / "runtimes"
        #: The directories of minifn that the users of functions pass through, the outermost first.
        self.ways = (
            (self.root, self.builds) if inside else (self.root, place.parent, place, self.builds)
        )

    def key_files(self, *, existing: bool = True) -> tuple[Path, ...]:
        """The key files: those that exist, or all possible ones."""
        files = (self.admin_key, self.jwt_secret, self.variables_key)
        return tuple(path for path in files if path.exists()) if existing else files

    @property
    def half_restored(self) -> bool:
        """Whether a restore was killed: there is no database, which comes last, and nothing else
        than it makes.
        """
        if self.database.exists() or not (self.restoring / self.deployments.name).is_dir():
            return False
        made = (self.restoring, self.deployments, self.builds, self.repositories, self.run)
        names = {path.name for path in (*made, *self.key_files(existing=False))}
        return {path.name for path in self.root.iterdir()} <= {*names, IGNORED}

    def open(self) -> None:
        """Do what `prepare` does, for a server. Raises OSError, also when a restore was killed."""
        if self.half_restored:
            raise OSError(
                errno.EINVAL, "A restore into it was interrupted: repeat it", str(self.root)
            )
        # Of one that was killed at its very end.
        remove_tree(self.restoring)
        self.prepare()

    def prepare(self) -> None:
        """Create the directories, mode 0700, with a file that has git leave all of it out.

        Raises OSError.
        """
        make_directories(
            self.root,
            self.deployments,
            self.builds,
            self.caches,
            self.toolchains,
            self.repositories,
            self.run,
        )
        ignored = self.root / IGNORED
        if not ignored.exists():
            # On a full disk the server starts without it.
            with contextlib.suppress(OSError), ignored.open("w") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write("*\n")
                file.flush()
                os.fsync(file.fileno())

    def source(self, deployment_id: str) -> Path:
        """The uploaded archive of a deployment."""
        return self.deployments / f"{deployment_id}.tar.gz"

    def upload(self, deployment_id: str) -> Path:
        """The file that collects the chunks of an unfinished upload; survives restarts."""
        return self.deployments / f"{deployment_id}.part"

    def build(self, deployment_id: str) -> Path:
        """The directory a function's code runs from."""
        return self.builds / deployment_id

    def output(self, deployment_id: str) -> Path:
        """The packed build (`minifn.builder.packed`)."""
        # No id contains `~`, so no other deployment's archive can have this name.
        return self.deployments / f"{deployment_id}~output.tar.gz"

    def outputs(self) -> list[Path]:
        """The packed builds of all deployments."""
        return list(self.deployments.glob("*~output.tar.gz"))

    def scratch(self, deployment_id: str) -> Path:
        """A build's temporary files, outside its directory, where a script may leave links."""
        return self.builds / f"{deployment_id}~tmp"

    def set_build_aside(self, deployment_id: str) -> Path:
        """Give a build a name that no deployment uses, and return it. Raises OSError."""
        build = self.build(deployment_id)
        return build.rename(build.with_name(f"{deployment_id}~{secrets.token_hex(8)}"))

    def cache(self, function_id: str) -> Path:
        """A function's build cache (pip, npm)."""
        return self.caches / function_id

    def toolchain(self, name: str) -> Path:
        """The files that all functions of a toolchain read."""
        return self.toolchains / name

    def repository(self, function_id: str) -> Path:
        """The directory of the git repository to which a function is pushed."""
        return self.repositories / function_id

    def remove_deployment(self, deployment_id: str) -> None:
        """Delete every file of a deployment. Raises OSError."""
        for path in (self.source(deployment_id), self.upload(deployment_id)):
            path.unlink(missing_ok=True)
        # In this order, because a build that is being packed is looked for at the end.
        remove_tree(self.build(deployment_id))
        self.output(deployment_id).unlink(missing_ok=True)

    def remove_strangers(self, deployment_ids: Iterable[str], built_ids: Iterable[str]) -> int:
        """Delete the archives and builds of all deployments but these; return how many.

        Raises OSError.
        """
        known = {
            path
            for one in deployment_ids
            for path in (self.source(one), self.upload(one), self.output(one))
        }
        known.update(map(self.build, built_ids))
        strangers = [
            path
            for path in (*self.deployments.iterdir(), *self.builds.iterdir())
            if path not in {*known, self.caches, self.toolchains}
        ]
        for path in strangers:
            remove_tree(path)
        return len(strangers)

    def without_build(self, users: Mapping[str, int]) -> list[str]:
        """Return the deployments that have a source archive, and no build that their user reads.

        `users`: id of a deployment -> uid that its function runs with, 0 for the server's own.
        """
        return [
            own
            for own, uid in users.items()
            if self.source(own).exists()
            and not (self.build(own).exists() and is_readable(self.build(own), uid))
        ]

    def leave_address(self, text: str) -> None:
        """Write the file by which commands of the server's user find it."""
        self.address.touch(mode=0o600)
        self.address.write_text(text)

    def keep_secret(self, path: Path, given: str) -> tuple[str, bool]:
        """Return the secret for `path` and whether it was made just now.

        `given` (from the environment) wins and is not written; otherwise the file is read, or made
        with mode 0600. Raises OSError, also for an empty file.
        """
        if given:
            return given, False
        try:
            secret = path.read_text().strip()
            if not secret:
                # With an empty secret anybody could sign tokens.
                raise OSError(
                    errno.EINVAL, "Its secret is gone: put it back, or delete the file", str(path)
                )
            return secret, False
        except UnicodeDecodeError as exc:
            raise OSError(
                errno.EINVAL, "It is not text: put its secret back, or delete the file", str(path)
            ) from exc
        except FileNotFoundError:
            secret = secrets.token_hex(32)
            # Complete and on disk before it has its name.
            new = path.with_name(f"{path.name}~new")
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secret + "\n")
                file.flush()
                os.fsync(file.fileno())
            new.rename(path)
            sync_directory(path.parent)
            return secret, True


def is_readable(build: Path, uid: int) -> bool:
    """Tell whether a user reads a build, 0 for the server's own; its first file stands for all.

    Another one was built for another engine or user, or copied without its owners. The directory
    itself says nothing, because an engine that starts a function gives it to the function's user.
    """
    if not uid:
        return True
    with os.scandir(build) as entries:
        first = next((one for one in entries if not one.is_symlink()), None)
    if first is None:
        return True
    status = first.stat(follow_symlinks=False)
    by_group = status.st_gid == uid and status.st_mode & stat.S_IRGRP
    return bool(status.st_uid == uid or by_group or status.st_mode & stat.S_IROTH)
