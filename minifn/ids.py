"""Ids and domain names. Ids sort by creation, as Appwrite's do."""

import os
import re
import struct
import threading
import time
from collections.abc import Iterable, Iterator

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
#: Two labels or more; the last one is not a number, which excludes addresses.
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?!\d+$){_LABEL}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}")
#: Random numbers that the system gives at once, because a call of it costs more than an id.
_RANDOM_COUNT = 256
_id_lock = threading.Lock()
_last_id_us = 0
_random: Iterator[tuple[int]] = iter(())


def new_id() -> str:
    """Return 20 lowercase hex characters: 13 of unique microseconds and 7 random ones."""
    global _last_id_us, _random
    with _id_lock:
        microseconds = time.time_ns() // 1000
        if microseconds <= _last_id_us:
            microseconds = _last_id_us + 1
        _last_id_us = microseconds
        found = next(_random, None)
        if found is None:
            _random = struct.iter_unpack("I", os.urandom(4 * _RANDOM_COUNT))
            found = next(_random)
    return "%013x%07x" % (microseconds, found[0] >> 4)  # noqa: UP031 - twice as fast


def is_id(value: str) -> bool:
    """Tell whether `value` is an id: 1 to 36 of `A-Za-z0-9._-`, the first a letter or digit."""
    return _ID.fullmatch(value) is not None


def is_reach(pattern: str) -> bool:
    """Tell whether `pattern` is a function's id, or the beginning of ids and a `*`."""
    return is_id(f"{pattern[:-1]}x" if pattern.endswith("*") else pattern)


def reaches(reach: Iterable[str], function_id: str) -> bool:
    """Tell whether a function's id is within `reach`.

    Each item is a list of ids and of beginnings with a `*`, separated by spaces, and each must
    name the id. Without an item every id is within.
    """
    return all(any(_names(pattern, function_id) for pattern in item.split()) for item in reach)


def _names(pattern: str, function_id: str) -> bool:
    if pattern.endswith("*"):
        return function_id.startswith(pattern[:-1]) and bool(function_id)
    return function_id == pattern


def is_domain(value: str) -> bool:
    """Tell whether `value` is a lower-case domain name with a dot in it, and not an address."""
    return len(value) <= 253 and _DOMAIN.fullmatch(value) is not None


def split_authority(text: str) -> tuple[str, str]:
    """Return the host and the port of `host:port`, "" for none. An IPv6 address keeps its brackets.

    RFC 3986, 3.2.2.
    """
    if text.startswith("["):
        address, bracket, rest = text.partition("]")
        return address + bracket, rest.removeprefix(":")
    host, _, port = text.partition(":")
    return host, port
