"""Params in query strings and in JSON, urlencoded and multipart bodies.

Reading takes time and memory in proportion to the length of the text.
"""

import re
from typing import Any

from minifn import jsontext
from minifn.api.wire.forms import Form
from minifn.api.wire.params import nest
from minifn.errors import ArgumentInvalid
from minifn.limits import (
    BODY_LIMIT_BYTES,
    JSON_TOKENS_MAX,
    URLENCODED_BYTES_MAX,
    URLENCODED_PAIRS_MAX,
)

#: Bytes of a multipart body that are parsed at once.
_PIECE_BYTES = 256 * 1024
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")


def decode(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the params in a body of one of the three content types; other bodies have none.

    A multipart part named `body` stays bytes, because only multipart can carry bytes that are not
    text. Raises ArgumentInvalid when the body does not match its content type.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not body:
        return {}
    if kind == "multipart/form-data":
        return _decode_multipart(body, content_type)
    if kind == "application/x-www-form-urlencoded":
        if len(body) > URLENCODED_BYTES_MAX:
            raise ArgumentInvalid(
                f"An urlencoded body has at most {URLENCODED_BYTES_MAX:,} bytes: send JSON."
            )
        return parse_query(body)
    if kind == "application/json" or body.lstrip()[:1] == b"{":
        if len(body) > JSON_TOKENS_MAX:
            _check_tokens(body)
        try:
            params = jsontext.decode(body)
        except jsontext.JsonInvalid as exc:
            raise ArgumentInvalid(f"The request's body is not valid JSON: {exc}") from exc
        if isinstance(params, dict):
            return params
        if params:
            raise ArgumentInvalid("The request's body must be a JSON object.")
    return {}


def _check_tokens(body: bytes) -> None:
    """Raise ArgumentInvalid for a JSON text of too many values; commas within a text do not count.

    Each step is one pass of C code. A text that is not JSON may be counted wrongly after its first
    error, where the decoder stops.
    """
    if _tokens(body) + body.count(b'"') <= JSON_TOKENS_MAX:
        return
    plain = jsontext.without_escaped_quotes(body)
    texts = plain.count(b'"') // 2
    if texts <= JSON_TOKENS_MAX:
        outside = b"".join(plain.split(b'"')[::2])
        if texts + _tokens(outside) <= JSON_TOKENS_MAX:
            return
    raise ArgumentInvalid(
        f"The request's body has more than {JSON_TOKENS_MAX:,} commas, brackets and texts."
    )


def _tokens(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def parse_query(query: bytes) -> dict[str, Any]:
    """Return the params of a query string or urlencoded body, nested as PHP does.

    Raises ArgumentInvalid.
    """
    try:
        if query.count(b"&") >= URLENCODED_PAIRS_MAX:
            raise ValueError("too many pairs")
        pairs = [
            (_unquote(name), _unquote(value))
            for name, _, value in (pair.partition(b"=") for pair in query.split(b"&") if pair)
        ]
    except ValueError as exc:
        raise ArgumentInvalid(
            f"The params are not urlencoded UTF-8 text, or more than {URLENCODED_PAIRS_MAX}."
        ) from exc
    return nest(pairs)


def _unquote(text: bytes) -> str:
    """Decode percent-encoding; a `%` that escapes nothing stays, as in PHP.

    `urllib.parse` does the same in 50 bytes of memory for each byte of text.
    """
    spaced = text.replace(b"+", b" ").decode("latin-1")
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), spaced).encode("latin-1").decode()


def _decode_multipart(body: bytes, content_type: str) -> dict[str, Any]:
    form = Form(content_type, None, BODY_LIMIT_BYTES)
    for start in range(0, len(body), _PIECE_BYTES):
        form.feed(body[start : start + _PIECE_BYTES])
    form.finish()
    return form.params({"body"})
