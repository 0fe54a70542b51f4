"""Decodes untrusted JSON: bodies, headers, cookies, webhooks, messages, queries and manifests."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class JsonInvalid(ValueError):
    """The text is not JSON of the expected type; the message says where the error is."""


class JsonTooDeep(JsonInvalid):
    """The values are nested too deep to be decoded."""


def decode_as(type: type[T], text: bytes | str) -> T:
    """Return the value of a JSON text of this type.

    Raises JsonInvalid, also for bad Unicode, and JsonTooDeep.
    """
    try:
        return msgspec.json.decode(text, type=type)
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise JsonInvalid(str(exc)) from exc
    except RecursionError as exc:
        raise JsonTooDeep("JSON is nested too deep") from exc


#: Does what `decode_as` does, for any type.
decode: Callable[[bytes | str], Any] = functools.partial(decode_as, Any)


def without_escaped_quotes(text: bytes) -> bytes:
    """Return a JSON text without the quotes inside its strings: the other quotes delimit strings.

    Two passes of C code. After the first error of a text that is not JSON the result may be wrong.
    """
    return text.replace(b"\\\\", b"").replace(b'\\"', b"")
