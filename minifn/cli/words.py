"""Times, durations and sizes in words, for people."""

from datetime import UTC, datetime


def ago(instant: str, now: datetime | None = None) -> str:
    """Return how far an ISO 8601 instant is away: `3 min ago`, `in 2 h`; "" for none."""
    if not instant:
        return ""
    now = now or datetime.now(UTC)
    seconds = (now - datetime.fromisoformat(instant)).total_seconds()
    shown = _rounded(abs(seconds))
    return f"{shown} ago" if seconds >= 0 else f"in {shown}"


def _rounded(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def duration(seconds: float) -> str:
    """Return a duration: `0.41 ms`, `4.1 ms`, `41 ms`, `1.25 s`, `2 min`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:{'.2g' if seconds < 0.0995 else '.0f'}} ms"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def size(count: int) -> str:
    """Return bytes in a unit: `1.2 kB`, `3.4 MB`."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
