"""Names in git: branches, tags, commits, repositories and folders; globs over branches and paths.

An accepted name is safe as an argument of the git command: it does not begin with `-`, and it does
not lead outside the repository.
"""

import functools
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

#: The rules of `git check-ref-format` that concern a single name.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SEGMENT = re.compile(r"[A-Za-z0-9_~][A-Za-z0-9._~-]*")


def is_reference(name: str) -> bool:
    """Tell whether `name` can be a branch or a tag."""
    if not 0 < len(name) <= 255 or name.startswith("-") or name == "@" or _FORBIDDEN.search(name):
        return False
    return all(
        part and not part.startswith(".") and not part.endswith((".", ".lock"))
        for part in name.split("/")
    )


def is_commit(name: str) -> bool:
    """Tell whether `name` is the whole hash of a commit, in lower case."""
    return _COMMIT.fullmatch(name) is not None


def is_repository(name: str) -> bool:
    """Tell whether `name` can be a repository below an installation, such as `owner/name`."""
    return len(name) <= 255 and all(_SEGMENT.fullmatch(part) for part in name.split("/"))


def folder(path: str) -> str | None:
    """Return a folder of a repository without leading `./` and slashes, "" for all of it.

    None for a path that leads outside.
    """
    if re.search(r"[\x00-\x1f\x7f\\]", path):
        return None
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or ".git" in (part.lower() for part in parts):
        return None
    return str(PurePosixPath(*parts)) if parts else ""


def matches(name: str, globs: Iterable[str]) -> bool:
    """Tell whether a glob matches `name`: `*` and `?` stay between slashes, `**` does not."""
    return any(_glob(glob).fits(name) for glob in globs)


def touches(paths: Iterable[str], globs: Iterable[str]) -> bool:
    """Tell whether one of the paths, or a folder it is in, matches one of the globs."""
    names = [glob.removeprefix("./").strip("/") for glob in globs]
    wanted = [_glob("**" if name in ("", ".") else name) for name in names]
    return any(glob.fits(path, folders=True) for path in paths for glob in wanted)


class Glob:
    """A glob, matched in a time proportional to its length times the name's.

    Names and globs are untrusted, and a regular expression could backtrack without end. So all
    matches are tried at once: bit i of a state is set when the name so far fits the first i tokens.
    """

    def __init__(self, glob: str) -> None:
        tokens: list[str] = []
        for token in re.findall(r"\*\*/|\*\*|\*|.", glob, re.DOTALL):
            if token == "**/":
                # Three tokens that match any folders, or none. A repeated `**/` means the same.
                if tokens[-3:] != ["**/", "**", "/"]:
                    tokens += ["**/", "**", "/"]
            elif token in ("*", "**") and tokens and tokens[-1] in ("*", "**"):
                tokens[-1] = max(token, tokens[-1])
            else:
                tokens.append(token)
        self._accepted = 1 << len(tokens)
        self._folders = _bits(tokens, "**/")
        self._anything = _bits(tokens, "**")
        self._within = _bits(tokens, "*")
        self._one = _bits(tokens, "?")
        self._literal = {
            token: _bits(tokens, token) for token in set(tokens) - {"**/", "**", "*", "?"}
        }

    def fits(self, name: str, *, folders: bool = False) -> bool:
        """Tell whether the glob matches all of `name`, or with `folders` a folder above it."""
        state = self._passed(1)
        for char in name:
            if folders and char == "/" and state & self._accepted:
                return True
            further = ((state & self._literal.get(char, 0)) << 1) | (state & self._anything)
            if char != "/":
                further |= ((state & self._one) << 1) | (state & self._within)
            state = self._passed(further)
            if not state:
                return False
        return bool(state & self._accepted)

    def _passed(self, state: int) -> int:
        """Return the state after the tokens that may match nothing."""
        while True:
            folders = state & self._folders
            further = (
                state
                | ((state & (self._anything | self._within)) << 1)
                | (folders << 1)
                | (folders << 3)
            )
            if further == state:
                return state
            state = further


def _bits(tokens: list[str], token: str) -> int:
    return sum(1 << place for place, found in enumerate(tokens) if found == token)


_glob = functools.lru_cache(maxsize=256)(Glob)
