"""Text for logs and terminals."""

import json
import logging
import sys
import time
import unicodedata

import pytest
from hypothesis import given, strategies as st

from minifn.log_text import json_line, printable
from minifn.server import PrintableFormatter

#: Texts made of the pieces that escape sequences are made of.
HOSTILE = st.lists(
    st.sampled_from([*"\x1b\x9b\x9d\x9c\x07\r\n\t\\[]PX^_;?0m ab", "\u202e", "\ud800"])
).map("".join)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext, Grüße, \N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET}\n", None),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred\x9b0m", "red"),
        ("\x1b]0;title\x07rest", "rest"),
        ("\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;never ends\nnext line", "\nnext line"),
        ("\x1bPq#0\x1b\\after\x1bc", "after"),
        ("\x1b(B\x1b7kept", "kept"),
        ("10 %\r100 %\r\n", "10 %\n100 %\n"),
        ("a\bb\x00c\x7fd\x85e", "abcde"),
        ("\u202edesrever\u202c", "desrever"),
        ("half \ud800", "half \N{REPLACEMENT CHARACTER}"),
        ("\x1b", ""),
        ("\x1b\x1b[31m", ""),
    ],
)
def test_only_text_is_left(text: str, shown: str | None) -> None:
    assert printable(text) == (text if shown is None else shown)


@given(st.one_of(st.text(), HOSTILE))
def test_nothing_a_terminal_obeys_is_left(text: str) -> None:
    shown = printable(text)
    assert {char for char in shown if unicodedata.category(char) in ("Cc", "Cs")} <= {"\n", "\t"}
    assert printable(shown) == shown


@given(st.one_of(st.text(), HOSTILE))
def test_a_line_of_json_means_the_same_and_moves_no_cursor(text: str) -> None:
    line = json_line({text: [text]})
    assert json.loads(line) == {text: [text]}
    assert {char for char in line if unicodedata.category(char) in ("Cc", "Cs")} == set()
    assert "\u202e" not in line
    line.encode()


@pytest.mark.parametrize(
    "piece",
    ["\x1b", "\x1b[", "\x1b[0", "\x1b]", "\x1b]0", "\x1b(", "\r", "\x9b0 ", "0", "\x1b]\x1b"],
)
def test_the_time_grows_with_the_length(piece: str) -> None:
    def seconds(text: str) -> float:
        began = time.thread_time()
        printable(text)
        return time.thread_time() - began

    for text in (piece * 400_000, "\x1b[" + piece * 400_000, "\x1b]" + piece * 400_000):
        assert seconds(text) < 2


def test_the_server_writes_no_control_characters_to_its_log() -> None:
    try:
        raise ValueError("of a \x1b[31mstranger\x07")
    except ValueError:
        error = sys.exc_info()
    record = logging.LogRecord(
        "minifn", logging.ERROR, __file__, 1, "said \x1b]0;title\x07%s", ("\x9b2J",), error
    )
    lines = PrintableFormatter("%(levelname)s %(message)s").format(record)
    assert lines.startswith("ERROR said \nTraceback")
    assert lines.endswith("ValueError: of a stranger")
