"""Where everything lies in the data directory, and who may look at it."""

import os
import secrets
from pathlib import Path


class DataDir:
    """The paths below MINIFN_DATA. `prepare` makes them; nothing else in minifn joins paths to the root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = root / "minifn.db"
        #: `<deployment id>.tar.gz`: the source archives, kept for rebuilds and downloads.
        self.deployments = root / "deployments"
        #: `<deployment id>/`: the built code, published read-only.
        self.builds = root / "builds"
        #: Build caches, private to a function.
        self.caches = root / "builds" / ".cache"
        self.logs = root / "logs"
        #: What lives only while a server runs: sockets, temporary directories, records of processes, uploads.
        self.run = root / "run"
        self.admin_key = root / "admin.key"
        self.jwt_secret = root / "jwt.secret"

    def prepare(self) -> None:
        """Create the directories, mode 0700. Raises OSError when the place cannot be written."""
        for path in (self.root, self.deployments, self.builds, self.caches, self.logs, self.run):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def source(self, deployment_id: str) -> Path:
        """The uploaded archive of a deployment."""
        return self.deployments / f"{deployment_id}.tar.gz"

    def upload(self, deployment_id: str) -> Path:
        """Where the chunks of an unfinished upload are put together; survives restarts."""
        return self.deployments / f"{deployment_id}.part"

    def build(self, deployment_id: str) -> Path:
        """The directory a function's code runs from."""
        return self.builds / deployment_id

    def output(self, deployment_id: str) -> Path:
        """The packed build, made when it is first downloaded."""
        return self.deployments / f"{deployment_id}-output.tar.gz"

    def cache(self, function_id: str) -> Path:
        """A function's build cache (pip, npm)."""
        return self.caches / function_id

    def keep_secret(self, path: Path, given: str) -> tuple[str, bool]:
        """Return the secret for `path` and whether it was made just now.

        `given` (from the environment) wins and is not written; otherwise the file is read, or made with mode 0600.
        """
        if given:
            return given, False
        try:
            return path.read_text().strip(), False
        except FileNotFoundError:
            secret = secrets.token_hex(32)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secret + "\n")
            return secret, True
