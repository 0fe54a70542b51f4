"""Installations: named bases of repositories, on this machine's disk or at an HTTP host.

Credentials in a base (`https://user:token@host`) are removed from it at once. git gets them as a
header from a file, so no command line, message or URL shows them.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from minifn.git_names import is_repository

#: Name of the installation of templates. It is not an id, so no function can be connected to it.
TEMPLATES = ".templates"
#: Path in a sandbox of a repository on this machine's disk.
REPOSITORY = "/repository"
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")


class RepositoryMissing(Exception):
    """An installation or a repository does not exist; the message names it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """A repository to read from: a directory, or a URL without credentials."""

    path: Path | None = None
    url: str = ""
    #: Value of the header Authorization, "" for none.
    authorization: str = field(default="", repr=False)
    #: URL of its web page, "" for none.
    page: str = ""
    name: str = ""
    owner: str = ""
    #: Whether it is a repository of this server, to which a function is pushed.
    own: bool = False

    @property
    def protocol(self) -> str:
        """The only protocol that git may use for it."""
        return "file" if self.path is not None else urlsplit(self.url).scheme


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """A base, relative to which repositories are named."""

    name: str
    #: A directory, or None when `url` is set.
    directory: Path | None = None
    #: The base, without credentials and without a slash at the end.
    url: str = ""
    authorization: str = field(default="", repr=False)

    @classmethod
    def parse(cls, pair: str) -> "Installation":
        """Return the installation that `NAME=BASE` describes.

        Raises ValueError for a base that git does not take.
        """
        name, _, base = pair.partition("=")
        if base.startswith("/"):
            return cls(name=name, directory=Path(base))
        if re.search(r"[\s\x00-\x1f\x7f\"\\]", base):
            raise ValueError(f"{name}: the base has characters that a URL cannot have")
        parts = urlsplit(base)
        if (
            parts.scheme == "file"
            and parts.netloc in ("", "localhost")
            and parts.path.startswith("/")
        ):
            return cls(name=name, directory=Path(unquote(parts.path)))
        if (
            parts.scheme not in ("https", "http")
            or not parts.hostname
            or parts.query
            or parts.fragment
        ):
            raise ValueError(
                f"{name}: the base must be an absolute path, or begin with file://, https:// or"
                " http://"
            )
        credentials, _, host = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        encoded = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
        url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        return cls(name=name, url=url, authorization=f"Basic {encoded}" if credentials else "")

    def remote(self, repository: str) -> Remote:
        """Return a repository; only on this machine is it checked whether it exists.

        Raises RepositoryMissing.
        """
        if not is_repository(repository):
            raise RepositoryMissing(f"{repository!r} is not a repository's name")
        segments = [*self.url.split("/")[3:], *repository.removesuffix(".git").split("/")]
        owner = segments[-2] if len(segments) > 1 else ""
        if self.directory is None:
            url = f"{self.url}/{repository}"
            page = url.removesuffix(".git") if url.startswith("https:") else ""
            return Remote(
                url=url, authorization=self.authorization, page=page, name=segments[-1], owner=owner
            )
        root = self.directory.resolve()
        for candidate in (root / repository, root / f"{repository}.git"):
            path = candidate.resolve()
            if path.is_relative_to(root) and path.is_dir():
                return Remote(path=path, name=segments[-1], owner=owner)
        raise RepositoryMissing(f"the installation {self.name!r} has no repository {repository!r}")


class Installations:
    """The installations of a server.

    `templates` is the base of template repositories, "" for none.
    """

    def __init__(self, pairs: Iterable[str], templates: str = "") -> None:
        self.all = tuple(Installation.parse(pair) for pair in pairs)
        known = (
            (*self.all, Installation.parse(f"{TEMPLATES}={templates}")) if templates else self.all
        )
        self._by_name = {installation.name: installation for installation in known}

    def find(self, name: str) -> Installation:
        """Return an installation. Raises RepositoryMissing when the settings do not name it."""
        if name not in self._by_name:
            setting = "MINIFN_TEMPLATES" if name == TEMPLATES else "MINIFN_GIT_INSTALLATIONS"
            raise RepositoryMissing(f"the installation {name!r} is not in {setting} any more")
        return self._by_name[name]


def without_credentials(text: str) -> str:
    """Return `text` with user names and passwords removed from every URL."""
    return _CREDENTIALS.sub("", text)
