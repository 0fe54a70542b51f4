"""The words of the `search` parameter."""

import pytest
from hypothesis import given, strategies as st

from minifn.store.search import matches_words


@pytest.mark.parametrize(
    ("text", "search", "found"),
    [
        ("abc Hello World python-3.11", "hello", True),
        ("abc Hello World python-3.11", "wor", True),
        ("abc Hello World python-3.11", "wor x", False),
        ("abc Hello World python-3.11", "x wor", True),
        ("abc Hello World python-3.11", "ello", False),
        ("id index.php", "php-8.0", True),
        ("one two three", '"two three"', True),
        ("one two three", '"one three"', False),
        ("one two three", '"two thr"', False),
        ("one", "***", False),
        ("one", "", False),
    ],
)
def test_search(text: str, search: str, found: bool) -> None:
    assert matches_words(text, search) is found


@given(st.text(), st.text())
def test_anything_can_be_searched_for(text: str, search: str) -> None:
    assert matches_words(text, search) in (True, False)
