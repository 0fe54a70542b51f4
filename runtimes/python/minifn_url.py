"""Percent-decoding of a request's path and query, as in Open Runtimes' HTTP library (yarl).

In a query `+` is a space, and separators stay encoded, in upper case: `%2B`, `%3D`, `%26` and
`%3B`. An escape that is not UTF-8 stays unchanged.
"""

from __future__ import annotations

#: Runs of escapes, compiled on first use: most requests have none, and `re` is a slow import.
PATH_RUNS = r"(?:%[0-9A-Fa-f]{2})+"
QUERY_RUNS = r"(?:%(?!2[Bb6]|3[BbDd])[0-9A-Fa-f]{2})+|%(?:2b|3[bd])"
SEPARATORS = ("%2b", "%3b", "%3d")


def decode_path(text: str) -> str:
    return _decode(text, PATH_RUNS) if "%" in text else text


def decode_query(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    return _decode(text, QUERY_RUNS) if "%" in text else text


def _decode(text: str, runs: str) -> str:
    import re

    return re.sub(runs, _decode_run, text)


def _decode_run(match) -> str:
    run = match.group()
    if run in SEPARATORS and match.re.pattern == QUERY_RUNS:
        return run.upper()
    octets = bytes.fromhex(run.replace("%", ""))
    decoded = ""
    while True:
        try:
            return decoded + octets.decode("utf-8")
        except UnicodeDecodeError as exc:
            bad = octets[: exc.start].decode("utf-8") + run[3 * exc.start : 3 * exc.end]
            decoded += bad
            octets, run = octets[exc.end :], run[3 * exc.end :]
