"""Small values every layer shares: ids, instants and the limits of the wire contract.

Instants are integers, milliseconds since 1970-01-01 UTC. Ids sort by creation, as Appwrite's do.
"""

import os
import re
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache

#: Seconds between 1970 and the end of the year 9999, in milliseconds: the largest instant that can be shown.
MAX_INSTANT_MS = 253_402_300_799_999
#: Characters of `logs`, of `errors` and of `buildLogs` that are kept (contract section f, "Log limits").
LOG_LIMIT_CHARS = 1_000_000
#: The upload chunk every SDK uses, bytes.
CHUNK_BYTES = 5 * 1024 * 1024
#: Largest body of a request to a function, and of its answer, bytes.
BODY_LIMIT_BYTES = 20 * 1024 * 1024

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
#: At least two labels, of which the last is not a number: so no address.
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?!\d+$){_LABEL}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}")
_id_lock = threading.Lock()
_last_id_us = 0


def new_id() -> str:
    """Return 20 lowercase hex characters: 13 of microseconds (never repeated in this process) and 7 random."""
    global _last_id_us
    with _id_lock:
        _last_id_us = max(_last_id_us + 1, time.time_ns() // 1000)
        microseconds = _last_id_us
    return f"{microseconds:013x}{int.from_bytes(os.urandom(4)) >> 4:07x}"


def is_id(value: str) -> bool:
    """Tell whether `value` is a well-formed id: 1 to 36 of `A-Za-z0-9._-`, beginning with a letter or digit."""
    return _ID.fullmatch(value) is not None


def is_domain(value: str) -> bool:
    """Tell whether `value` is a lower-case domain name with a dot in it, and no address."""
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


def now_ms() -> int:
    """Return the wall clock, milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@lru_cache(maxsize=64)
def _format_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def format_instant(instant_ms: int) -> str:
    """Return `YYYY-MM-DDTHH:MM:SS.mmm+00:00`, the only form Appwrite answers with."""
    second, millisecond = divmod(instant_ms, 1000)
    return f"{_format_second(second)}.{millisecond:03d}+00:00"


def parse_instant(text: str) -> int:
    """Return the instant `text` names; without a zone it is UTC.

    Raises ValueError for anything `datetime.fromisoformat` does not read, or outside the years 1970 to 9999.
    """
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    instant_ms = round(moment.timestamp() * 1000)
    if not 0 <= instant_ms <= MAX_INSTANT_MS:
        raise ValueError(f"instant out of range: {text}")
    return instant_ms


def keep_tail(text: str, what: str) -> str:
    """Return `text` cut to LOG_LIMIT_CHARS, keeping its end under a warning line (Appwrite 1.8's rule).

    `what` is `Logs` or `Errors`.
    """
    if len(text) <= LOG_LIMIT_CHARS:
        return text
    warning = f"[WARNING] {what} truncated. The output exceeded {LOG_LIMIT_CHARS:,} characters.\n"
    return warning + text[len(text) - LOG_LIMIT_CHARS + len(warning) :]


def one_line(text: str, chars_max: int = 300) -> str:
    """Return the first line of `text` for the server's log, whoever wrote it: cut, nothing a terminal obeys."""
    line = text.partition("\n")[0]
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line[:chars_max])
    return shown if len(line) <= chars_max else f"{shown}..."
