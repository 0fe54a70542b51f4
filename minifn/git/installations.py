"""Installations: named places that repositories are found below, on this machine's disk or by HTTP.

Credentials in a base (`https://user:token@host`) are taken out of it at once: git gets them as a header from a file,
so that no command line, message or URL can show them.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from minifn.git_names import is_repository

#: The installation that templates come from. No function can be connected to it: this is no id.
TEMPLATES = ".templates"
#: Where a sandbox shows a repository of this machine's disk.
REPOSITORY = "/repository"
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")


class RepositoryMissing(Exception):
    """An installation has no such repository; the message says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """A repository to read from: a directory, or a URL without credentials."""

    path: Path | None = None
    url: str = ""
    #: The value of a header Authorization, "" for none.
    authorization: str = field(default="", repr=False)
    #: What people open in a browser, "" when there is no such page.
    page: str = ""
    name: str = ""
    owner: str = ""
    #: Whether it is one of this server, that functions are pushed to.
    own: bool = False

    @property
    def protocol(self) -> str:
        """The only one that git may use for it."""
        return "file" if self.path is not None else urlsplit(self.url).scheme


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """A base that repositories are named relative to."""

    name: str
    #: A directory, or None when `url` is set.
    directory: Path | None = None
    #: Without credentials and without a slash at its end.
    url: str = ""
    authorization: str = field(default="", repr=False)

    @classmethod
    def parse(cls, pair: str) -> "Installation":
        """Return the installation that `NAME=BASE` describes. Raises ValueError for a base that git cannot be given."""
        name, _, base = pair.partition("=")
        if base.startswith("/"):
            return cls(name=name, directory=Path(base))
        if re.search(r"[\s\x00-\x1f\x7f\"\\]", base):
            raise ValueError(f"{name}: the base has characters that no URL has")
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
                f"{name}: the base must be an absolute path, or begin with file://, https:// or http://"
            )
        credentials, _, host = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        encoded = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
        url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        return cls(name=name, url=url, authorization=f"Basic {encoded}" if credentials else "")

    def remote(self, repository: str) -> Remote:
        """Return a repository, which need not exist when it is not on this machine. Raises RepositoryMissing."""
        if not is_repository(repository):
            raise RepositoryMissing(f"{repository!r} is no name of a repository")
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
    """The installations of a server, by name. `templates` is the base of template repositories, "" for none."""

    def __init__(self, pairs: Iterable[str], templates: str = "") -> None:
        self.all = tuple(Installation.parse(pair) for pair in pairs)
        known = (
            (*self.all, Installation.parse(f"{TEMPLATES}={templates}")) if templates else self.all
        )
        self._by_name = {installation.name: installation for installation in known}

    def find(self, name: str) -> Installation:
        """Return one. Raises RepositoryMissing when the server's settings name it no more."""
        if name not in self._by_name:
            setting = "MINIFN_TEMPLATES" if name == TEMPLATES else "MINIFN_GIT_INSTALLATIONS"
            raise RepositoryMissing(f"the installation {name!r} is not in {setting} any more")
        return self._by_name[name]


def without_credentials(text: str) -> str:
    """Return `text` with user names and passwords taken out of every URL."""
    return _CREDENTIALS.sub("", text)
