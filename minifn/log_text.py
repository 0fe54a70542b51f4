"""Text for logs: cut to a length, and safe to show on a terminal."""

from minifn.limits import LOG_LIMIT_CHARS


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
