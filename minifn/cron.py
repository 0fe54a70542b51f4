"""Cron expressions: five fields in UTC, or a macro such as `@hourly`."""

from croniter import croniter

#: What the macros stand for; croniter's own also know `@midnight` alone, Appwrite's library knows these.
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def is_valid(expression: str) -> bool:
    """Tell whether `expression` is a cron expression of five fields (no seconds, no year) or a macro."""
    fields = MACROS.get(expression.lower(), expression).split()
    return len(fields) == 5 and bool(croniter.is_valid(" ".join(fields)))
