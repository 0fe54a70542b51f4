"""What requests carry: JSON, urlencoded and multipart bodies, in whatever pieces they arrive."""

import asyncio
import contextlib
import itertools
import json
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
from hypothesis import given, settings, strategies as st

from minifn.api.wire import bodies
from minifn.errors import ArgumentInvalid, StorageInvalidFileSize
from minifn.limits import BODIES_BYTES_MAX
from tests.api.site import SiteServer

MULTIPART = "multipart/form-data; boundary=XX"


def receiver(*parts: bytes, whole: bool = True) -> Any:
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b""} if whole else {"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return receive


def form(*parts: tuple[str, str, bytes]) -> bytes:
    """A multipart body of (name, file name or "", content)."""
    body = b""
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename else ""
        body += (
            f'--XX\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
            + content
            + b"\r\n"
        )
    return body + b"--XX--\r\n"


def test_json() -> None:
    assert bodies.decode(b'{"a": [1]}', "application/json; charset=utf-8") == {"a": [1]}
    assert bodies.decode(b'{"a": 1}', "") == {"a": 1}
    assert bodies.decode(b"", "application/json") == {}
    assert bodies.decode(b"[]", "application/json") == {}
    assert bodies.decode(b"\x00\x01", "application/octet-stream") == {}


@pytest.mark.parametrize(
    "body", [b"{", b'{"a": NaN}', b"[1]", b'"x"', b"\xff", b"[" * 100_000, b'{"a": "\\ud800"}']
)
def test_json_that_is_none(body: bytes) -> None:
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


def test_multipart_body_stays_bytes() -> None:
    body = form(("body", "", b"\xff\x00"), ("path", "", b"/x"), ("headers", "", b'{"a":"b"}'))
    assert bodies.decode(body, MULTIPART) == {
        "body": b"\xff\x00",
        "path": "/x",
        "headers": '{"a":"b"}',
    }


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (form(("a", "", b"x"))[:-8], MULTIPART),
        (b"nonsense", MULTIPART),
        (form(("a", "", b"\xff")), MULTIPART),
        (form(*[("a", "", b"x")] * 201), MULTIPART),
        (b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--\r\n", MULTIPART),
        (form(("a", "", b"x")), "multipart/form-data"),
        (b"x", "multipart/form-data; boundary=" + "b" * 400),
    ],
)
def test_multipart_that_is_malformed(body: bytes, kind: str) -> None:
    with pytest.raises(ArgumentInvalid):
        bodies.decode(body, kind)


def test_a_body_that_is_too_long_or_cut_short() -> None:
    with pytest.raises(bodies.BodyTooLong):
        asyncio.run(bodies.read_bytes(receiver(b"123", b"456"), 5))
    with pytest.raises(ArgumentInvalid, match="early"):
        asyncio.run(bodies.read_bytes(receiver(b"123", whole=False)))


def test_an_upload_lies_on_disk_until_it_is_handled(tmp_path: Path) -> None:
    body = form(
        ("activate", "", b"true"), ("code", "c.tar.gz", b"\r\n--X" * 1000), ("file", "part", b"")
    )

    async def upload() -> None:
        pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
        async with bodies.upload(receiver(*pieces), MULTIPART, tmp_path, 10_000) as received:
            code = received.files()["code"]
            assert (code.filename, code.size_bytes) == ("c.tar.gz", 5000)
            assert code.path.read_bytes() == b"\r\n--X" * 1000
            assert received.files()["file"].size_bytes == 0
            assert received.params() == {"activate": "true"}
            assert code.path.parent == tmp_path

    asyncio.run(upload())
    assert not list(tmp_path.iterdir())


def test_an_upload_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    body = form(("code", "c.tar.gz", b"x" * 10_000))

    async def upload(limit_bytes: int, *pieces: bytes, whole: bool = True) -> None:
        async with bodies.upload(receiver(*pieces, whole=whole), MULTIPART, tmp_path, limit_bytes):
            raise AssertionError("the upload was taken")

    with pytest.raises(ArgumentInvalid):
        asyncio.run(upload(10_000, body[:5000], whole=False))
    with pytest.raises(ArgumentInvalid):
        asyncio.run(upload(10_000, body[:5000]))
    with pytest.raises(StorageInvalidFileSize):
        asyncio.run(upload(-2 * 1024 * 1024 + 1000, body))
    assert not list(tmp_path.iterdir())


@settings(max_examples=50)
@given(st.binary(max_size=300), st.sets(st.integers(1, 400), max_size=5))
def test_multipart_survives_any_cut(content: bytes, cuts: set[int]) -> None:
    body = form(("body", "", content.replace(b"--XX", b"")))
    edges = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    received = bodies.Form(MULTIPART, None, 1000)
    for start, end in itertools.pairwise(edges):
        received.feed(body[start:end])
    received.finish()
    assert received.params({"body"}) == {"body": content.replace(b"--XX", b"")}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for kind in ("application/json", "application/x-www-form-urlencoded", MULTIPART):
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
def test_percent_encoding_is_undone_as_by_the_standard_library(parts: list[bytes]) -> None:
    text = b"".join(parts)
    assert bodies.parse_query(b"a=" + text.replace(b"&", b"")) == {"a": unquote_plus(text.decode())}


@pytest.mark.parametrize("text", [b"%41", b"%41a", b"%", b"%c3%a9"])
def test_a_body_of_escapes_does_not_hold_the_server_up(text: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(ArgumentInvalid):
        bodies.decode(
            b"body=" + text * (10_000_000 // len(text)), "application/x-www-form-urlencoded"
        )
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("value", [b"[]", b'""', b"{}", b'{"a":1}', b"1", b'"\\""'])
def test_json_of_too_many_values(value: bytes) -> None:
    body = b'{"a": [' + b",".join([value] * 250_000) + b"]}"
    with pytest.raises(ArgumentInvalid, match="more than 200,000"):
        bodies.decode(body, "application/json")


def test_signs_within_a_text_of_json_do_not_count() -> None:
    text = ',[{"\\' * 500_000
    assert (
        bodies.decode(json.dumps({"body": text, "a": [1]}).encode(), "application/json")["body"]
        == text
    )


@pytest.mark.parametrize("offset", range(4))
def test_long_urlencoded_text_is_undone_in_pieces(offset: int) -> None:
    text = b"x" * offset + b"%C3%A4+b%2b%zz" * 200_000
    with pytest.raises(ArgumentInvalid):
        bodies.parse_query(b"a=" + text)
    text = text.replace(b"%zz", b"%25zz")
    assert bodies.parse_query(b"a=" + text) == {"a": unquote_plus(text.decode())}


@pytest.mark.parametrize("name", [b"a" + b"[]" * 1_000_000, b"a" * 5_000_000])
def test_names_are_short(name: bytes) -> None:
    with pytest.raises(ArgumentInvalid, match="names have at most"):
        bodies.parse_query(name + b"=1")


def test_fields_beside_an_upload_are_small_together(tmp_path: Path) -> None:
    async def upload() -> None:
        body = form(*((f"field{number}", "", bytes(100_000)) for number in range(20)))
        async with bodies.upload(receiver(body), MULTIPART, tmp_path, 10_000_000):
            pass

    with pytest.raises(ArgumentInvalid, match="must be shorter"):
        asyncio.run(upload())


def test_a_thread_takes_long_bodies_apart() -> None:
    async def where(size_bytes: int) -> threading.Thread:
        return await bodies.taken_apart(bytes(size_bytes), threading.current_thread)

    assert asyncio.run(where(1000)) is threading.current_thread()
    assert asyncio.run(where(1_000_000)) is not threading.current_thread()


@pytest.mark.parametrize("path", ["/functions/f/executions", "/account/sessions/email"])
def test_everybody_takes_of_the_same_memory(site: SiteServer, path: str) -> None:
    with site.admin() as client:
        room = site.site.budgets.bodies
        taken = BODIES_BYTES_MAX - 10
        room.take(taken)
        answer = client.post(path, json={"body": "x" * 20})
        assert (answer.status_code, answer.json()["type"]) == (503, "general_service_overloaded")
        assert room.used == taken
        room.give(taken)
        client.post(path, json={"body": "x" * 20})
        assert room.used == 0
