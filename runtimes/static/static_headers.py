"""The headers of requests for files: conditions, ranges and codings (RFC 9110)."""

from __future__ import annotations

import time

from static_files import File

#: Digits of the largest number in a range; a longer one is not a range.
DIGITS_MAX = 18
DATE = "%a, %d %b %Y %H:%M:%S GMT"
UNRESERVED = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@"
)


class Unsatisfiable(Exception):
    """The file has none of the bytes that the request asks for."""


def not_modified(headers: dict[str, str], tag: str, published_ns: int) -> bool:
    """Tell whether the caller has the file already: `if-none-match`, else `if-modified-since`."""
    tags = headers.get("if-none-match")
    if tags is not None:
        known = [one.strip() for one in tags.split(",")]
        return "*" in known or any(one in (tag, f"W/{tag}") for one in known)
    since = parse_date(headers.get("if-modified-since", ""))
    return since is not None and time.gmtime(published_ns // 10**9)[:6] <= since


def part_of(headers: dict[str, str], tag: str, file: File) -> tuple[int, int] | None:
    """Return offset and size of the part that a request asks for, None for the whole file.

    Several parts, and a range that is none, count as the whole. Raises Unsatisfiable.
    """
    unit, _, wanted = headers.get("range", "").partition("=")
    condition = headers.get("if-range")
    if condition is not None and condition not in (tag, http_date(file.published_ns)):
        return None
    first, dash, last = wanted.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or not all(map(is_number, (first, last))):
        return None
    size = file.size_bytes
    if not first:
        if not last:
            return None
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start == end:
        raise Unsatisfiable
    return start, end - start


def is_number(text: str) -> bool:
    """Tell whether the text has digits alone; none at all count."""
    return not text or (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX)


def weights(text: str) -> dict[str, float]:
    """Return the weight of each coding in `accept-encoding`; 0 forbids it."""
    found = {}
    for item in text.split(","):
        name, _, parameter = item.partition(";")
        value = parameter.strip().partition("=")[2] if parameter.strip() else "1"
        try:
            found[name.strip().lower()] = float(value)
        except ValueError:
            found[name.strip().lower()] = 0.0
    return found


def http_date(moment_ns: int) -> str:
    return time.strftime(DATE, time.gmtime(moment_ns // 10**9))


def parse_date(text: str) -> tuple[int, ...] | None:
    """Return year to second of an HTTP date, None for other text."""
    try:
        return tuple(time.strptime(text, DATE)[:6]) if text else None
    except ValueError:
        return None


def quote(name: bytes) -> str:
    """Return one name of a path, percent-encoded."""
    return "".join([chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in name])
