"""Packs in a process of its own: neither its work nor its memory is the server's, and it can end.

A build may have 100,000 files. A thread that packs them would hold up the event loop, and the end
of the server.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

#: The program that packs.
PROGRAM = Path(__file__).with_name("pack_main.py")


async def pack_apart(directory: Path, target: Path) -> str:
    """Pack as `minifn.archive.pack` does, and return the SHA-256.

    Canceled, it ends at once and leaves nothing. Raises OSError.
    """
    process = subprocess.Popen(  # noqa: ASYNC220 - asyncio's need a child watcher
        [sys.executable, "-I", "-S", PROGRAM, directory, target],
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
