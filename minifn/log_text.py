"""Text for logs: cut to a length, and safe to show on a terminal."""

import json
import re

from minifn.limits import LOG_LIMIT_CHARS

#: Escape sequences of ECMA-48: CSI, then OSC, DCS, SOS, PM and APC with their text, then the short
#: ones. A text without an end is removed up to the end of its line.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*+(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*+[0-~]"
)
_LINE_END = re.compile(r"\r\n?")
#: Control characters except tab and line feed, and marks that change the direction of text.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def keep_tail(text: str, name: str) -> str:
    """Return the last LOG_LIMIT_CHARS of `text`, with a warning line above if it was cut.

    `name` is `Logs` or `Errors`. The rule is Appwrite 1.8's.
    """
    if len(text) <= LOG_LIMIT_CHARS:
        return text
    warning = f"[WARNING] {name} truncated. The output exceeded {LOG_LIMIT_CHARS:,} characters.\n"
    return warning + text[len(text) - LOG_LIMIT_CHARS + len(warning) :]


def one_line(text: str, chars_max: int = 300) -> str:
    """Return the first line of an untrusted `text` for the server's log: cut, and escaped."""
    line = text.partition("\n")[0]
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line[:chars_max])
    return shown if len(line) <= chars_max else f"{shown}..."


def headline(text: str) -> str:
    """Return the line of an untrusted error that names it, for the server's log.

    This is the first line; under a traceback of Python, the line below the stack.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith("Traceback (most recent call last)"):
        lines = [line for line in lines[1:] if not line[0].isspace()]
    return one_line(lines[0]) if lines else ""


def printable(text: str) -> str:
    """Return `text` without escape sequences and control characters; lines and tabs stay.

    A carriage return becomes a line feed, so that no text can overwrite another.
    """
    text = _LINE_END.sub("\n", _SEQUENCE.sub("", text))
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub("", text))


def json_line(value: object) -> str:
    """Return a value as one line of JSON that means the same and that no terminal obeys."""
    text = json.dumps(value, ensure_ascii=False)
    return _SURROGATE.sub(_escaped, _CONTROL.sub(_escaped, text))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
