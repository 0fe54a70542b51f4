"""Checks the files of a static build: `python -I -S check.py CODE ENTRYPOINT`.

Files that no whole answer can have, and a missing fallback, are warnings. The build fails without
the folder that the entrypoint names.
"""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from static_answers import BODY_LIMIT_BYTES
from static_files import Files

#: Most files that are named.
NAMED_MAX = 5


def main(code: str, entrypoint: str) -> str:
    """Print the warnings, and return why the build fails, "" when it does not."""
    folder = os.path.join(code, os.path.dirname(entrypoint))
    if not os.path.isdir(folder):
        return f"There is no folder {os.path.dirname(entrypoint)}, which the entrypoint names."
    fallback = os.environ.get("OPEN_RUNTIMES_STATIC_FALLBACK", "")
    files = Files(code, entrypoint, fallback)
    if fallback and files.fallback("/") is None:
        print(
            f"Warning: OPEN_RUNTIMES_STATIC_FALLBACK names {fallback}, and there is no such file."
        )
    for path in files.larger_than(BODY_LIMIT_BYTES)[:NAMED_MAX]:
        print(
            f"Warning: {path} has more than {BODY_LIMIT_BYTES:,} bytes:"
            " only requests with a Range header can have it."
        )
    return ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) or None)
