"""Deployment archives: the command that unpacks an upload, and the packing of a build.

Uploads are untrusted, and so are builds that another machine packed: `unpack_main.py`, which has
the rules, unpacks them in a separate process that the builder confines. Packing reads only
published builds.
"""

import subprocess
from pathlib import Path
from typing import Any

from minifn import jsontext
from minifn.archive.pack_main import pack as pack
from minifn.sandbox.own_python import own_interpreter

#: The program that unpacks; it imports nothing of minifn.
UNPACK_PROGRAM = Path(__file__).with_name("unpack_main.py")
#: The program that lists the files of an archive; it imports nothing of minifn.
LIST_PROGRAM = Path(__file__).with_name("list_main.py")
#: Seconds that it may take.
LIST_SECONDS = 15


def unpack_argv(archive: str, target: str, built_bytes: int = 0) -> tuple[str, ...]:
    """Return the command that unpacks `archive` into the directory `target`.

    The arguments are paths in the sandbox. `built_bytes`: most bytes of a packed build, 0 for the
    archive of a deployment. The command exits with 0 and prints a line for each link
    that is left out, or exits with 1 and prints the reason.
    """
    # As text: root without capabilities reads no file below another user's private directory.
    program = UNPACK_PROGRAM.read_text()
    limit = (str(built_bytes),) if built_bytes else ()
    return (str(own_interpreter()), "-I", "-S", "-c", program, archive, target, *limit)


class ArchiveUnreadable(Exception):
    """The files of an archive are not shown; the message says why."""


def read_files(archive: Path, *wanted: str) -> Any:
    """Return the files of an untrusted archive, or the one that is wanted, as `list_main.py` does.

    It blocks. Raises ArchiveUnreadable.
    """
    argv = [str(own_interpreter()), "-I", "-S", str(LIST_PROGRAM), str(archive), *wanted]
    try:
        done = subprocess.run(
            argv, env={}, capture_output=True, timeout=LIST_SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise ArchiveUnreadable("The archive takes too long to read.") from None
    if done.returncode == 0:
        return jsontext.decode(done.stdout)
    said = done.stdout.decode(errors="replace").strip() if done.returncode == 1 else ""
    raise ArchiveUnreadable(said or "The archive takes too long to read.")
