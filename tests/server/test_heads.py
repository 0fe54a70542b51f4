"""Heads that are remembered, against the parser."""

from collections.abc import Iterator

import httptools
import pytest
from hypothesis import example, given, strategies as st

from minifn.server import heads
from minifn.server.heads import HEAD_BYTES_MAX, HEADS_MAX, Head

PIECES = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"POST / HTTP/1.1\r\n",
        b"GET /x HTTP/1.1\r\n",
        b"GET / HTTP/1.1",
    ),
    *(b"Host: a\r\n", b"Host: a\n", b"A:\r\n", b"Content-Length: 4\r\n", b"Content-Length: 4\n"),
    *(b"\r\n\r\n", b"\n\n", b"body", b"Content-Length: 0\r\n"),
)
USUAL = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"


class Parsed:
    """The request that the parser found in the bytes of a connection."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.heads = self.ended = 0
        self.body = b""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self.heads += 1
        self.method = self.parser.get_method().decode()

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self.body += body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.ended += 1

    @property
    def head(self) -> Head:
        """The head, as the server has it remembered."""
        length = int(dict(self.headers).get(b"content-length", b"0"))
        return Head({"method": self.method, "headers": self.headers}, length, True, False)


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    """No head is remembered before and after a test."""
    heads._heads.clear()
    yield
    heads._heads.clear()


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join))
@example(USUAL)
@example(b"\r\n\r\n" + USUAL)
@example(b"POST / HTTP/1.1\nHost: a\nContent-Length: 4\n\n\r\n\r\n")
@example(USUAL + USUAL)
def test_what_is_found_is_what_the_parser_finds(data: bytes) -> None:
    heads._heads.clear()
    try:
        parsed = Parsed(data)
    except httptools.HttpParserError:
        return
    if parsed.heads != 1:
        return
    heads.remember(data, parsed.head)
    found = heads.known(data)
    if found is not None:
        assert (found[0], found[1], parsed.ended) == (parsed.head, parsed.body, 1)
    assert (found is not None) or data != USUAL


@pytest.mark.parametrize(
    "other",
    [
        *(USUAL[:-1], USUAL + b"!", USUAL + USUAL, b"\r\n" + USUAL, USUAL.replace(b": a", b": b")),
        *(USUAL.replace(b"\r\n", b"\n"), USUAL.replace(b"4", b"5"), USUAL[:-4], b"", b"\r\n\r\n"),
    ],
)
def test_other_bytes_are_left_to_the_parser(other: bytes) -> None:
    heads.remember(USUAL, Parsed(USUAL).head)
    assert heads.known(USUAL.replace(b"body", b"BODY")) == (Parsed(USUAL).head, b"BODY")
    assert heads.known(other) is None


def test_few_short_heads_are_remembered() -> None:
    for number in range(HEADS_MAX + 10):
        data = USUAL.replace(b": a", b": %d" % number)
        heads.remember(data, Parsed(data).head)
        assert heads.known(data) is not None
        assert len(heads._heads) <= HEADS_MAX
    long = USUAL.replace(b": a", b": %s" % (b"a" * HEAD_BYTES_MAX))
    heads.remember(long, Parsed(long).head)
    assert heads.known(long) is None
