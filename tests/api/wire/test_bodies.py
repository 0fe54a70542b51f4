"""Params in query strings and bodies: JSON, urlencoded and multipart."""

import contextlib
import json
import time
import tracemalloc
from urllib.parse import unquote_plus

import pytest
from hypothesis import given, strategies as st

from minifn.api.wire import bodies
from minifn.errors import ArgumentInvalid
from minifn.limits import URLENCODED_BYTES_MAX

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=XX"


def test_json() -> None:
    assert bodies.decode(b'{"a": [1]}', "application/json; charset=utf-8") == {"a": [1]}
    assert bodies.decode(b'{"a": 1}', "") == {"a": 1}
    assert bodies.decode(b"", "application/json") == {}
    assert bodies.decode(b"[]", "application/json") == {}
    assert bodies.decode(b"\x00\x01", "application/octet-stream") == {}


@pytest.mark.parametrize(
    "body", [b"{", b'{"a": NaN}', b"[1]", b'"x"', b"\xff", b"[" * 100_000, b'{"a": "\\ud800"}']
)
def test_invalid_json(body: bytes) -> None:
    with pytest.raises(ArgumentInvalid):
        bodies.decode(body, "application/json")


def test_urlencoded() -> None:
    kind = "application/x-www-form-urlencoded"
    assert bodies.decode(b"a=1&q[0]=x+y&q%5B1%5D=z&empty=", kind) == {
        "a": "1",
        "q": ["x y", "z"],
        "empty": "",
    }
    for wrong in (b"a=%ff", b"&".join([b"a=1"] * 1001)):
        with pytest.raises(ArgumentInvalid):
            bodies.decode(wrong, kind)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for kind in ("application/json", URLENCODED, MULTIPART):
        try:
            assert isinstance(bodies.decode(body, kind), dict)
        except ArgumentInvalid:
            continue


@given(
    st.lists(
        st.sampled_from(
            [b"%", b"%4", b"%41", b"%3d", b"=", b"+", b"\r\n", b"\n", b" ", b"z", b"\x00", b"_"]
        )
    )
)
def test_percent_encoding_is_decoded_as_by_the_standard_library(parts: list[bytes]) -> None:
    text = b"".join(parts)
    assert bodies.parse_query(b"a=" + text.replace(b"&", b"")) == {"a": unquote_plus(text.decode())}


@pytest.mark.parametrize("text", [b"%41", b"%41a", b"%", b"%c3%a9", b"%zz"])
def test_a_body_of_escapes_takes_little_time_and_memory(text: bytes) -> None:
    size_bytes = URLENCODED_BYTES_MAX - len(b"body=")
    body = b"body=" + text * (size_bytes // len(text))
    began = time.process_time()
    with contextlib.suppress(ArgumentInvalid):
        bodies.decode(body, URLENCODED)
    assert time.process_time() - began < 0.5
    tracemalloc.start()
    try:
        with contextlib.suppress(ArgumentInvalid):
            bodies.decode(body, URLENCODED)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * len(body)


def test_urlencoded_bodies_have_a_limit() -> None:
    body = b"a=" + b"x" * URLENCODED_BYTES_MAX
    assert bodies.decode(body[:URLENCODED_BYTES_MAX], URLENCODED)
    with pytest.raises(ArgumentInvalid, match="has at most 1,048,576 bytes"):
        bodies.decode(body[: URLENCODED_BYTES_MAX + 1], URLENCODED)


@pytest.mark.parametrize("value", [b"[]", b'""', b"{}", b'{"a":1}', b"1", b'"\\""'])
def test_json_of_too_many_values(value: bytes) -> None:
    body = b'{"a": [' + b",".join([value] * 250_000) + b"]}"
    with pytest.raises(ArgumentInvalid, match="more than 200,000"):
        bodies.decode(body, "application/json")


def test_commas_and_brackets_within_a_json_text_do_not_count() -> None:
    text = ',[{"\\' * 500_000
    assert (
        bodies.decode(json.dumps({"body": text, "a": [1]}).encode(), "application/json")["body"]
        == text
    )


@pytest.mark.parametrize("name", [b"a" + b"[]" * 1_000_000, b"a" * 5_000_000])
def test_names_are_short(name: bytes) -> None:
    with pytest.raises(ArgumentInvalid, match="names have at most"):
        bodies.parse_query(name + b"=1")
