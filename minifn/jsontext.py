"""Decodes JSON that strangers wrote: bodies, headers, cookies, webhooks, messages, queries, manifests of backups."""

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class JsonInvalid(ValueError):
    """The text is not JSON of the expected type; the message says where it stops being that."""


class JsonTooDeep(JsonInvalid):
    """The values are nested deeper than they can be decoded."""


def decode(text: bytes | str) -> Any:
    """Return the value of a JSON text. Raises JsonInvalid for text that is not JSON or not Unicode, JsonTooDeep."""
    return decode_as(Any, text)


def decode_as(type: type[T], text: bytes | str) -> T:
    """Return the value of a JSON text, which must be of this type. Raises JsonInvalid and JsonTooDeep."""
    try:
        return msgspec.json.decode(text, type=type)
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise JsonInvalid(str(exc)) from exc
    except RecursionError as exc:
        raise JsonTooDeep("JSON is nested too deep") from exc


def without_escaped_quotes(text: bytes) -> bytes:
    """Return a JSON text without the quotes inside its strings: those that are left delimit strings.

    Two passes of C code, whatever the text holds. What follows the first error of a text that is not JSON may be wrong.
    """
    return text.replace(b"\\\\", b"").replace(b'\\"', b"")
