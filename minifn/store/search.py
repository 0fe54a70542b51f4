"""The `search` parameter of lists: words, as in MySQL's boolean full-text mode."""

import re
from functools import lru_cache

#: Characters that Appwrite replaces by spaces (utopia-php/database, `Adapter/MariaDB.php`).
_SYNTAX = re.compile(r"[@+\-*.)(<>~\"]")
_WORD = re.compile(r"\w+")


@lru_cache(maxsize=256)
def _needle(search: str) -> re.Pattern[str]:
    text = search.strip().lower()
    if len(text) > 1 and text[0] == text[-1] == '"':
        phrase = _WORD.findall(text)
        return re.compile(
            r"\b" + r"\W+".join(map(re.escape, phrase)) + r"\b" if phrase else r"(?!)"
        )
    alternatives = words(search)
    if not alternatives:
        return re.compile(r"(?!)")
    whole = [rf"\b{re.escape(word)}\b" for word in alternatives[:-1]]
    return re.compile("|".join([*whole, rf"\b{re.escape(alternatives[-1])}"]))


def words(search: str) -> list[str]:
    """Return the words of a search, in lower case."""
    return _WORD.findall(_SYNTAX.sub(" ", search.lower()))


def matches_words(text: str, search: str) -> bool:
    """Tell whether `text` has any word of `search`; the last one may be a prefix.

    A search in double quotes is a phrase.
    """
    return _needle(search).search(text.lower()) is not None
