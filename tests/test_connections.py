"""What clients send beside requests: heads without end, and trailers."""

import socket

import pytest

from minifn.cli.connections import HEAD_BYTES_MAX
from tests.serving import Server

GET = b"GET /v1/health HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/functions/f/executions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (GET, b"x-a: " + b"y" * 1000 + b"\r\n"),
        (GET + b"x-a: ", b"y" * 1000),
        (b"GET /", b"y" * 1000),
        (POST, b"x-a: " + b"y" * 1000 + b"\r\n"),
    ],
    ids=["headers", "one header", "path", "trailers"],
)
def test_a_head_without_end_is_not_collected(server: Server, start: bytes, piece: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as client:
        client.sendall(start)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            client.sendall(piece * (100 * HEAD_BYTES_MAX // len(piece)))


def test_large_heads_and_many_requests_in_one_piece_are_served(server: Server) -> None:
    header = b"x-a: " + b"y" * 60_000 + b"\r\n"
    requests = (GET + header + b"\r\n") * 9 + GET + b"Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 10) as client:
        client.sendall(requests)
        answers = b"".join(iter(lambda: client.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 ") == 10
    assert b" 400 " not in answers
