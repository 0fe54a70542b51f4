"""What may be named in git: branches, tags, commits, repositories and folders; and globs over branches and paths.

Whatever is accepted here is safe as an argument of the git command: it begins neither with `-` nor leaves its place.
"""

import functools
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

#: The rules of `git check-ref-format`, as far as they are about one name.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SEGMENT = re.compile(r"[A-Za-z0-9_~][A-Za-z0-9._~-]*")


def is_reference(name: str) -> bool:
    """Tell whether `name` can be a branch or a tag."""
    if not 0 < len(name) <= 255 or name.startswith("-") or name == "@" or _FORBIDDEN.search(name):
        return False
    return all(part and not part.startswith(".") and not part.endswith((".", ".lock")) for part in name.split("/"))


def is_commit(name: str) -> bool:
    """Tell whether `name` is the whole hash of a commit, in lower case."""
    return _COMMIT.fullmatch(name) is not None


def is_repository(name: str) -> bool:
    """Tell whether `name` can be a repository below an installation: segments between slashes, `owner/name`."""
    return len(name) <= 255 and all(_SEGMENT.fullmatch(part) for part in name.split("/"))


def folder(path: str) -> str | None:
    """Return a folder of a repository without leading `./` and slashes, "" for all of it; None when it leaves it."""
    if re.search(r"[\x00-\x1f\x7f\\]", path):
        return None
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or ".git" in (part.lower() for part in parts):
        return None
    return str(PurePosixPath(*parts)) if parts else ""


def matches(name: str, globs: Iterable[str]) -> bool:
    """Tell whether one of the globs is for `name`: `*` and `?` stay between slashes, `**` does not."""
    return any(_pattern(glob).fullmatch(name) for glob in globs)


def touches(paths: Iterable[str], globs: Iterable[str]) -> bool:
    """Tell whether one of the paths, or a folder it is in, matches one of the globs."""
    wanted = [glob.removeprefix("./").strip("/") for glob in globs]
    return any(
        matches(str(place), wanted) for path in paths for place in (PurePosixPath(path), *PurePosixPath(path).parents)
    )


@functools.lru_cache(maxsize=256)
def _pattern(glob: str) -> "re.Pattern[str]":
    # `**/` may stand for no folder at all.
    tokens = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(tokens.get(part) or re.escape(part) for part in parts), re.DOTALL)
