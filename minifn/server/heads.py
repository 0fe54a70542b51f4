"""Heads of requests that have come before: a client that repeats itself is not parsed again.

A client puts the same bytes before each body of one length, and parsing them costs more than to
look them up.
"""

from typing import Any, NamedTuple

#: Most heads that are remembered, and bytes of the longest.
HEADS_MAX, HEAD_BYTES_MAX = 256, 2048
_END = b"\r\n\r\n"


class Head(NamedTuple):
    """A parsed head."""

    #: Its part of the scope of its request.
    scope: dict[str, Any]
    body_bytes: int
    keep_alive: bool
    #: Whether it has headers of a proxy.
    forwarded: bool


_heads: dict[bytes, Head] = {}


def known(data: bytes) -> tuple[Head, bytes] | None:
    """Return the head and the body of `data`, if it is one request and its head is remembered."""
    end = data.find(_END, 0, HEAD_BYTES_MAX) + len(_END)
    head = _heads.get(data[:end])
    if head is None or len(data) - end != head.body_bytes:
        return None
    return head, data[end:]


def remember(data: bytes, head: Head) -> None:
    """Remember the head at the beginning of `data`.

    The parser takes more than one form of a head, such as empty lines before it. Only the plain
    form is remembered, whose end is where `known` looks for it.
    """
    raw = data[: data.find(_END, 0, HEAD_BYTES_MAX) + len(_END)]
    lines = len(head.scope["headers"]) + 2
    if not raw.startswith(head.scope["method"].encode()):
        return
    if raw.count(b"\r\n") == raw.count(b"\n") == lines:
        if len(_heads) >= HEADS_MAX:
            _heads.clear()
        _heads[raw] = head
