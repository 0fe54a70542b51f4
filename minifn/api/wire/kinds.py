"""Kinds of parameters of this API: roles, scopes, events, headers, instants and queries."""

import re
from typing import Any

from minifn import cron, event_names, jsontext
from minifn.api.wire.params import Limits, ListOf
from minifn.ids import is_id
from minifn.instants import parse_instant
from minifn.limits import (
    HEADERS_CHARS_MAX,
    HEADERS_JSON_CHARS_MAX,
    HEADERS_MAX,
    QUERIES_MAX,
    QUERY_CHARS_MAX,
)
from minifn.models import Headers
from minifn.scopes import SCOPES, SCOPES_MAX

#: Characters of an execute role, as in Appwrite.
_ROLE_MAX_CHARS = 128
_LABEL = re.compile(r"[A-Za-z0-9]{1,36}")
_VERIFICATIONS = ("verified", "unverified")

_HEADER_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_VARIABLE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL_CHARS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Role:
    """An execute role, as in `utopia-php/database`: `any`, `users/verified`, `team:ID/owner`."""

    def check(self, value: Any, limits: Limits) -> str:
        if not isinstance(value, str) or len(value) > _ROLE_MAX_CHARS:
            raise ValueError(f"Role must be a string of at most {_ROLE_MAX_CHARS} chars")
        name, slash, dimension = value.partition("/")
        name, colon, identifier = name.partition(":")
        if not _is_role(name, identifier if colon else None, dimension if slash else None):
            raise ValueError(
                f"Role {value!r} must be one of any, guests, users, users/verified, user:ID,"
                " team:ID, team:ID/ROLE, member:ID, label:NAME"
            )
        return value

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "maxLength": _ROLE_MAX_CHARS}


def _is_role(name: str, identifier: str | None, dimension: str | None) -> bool:
    if name in ("any", "guests"):
        return identifier is None and dimension is None
    if name == "users":
        return identifier is None and (dimension is None or dimension in _VERIFICATIONS)
    if identifier is None:
        return False
    if name == "label":
        return _LABEL.fullmatch(identifier) is not None and dimension is None
    if not is_id(identifier):
        return False
    if name == "user":
        return dimension is None or dimension in _VERIFICATIONS
    if name == "team":
        return dimension is None or is_id(dimension)
    return name == "member" and dimension is None


class ScopeName:
    """A scope that an API key or a function's own key can have."""

    def check(self, value: Any, limits: Limits) -> str:
        if isinstance(value, str) and value in SCOPES:
            return value
        raise ValueError(f"Value must be one of ({', '.join(sorted(SCOPES))})")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "enum": sorted(SCOPES)}


#: Scopes of a key or function.
SCOPE_NAMES = ListOf(ScopeName(), SCOPES_MAX)


class EventName:
    """An event that a function may subscribe to."""

    def check(self, value: Any, limits: Limits) -> str:
        if isinstance(value, str) and len(value) <= 256 and event_names.is_subscribable(value):
            return value
        raise ValueError("Event is not valid. Events of functions cannot be subscribed to.")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "example": "users.*.create"}


class Cron:
    """A cron expression of five fields, or "" for no schedule."""

    def check(self, value: Any, limits: Limits) -> str:
        if isinstance(value, str) and (value == "" or (len(value) <= 128 and cron.is_valid(value))):
            return value
        raise ValueError("String must be a valid cron expression")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "maxLength": 128, "example": "*/5 * * * *"}


class SpecificationSlug:
    """Slug of a specification that this server offers."""

    def check(self, value: Any, limits: Limits) -> str:
        if isinstance(value, str) and value in limits.specifications:
            return value
        raise ValueError(f"Specification must be one of: {', '.join(limits.specifications)}")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "enum": list(limits.specifications)}


#: Rule for keys of new variables; stored keys may break it.
VARIABLE_KEY_RULE = (
    "Value must be letters, digits and underscores, not begin with a digit, and have 1 to 255 chars"
)


def is_variable_key(value: str) -> bool:
    """Tell whether `value` can be the key of a new variable."""
    return len(value) <= 255 and _VARIABLE_KEY.fullmatch(value) is not None


class VariableKey:
    """The key of a new variable: a name that all languages and shells accept."""

    def check(self, value: Any, limits: Limits) -> str:
        if isinstance(value, str) and is_variable_key(value):
            return value
        raise ValueError(VARIABLE_KEY_RULE)

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "maxLength": 255, "pattern": f"^{_VARIABLE_KEY.pattern}$"}


class RequestHeaders:
    """Headers for a function: an object or its JSON text, returned with names in lower case.

    A null value becomes "". A text that is not JSON has no headers, as in Appwrite.
    """

    def check(self, value: Any, limits: Limits) -> Headers:
        if isinstance(value, str):
            value = _decode_headers(value)
        if value == []:
            return ()
        if not isinstance(value, dict):
            raise ValueError("Value must be a valid object or the JSON text of one")
        if len(value) > HEADERS_MAX:
            raise ValueError(f"Value must have at most {HEADERS_MAX} headers")
        headers = tuple(
            (_header_name(name), _header_value(name, text)) for name, text in value.items()
        )
        if sum(len(name) + len(text) for name, text in headers) >= HEADERS_CHARS_MAX:
            raise ValueError(f"Headers must be shorter than {HEADERS_CHARS_MAX} chars together")
        return headers

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "maxProperties": HEADERS_MAX,
        }


def _decode_headers(text: str) -> Any:
    if len(text) > HEADERS_JSON_CHARS_MAX:
        raise ValueError(f"Value must be no longer than {HEADERS_JSON_CHARS_MAX} chars")
    try:
        return jsontext.decode(text) or []
    except jsontext.JsonTooDeep:
        raise
    except jsontext.JsonInvalid:
        return []


def _header_name(name: str) -> str:
    lowered = name.lower()
    if _HEADER_NAME.fullmatch(name) is None or name.isdecimal():
        raise ValueError(
            f"Header name {name[:100]!r} must be letters, digits and hyphens,"
            " begin and end with a letter or digit, and not be a number"
        )
    if lowered.startswith("x-appwrite-"):
        raise ValueError(f"Header name {name[:100]!r} must not begin with x-appwrite-")
    return lowered


def _header_value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "" if value is None else str(value) if isinstance(value, int | float) else value
    if not isinstance(text, str) or _CONTROL_CHARS.search(text):
        raise ValueError(
            f"Header {name[:100]!r} must have a string without control characters as its value"
        )
    return text


class Instant:
    """An instant as text, returned in milliseconds; without a zone it is UTC."""

    def check(self, value: Any, limits: Limits) -> int:
        try:
            return parse_instant(value)
        except (ValueError, TypeError, AttributeError, OverflowError) as exc:
            raise ValueError(
                "Value must be a valid date with a year of four digits, such as ISO 8601"
            ) from exc

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


class QueryTexts:
    """The queries of a list, as texts: `queries.py` reads them with the list's attributes."""

    def check(self, value: Any, limits: Limits) -> tuple[str, ...]:
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            raise ValueError("Queries must be an array")
        if not all(isinstance(item, str) for item in value):
            raise ValueError("Each query must be a string")
        return tuple(value)

    def schema(self, limits: Limits) -> dict[str, Any]:
        text = {"type": "string", "maxLength": QUERY_CHARS_MAX}
        return {"type": "array", "maxItems": QUERIES_MAX, "items": text}
