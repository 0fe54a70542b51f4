"""The headers of an answer, completed by Open Runtimes' rules."""

import json

import pytest
from hypothesis import given, strategies as st

from minifn.workers.records import response_headers

#: Characters that HTTP forbids in headers; a server cannot send them.
CONTROL = set(map(chr, [*range(9), *range(10, 32), 127]))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize(
    ("given_type", "complete"),
    [
        ("text/html", "text/html; charset=utf-8"),
        ("IMAGE/PNG", "image/png; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
        ("text/html; Charset=UTF-8", "text/html; Charset=UTF-8"),
        ("Multipart/Form-Data; boundary=AbC", "Multipart/Form-Data; boundary=AbC"),
    ],
)
def test_content_type(given_type: str, complete: str) -> None:
    assert response_headers(json.dumps([["Content-Type", given_type]]).encode()) == (
        ("content-type", complete),
    )


def test_headers_are_cleaned() -> None:
    raw = json.dumps(
        [
            ["Set-Cookie", "a"],
            ["X-Open-Runtimes-Log-Id", "1"],
            ["bad name", "1"],
            ["x-bad", "1\nx: 2"],
            ["x-bell", "1\x07"],
            ["x-delete", "1\x7f"],
            ["x-tab", "1\t2"],
            ["content-type", "e/f\x01"],
            ["set-cookie", "b"],
            ["content-type", "a/b"],
            ["Content-Type", "c/d"],
        ]
    )
    assert response_headers(raw.encode()) == (
        ("content-type", "c/d; charset=utf-8"),
        ("set-cookie", "a"),
        ("x-tab", "1\t2"),
        ("set-cookie", "b"),
    )


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_no_header_can_end_the_headers(pairs: list[tuple[str, str]]) -> None:
    complete = response_headers(json.dumps(pairs).encode())
    assert complete[0][0] == "content-type"
    for name, value in complete:
        assert name == name.lower()
        assert not CONTROL & set(name + value)
        assert ":" not in name
