"""Frames survive any cut of the stream; violations of the protocol are refused."""

import contextlib
import itertools
import json

import msgspec
import pytest
from hypothesis import given, strategies as st

from minifn.workers import protocol
from minifn.workers.protocol import (
    FRAME_BODY_LIMIT_BYTES,
    HEADER_LIMIT_BYTES,
    HEADERS_MAX,
    Cancel,
    Decoder,
    Load,
    Log,
    ProtocolError,
    Ready,
    Request,
    Response,
    ServerFrame,
    Stop,
    WorkerFrame,
)

#: JSON has no lone surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(0, 2**53)
REQUESTS = st.builds(
    Request,
    id=NUMBERS,
    method=TEXT,
    scheme=TEXT,
    host=TEXT,
    port=st.integers(0, 65535),
    path=TEXT,
    query=TEXT,
    headers=st.dictionaries(TEXT, TEXT, max_size=3),
    timeout=st.floats(0, 900),
    logging=st.booleans(),
)
#: Reads the frames of a server, as wrappers do.
decoded = msgspec.json.Decoder(ServerFrame).decode
SERVER_FRAMES = REQUESTS | st.builds(Cancel, NUMBERS) | st.just(Load()) | st.just(Stop())
BODIES = st.binary(max_size=200)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return the data cut at some places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(
    st.lists(st.tuples(SERVER_FRAMES, BODIES), max_size=8),
    st.lists(st.integers(0, 10_000), max_size=20),
)
def test_frames_survive_any_cut(frames: list[tuple[ServerFrame, bytes]], cuts: list[int]) -> None:
    stream = b"".join(protocol.encode(frame, body) for frame, body in frames)
    decoder = Decoder()
    found = [
        (decoded(header), body)
        for piece in pieces(stream, cuts)
        for header, body in decoder.feed(piece)
    ]
    assert found == frames


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=10))
def test_garbage_is_frames_or_an_error(garbage: bytes, cuts: list[int]) -> None:
    decoder = Decoder()
    with contextlib.suppress(ProtocolError):
        for piece in pieces(garbage, cuts):
            for header, _ in decoder.feed(piece):
                protocol.decode_worker_frame(header)


@pytest.mark.parametrize(
    ("header", "frame"),
    [
        ('{"type":"ready","protocol":1,"concurrency":8,"language":"x"}', Ready(1, 8)),
        ('{"type":"log","id":3,"stream":"errors"}', Log(3, "errors")),
    ],
)
def test_headers_of_workers(header: str, frame: WorkerFrame) -> None:
    assert protocol.decode_worker_frame(header.encode()) == frame


def test_response_headers_stay_json_until_read() -> None:
    frame = protocol.decode_worker_frame(
        b'{"type":"response","id":7,"statusCode":201,"headers":[["a","1"],["a","2"]]}'
    )
    assert isinstance(frame, Response)
    assert (frame.id, frame.status_code, frame.failure, frame.stuck) == (7, 201, "", False)
    assert protocol.decode_headers(bytes(frame.headers)) == (("a", "1"), ("a", "2"))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"type":"request","id":1}',
        b'{"type":"unknown"}',
        b'{"type":"log","id":"1","stream":"logs"}',
        b'{"type":"log","id":1,"stream":"stdout"}',
        b'{"type":"response","id":1,"statusCode":"200"}',
        b'{"type":"response","id":1,"statusCode":200,"failure":"died"}',
        b'{"type":"ready"}',
        b'{"type":"response","id":1,"statusCode":200,"headers":'
        + b"[" * 100_000
        + b"]" * 100_000
        + b"}",
    ],
)
def test_wrong_headers_are_refused(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(header)


def decode(header: bytes) -> None:
    frame = protocol.decode_worker_frame(header)
    # Python 3.14 and newer decode any depth that the stack has room for.
    assert isinstance(frame, protocol.Response)
    protocol.decode_headers(bytes(frame.headers))


@pytest.mark.parametrize("raw", [b"{}", b'[["a"]]', b'[["a",1]]', b'["a","b"]', b"null"])
def test_wrong_response_headers_are_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError, match="bad response headers"):
        protocol.decode_headers(raw)


@pytest.mark.parametrize("value", ["", '"', "\\", '\\"'])
def test_many_response_headers_are_refused_before_they_are_decoded(value: str) -> None:
    pairs = [("x", value)] * HEADERS_MAX
    assert protocol.decode_headers(json.dumps(pairs).encode()) == tuple(pairs)
    # Only a count that comes before the decoder tells their number, since the end is missing.
    cut_short = json.dumps([*pairs, ("x", value)]).encode()[:-1]
    with pytest.raises(ProtocolError, match="1,001 response headers"):
        protocol.decode_headers(cut_short)


@pytest.mark.parametrize(
    "lengths",
    [(HEADER_LIMIT_BYTES + 1, 0), (2, FRAME_BODY_LIMIT_BYTES + 1), (0xFFFFFFFF, 0xFFFFFFFF)],
)
def test_lengths_over_the_limit_are_refused_before_the_frame_has_come(
    lengths: tuple[int, int],
) -> None:
    with pytest.raises(ProtocolError, match="the limit is"):
        list(Decoder().feed(b"".join(length.to_bytes(4) for length in lengths)))


def test_too_large_frames_are_not_sent() -> None:
    with pytest.raises(ProtocolError, match="the limit is"):
        protocol.encode(Stop(), bytes(FRAME_BODY_LIMIT_BYTES + 1))
