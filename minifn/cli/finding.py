"""The server that a command talks to: named, remembered for a directory, or found beside it."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from minifn.config import has_host
from minifn.host.datadir import DataDir

#: The file of `minifn link`, in a directory or one above it.
LINK = Path(".minifn/link.json")
#: Data directories of `minifn serve` and `minifn dev` that are looked for.
DATA = (Path("minifn-data"), Path(".minifn/data"))
#: The project of a server that names none.
PROJECT = "minifn"


class NoServer(Exception):
    """A server cannot be found; the message is one line with the remedy."""


class BadAddress(NoServer):
    """The address of a server is not valid; the message is one line that names its source."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A server: its address without `/v1`, its project and a key, "" without one."""

    url: str
    project: str
    key: str
    #: The option, variable or file that named it.
    source: str
    #: The data directory, None for a server that was named.
    data: DataDir | None = None


def find_server(start: Path, environ: Mapping[str, str], *, url: str = "", key: str = "") -> Found:
    """Return the server for commands in the directory `start`.

    The options `url` and `key` win, then MINIFN_SERVER and MINIFN_API_KEY, then the file of
    `minifn link`, then a data directory: in `start`, or else in the nearest directory above it.
    Files of other users do not count. Raises NoServer.
    """
    project = environ.get("MINIFN_PROJECT", "")
    outside = environ.get("MINIFN_API_KEY", "")
    named = url or environ.get("MINIFN_SERVER", "")
    if named:
        source = "--server" if url else "MINIFN_SERVER"
        return Found(
            url=address(named, source),
            project=project or PROJECT,
            key=key or outside,
            source=source,
        )
    for found in _remembered(start, environ):
        return Found(
            url=found.url,
            project=project or found.project,
            key=key or found.key or outside,
            source=found.source,
            data=found.data,
        )
    raise NoServer(
        "no server found: start one with `minifn serve` in this directory, or name it with"
        " `minifn link URL`, --server or MINIFN_SERVER"
    )


def address(url: str, source: str) -> str:
    """Return a server's address without a final slash and `/v1`. Raises BadAddress for another."""
    if "@" in url:
        # It is not shown.
        raise BadAddress(f"{source} holds a password: give the key with --key or MINIFN_API_KEY")
    shortened = url.strip().rstrip("/").removesuffix("/v1")
    parts = urlsplit(shortened) if has_host(shortened) else None
    if not parts or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise BadAddress(f"{source} must be an address such as http://127.0.0.1:8000, not {url!r}")
    return shortened


def write_link(folder: Path, found: Found) -> Path:
    """Remember a server for a directory, in a file that only its owner reads. Raises OSError."""
    path = folder / LINK
    path.parent.mkdir(exist_ok=True)
    ignored = path.parent / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n")
    content = {"server": found.url, "project": found.project, "key": found.key}
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
    return path


def _remembered(start: Path, environ: Mapping[str, str]) -> Iterator[Found]:
    start = start.absolute()
    data = environ.get("MINIFN_DATA", "")
    if data and (found := _serving(start / data)):
        yield found
    for folder in (start, *start.parents):
        if found := _linked(folder / LINK):
            yield found
        for place in DATA:
            if found := _serving(folder / place):
                yield found


def _linked(path: Path) -> Found | None:
    """Return the server in a file of `minifn link`, None without one. Raises NoServer."""
    if not _own(path):
        return None
    try:
        content = json.loads(path.read_text())
        texts = {name: str(content.get(name, "")) for name in ("server", "project", "key")}
    except (OSError, ValueError, AttributeError) as error:
        raise NoServer(f"{path} cannot be read: {error}; `minifn link URL` writes it") from error
    return Found(
        url=address(texts["server"], str(path)),
        project=texts["project"] or PROJECT,
        key=texts["key"],
        source=str(path),
    )


def _serving(place: Path) -> Found | None:
    """Return the server that serves a data directory, None when none does.

    A server that was killed leaves its address, and another program may have the port now: it must
    not be sent the key.
    """
    data = DataDir(place)
    if not _own(data.address):
        return None
    # Imported here: few commands find a server by its directory.
    from minifn.sandbox.lock import is_held

    if not is_held(data.run):
        return None
    url, _, project = data.address.read_text().strip().partition("\n")
    key = data.admin_key.read_text().strip() if _own(data.admin_key) else ""
    return Found(url=url, project=project or PROJECT, key=key, source=str(place), data=data)


def _own(path: Path) -> bool:
    """Tell whether a file exists that root or this user made."""
    try:
        return path.stat().st_uid in (0, os.geteuid())
    except OSError:
        return False


def shown(found: Found) -> dict[str, Any]:
    """Return a server for output, without its key."""
    return {"server": found.url, "project": found.project, "source": found.source}
