"""The patterns of `.gitignore` files, one entry of a folder at a time, as in gitignore(5).

Libraries match whole paths: to them `!/src/` takes all below `src/` again, which git does not.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

#: A piece of a pattern: `**` between slashes, a wildcard, a set of characters, any character.
_PIECE = re.compile(
    r"(?P<deep>(?:(?<=/)|^)\*\*/)|(?P<below>(?:(?<=/)|^)\*\*$)|(?P<many>\*+)|(?P<one>\?)"
    r"|\[(?P<negated>[!^]?)(?P<chars>\]?(?:\\.|\[:\w+:\]|[^\]\\])*)\]|\\(?P<escaped>.)|(?P<plain>.)",
    re.DOTALL,
)
#: POSIX classes in sets of characters.
_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "digit": "0-9", "lower": "a-z", "upper": "A-Z",
    "space": r"\s", "xdigit": "0-9A-Fa-f", "punct": r"!-/:-@\[-`{-~",
}  # fmt: skip


class Pattern(NamedTuple):
    """One line of an ignore file."""

    regex: re.Pattern[str]
    #: Whether the entry is left out, or taken again.
    leaves_out: bool
    directories_only: bool


class IgnorePatterns:
    """The lines of one or more ignore files in the same folder."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._patterns = [*_parsed(lines)][::-1]

    def decide(self, name: str, directory: bool) -> bool | None:
        """Tell whether an entry is left out (True) or taken again (False); None for no match.

        `name` is its path from the folder of the patterns, with slashes. The last match decides.
        """
        for pattern in self._patterns:
            fits = directory or not pattern.directories_only
            if fits and pattern.regex.fullmatch(name):
                return pattern.leaves_out
        return None


def _parsed(lines: Iterable[str]) -> Iterator[Pattern]:
    """Yield the patterns in `lines`; one that git cannot read matches nothing, as in git."""
    for line in lines:
        text = re.sub(r"(?<!\\) +$", "", line)
        if text.startswith("#"):
            continue
        leaves_out = not text.startswith("!")
        text = text[not leaves_out :]
        directories_only = text.endswith("/")
        text = text.removesuffix("/")
        if not text or re.search(r"(?<!\\)(?:\\\\)*\\$", text):
            continue
        anchored = "/" in text
        try:
            regex = re.compile(_regex(text.removeprefix("/"), anchored), re.DOTALL)
        except re.error:
            continue
        yield Pattern(regex, leaves_out, directories_only)


def _regex(text: str, anchored: bool) -> str:
    parts = [] if anchored else ["(?:.*/)?"]
    for piece in _PIECE.finditer(text):
        kind = piece.lastgroup
        if kind == "deep":
            parts.append("(?:.*/)?")
        elif kind == "below":
            parts.append(".+")
        elif kind == "many":
            parts.append("[^/]*")
        elif kind == "one":
            parts.append("[^/]")
        elif kind == "chars":
            parts.append(_set(piece["chars"], bool(piece["negated"])))
        else:
            parts.append(re.escape(piece["escaped"] or piece["plain"]))
    return "".join(parts)


def _set(chars: str, negated: bool) -> str:
    """Return the regular expression of a set; a slash is never in it."""
    inner = re.sub(r"\[:(\w+):\]", lambda found: _CLASSES[found[1]], chars)
    inner = re.sub(r"^\]", r"\]", inner).replace("^", r"\^").replace("&&", r"&\&")
    return f"(?!/)[{'^' if negated else ''}{inner}]"
