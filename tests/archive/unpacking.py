"""Unpacks archives in this process, or by the program."""

import io
import subprocess
from pathlib import Path

from minifn.archive import unpack_argv
from minifn.archive.unpack_main import unpack


def unpacked(data: bytes, target: Path) -> list[str]:
    """Unpack `data` in this process, and return what is left out."""
    target.mkdir(exist_ok=True)
    return unpack(io.BytesIO(data), len(data), str(target))


def run_program(archive: Path, target: Path, *prefix: str) -> subprocess.CompletedProcess[str]:
    """Unpack in the child process, as the builder does."""
    target.mkdir()
    argv = (*prefix, *unpack_argv(str(archive), str(target)))
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=10, check=False, env={"PATH": "/usr/bin:/bin"}
    )
