"""Multipart forms, in any pieces, and the files of uploads."""

import asyncio
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from minifn.api.wire import bodies
from minifn.api.wire.forms import Form, upload
from minifn.errors import ArgumentInvalid, StorageInvalidFileSize
from tests.api.wire.receiving import receiver

MULTIPART = "multipart/form-data; boundary=XX"


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


def test_an_upload_lies_on_disk_until_it_is_handled(tmp_path: Path) -> None:
    body = form(
        ("activate", "", b"true"), ("code", "c.tar.gz", b"\r\n--X" * 1000), ("file", "part", b"")
    )

    async def receive() -> None:
        pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
        async with upload(receiver(*pieces), MULTIPART, tmp_path, 10_000) as received:
            code = received.files()["code"]
            assert (code.filename, code.size_bytes) == ("c.tar.gz", 5000)
            assert code.path.read_bytes() == b"\r\n--X" * 1000
            assert received.files()["file"].size_bytes == 0
            assert received.params() == {"activate": "true"}
            assert code.path.parent == tmp_path

    asyncio.run(receive())
    assert not list(tmp_path.iterdir())


def test_an_upload_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    body = form(("code", "c.tar.gz", b"x" * 10_000))

    async def receive(limit_bytes: int, *pieces: bytes, whole: bool = True) -> None:
        async with upload(receiver(*pieces, whole=whole), MULTIPART, tmp_path, limit_bytes):
            raise AssertionError("the upload was taken")

    with pytest.raises(ArgumentInvalid):
        asyncio.run(receive(10_000, body[:5000], whole=False))
    with pytest.raises(ArgumentInvalid):
        asyncio.run(receive(10_000, body[:5000]))
    with pytest.raises(StorageInvalidFileSize):
        asyncio.run(receive(-2 * 1024 * 1024 + 1000, body))
    assert not list(tmp_path.iterdir())


@settings(max_examples=50)
@given(st.binary(max_size=300), st.sets(st.integers(1, 400), max_size=5))
def test_multipart_survives_any_cut(content: bytes, cuts: set[int]) -> None:
    body = form(("body", "", content.replace(b"--XX", b"")))
    edges = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    received = Form(MULTIPART, None, 1000)
    for start, end in itertools.pairwise(edges):
        received.feed(body[start:end])
    received.finish()
    assert received.params({"body"}) == {"body": content.replace(b"--XX", b"")}


def test_fields_beside_an_upload_are_small_together(tmp_path: Path) -> None:
    async def receive() -> None:
        body = form(*((f"field{number}", "", bytes(100_000)) for number in range(20)))
        async with upload(receiver(body), MULTIPART, tmp_path, 10_000_000):
            pass

    with pytest.raises(ArgumentInvalid, match="must be shorter"):
        asyncio.run(receive())
