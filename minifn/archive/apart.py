"""Packs in a process of its own: neither its work nor its memory is the server's, and it can end.

A build may have 100,000 files. A thread that packs them would hold up the event loop, and the end
of the server. Run as a program, this packs.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path

#: The program, under `-I -S`: this package comes last on the path, as the launcher's does.
BOOT = """import sys
sys.path.append(sys.argv.pop(1))
from minifn.archive.apart import main
main(sys.argv[1], sys.argv[2])
"""
#: Niceness of the process, as a build's, so that workers come first.
NICE = 10


async def pack_apart(directory: Path, target: Path) -> str:
    """Pack as `minifn.archive.pack` does, and return the SHA-256.

    Canceled, it ends at once and leaves nothing. Raises OSError.
    """
    package = Path(__file__).parents[2]
    process = subprocess.Popen(  # noqa: ASYNC220 - asyncio's need a child watcher
        [sys.executable, "-I", "-S", "-c", BOOT, package, directory, target],
        env={},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    ended = asyncio.ensure_future(asyncio.to_thread(process.communicate))
    try:
        digest, problem = await asyncio.shield(ended)
    except asyncio.CancelledError:
        process.kill()
        await asyncio.wait([ended])
        for left in target.parent.glob(f"{target.name}.*"):
            left.unlink(missing_ok=True)
        raise
    if process.returncode:
        raise OSError(problem.strip() or f"packing ended with {process.returncode}")
    return digest.strip()


def main(directory: str, target: str) -> None:
    """Pack, and print the SHA-256."""
    from minifn.archive import pack

    with contextlib.suppress(OSError):
        os.nice(NICE)
    try:
        print(pack(Path(directory), Path(target)))
    except OSError as error:
        sys.exit(str(error))
