"""The textual queries of clients before 1.5: `equal("name", ["a", 'b'])`, `limit(5)`.

The grammar is that of utopia-php/database 0.3x (`Query::parse`): a method name, parameters in
parentheses, single or double quotes, backslash escapes, bare words and numbers.
"""

import re
from typing import Any

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z]+")
_BARE = re.compile(r"[^\s,\[\]()\"']+")
_NUMBER = re.compile(r"-?\d+")
_DECIMAL = re.compile(r"-?\d+\.\d+")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
#: Methods whose parameters are all values; other methods take an attribute first.
_WITHOUT_ATTRIBUTE = frozenset({"limit", "offset", "cursorAfter", "cursorBefore", "select"})


class TextualSyntaxError(ValueError):
    """The text is not a textual query."""


def parse_textual(text: str) -> dict[str, Any]:
    """Return a textual query in the form of a JSON one: method, attribute, values.

    Raises TextualSyntaxError.
    """
    scanner = _Scanner(text)
    method = scanner.take(_NAME)
    try:
        parameters = scanner.list_until("(", ")")
    except RecursionError as exc:
        raise TextualSyntaxError("lists are nested too deep") from exc
    scanner.skip()
    if scanner.position != len(text):
        raise TextualSyntaxError(f"unexpected {text[scanner.position :]!r}")
    if method in _WITHOUT_ATTRIBUTE:
        values = (
            parameters[0]
            if len(parameters) == 1 and isinstance(parameters[0], list)
            else parameters
        )
        return {"method": method, "values": values}
    attribute, rest = (parameters[0], parameters[1:]) if parameters else ("", [])
    values = rest[0] if len(rest) == 1 and isinstance(rest[0], list) else rest
    return {"method": method, "attribute": attribute, "values": values}


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.position)
        self.position = match.end() if match else self.position

    def peek(self) -> str:
        self.skip()
        return self.text[self.position : self.position + 1]

    def take(self, pattern: re.Pattern[str]) -> str:
        self.skip()
        match = pattern.match(self.text, self.position)
        if match is None:
            raise TextualSyntaxError(f"unexpected {self.text[self.position :][:20]!r}")
        self.position = match.end()
        return match[0]

    def list_until(self, opening: str, closing: str) -> list[Any]:
        if self.peek() != opening:
            raise TextualSyntaxError(f"expected {opening!r}")
        self.position += 1
        items: list[Any] = []
        while self.peek() != closing:
            if items:
                if self.peek() != ",":
                    raise TextualSyntaxError(f"expected ',' or {closing!r}")
                self.position += 1
            items.append(self.value())
        self.position += 1
        return items

    def value(self) -> Any:
        start = self.peek()
        if start == "[":
            return self.list_until("[", "]")
        if start in ("'", '"') and start:
            return self.quoted(start)
        word = self.take(_BARE)
        if word in _WORDS:
            return _WORDS[word]
        if _NUMBER.fullmatch(word):
            return int(word)
        return float(word) if _DECIMAL.fullmatch(word) else word

    def quoted(self, quote: str) -> str:
        characters: list[str] = []
        index = self.position + 1
        while index < len(self.text):
            character = self.text[index]
            if character == "\\" and index + 1 < len(self.text):
                index += 1
                character = self.text[index]
            elif character == quote:
                self.position = index + 1
                return "".join(characters)
            characters.append(character)
            index += 1
        raise TextualSyntaxError(f"no closing {quote}")
