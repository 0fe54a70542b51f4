"""Untrusted JSON: a value or one kind of exception, never RecursionError."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from minifn import jsontext
from minifn.api.operations.events import JsonObject
from minifn.api.wire.params import Limits

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
)


@given(VALUES)
def test_json_is_decoded(value: Any) -> None:
    assert jsontext.decode(json.dumps(value)) == value
    assert jsontext.decode(json.dumps(value).encode()) == value


@given(st.binary(max_size=50) | st.text(max_size=50))
def test_anything_is_a_value_or_invalid(text: bytes | str) -> None:
    try:
        msgspec.json.encode(jsontext.decode(text))
    except jsontext.JsonInvalid:
        return


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_values_that_nest_too_deep(text: str) -> None:
    with pytest.raises(jsontext.JsonTooDeep):
        jsontext.decode(text)
    with pytest.raises(jsontext.JsonInvalid):
        jsontext.decode_as(dict[str, Any], text.encode())


@given(st.dictionaries(st.text('"\\\\a,', max_size=8), st.text('"\\\\a,', max_size=8), max_size=5))
def test_the_quotes_that_are_left_delimit_strings(value: dict[str, str]) -> None:
    text = json.dumps(value).encode()
    assert jsontext.without_escaped_quotes(text).count(b'"') == 4 * len(value)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def refused(depth: int) -> bool:
    try:
        assert JsonObject().check(nested(depth), Limits())
    except ValueError:
        return True
    return False


def test_a_payload_that_could_just_be_decoded_is_encoded_or_refused() -> None:
    """It is decoded and encoded at different depths of the stack.

    The depth that fits depends on the version of Python and, since 3.14, on the size of the stack.
    """
    refusals = (depth for depth in (2**power for power in range(8, 21)) if refused(depth))
    least, most = 0, next(refusals)
    while most - least > 1:
        depth = (least + most) // 2
        least, most = (least, depth) if refused(depth) else (depth, most)
    assert most > 100
