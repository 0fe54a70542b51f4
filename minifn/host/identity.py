"""Whether files that are open are still the ones that their names mean: what is written to others is lost."""

import os
from pathlib import Path


class FileIdentity:
    """Remembers which files the paths name now."""

    def __init__(self, *paths: Path) -> None:
        """Look at the files. Raises OSError."""
        self._files = [(str(path), _identity(str(path))) for path in paths]

    def missing(self) -> str:
        """Return the first path that names no file any more, or another one; "" when all is as it was.

        A path that cannot be looked at counts as there: the disk may be well again in a moment.
        """
        for path, identity in self._files:
            try:
                if _identity(path) != identity:
                    return path
            except (FileNotFoundError, NotADirectoryError):
                return path
            except OSError:
                continue
        return ""


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 - the writer does it for each transaction, and a Path takes thrice as long
    return found.st_dev, found.st_ino
