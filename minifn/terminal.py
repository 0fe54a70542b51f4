"""Foreign text made safe for a terminal: build logs, messages of other programs, names that strangers chose."""

import re

#: Escape sequences of ECMA-48: CSI, then OSC, DCS, SOS, PM and APC with their text, then the short
#: ones. A text that never ends takes no more than its line.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*+(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*+[0-~]"
)
_LINE_END = re.compile(r"\r\n?")
#: Control characters but tab and line feed, and the marks that change the direction of text.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def printable(text: str) -> str:
    """Return `text` without escape sequences and control characters; lines and tabs stay.

    A carriage return becomes the end of a line, so that no text can overwrite another.
    """
    text = _LINE_END.sub("\n", _SEQUENCE.sub("", text))
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub("", text))
