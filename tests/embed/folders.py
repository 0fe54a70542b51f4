"""Places that functions' own users can reach."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A data directory that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="minifn-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "data"
