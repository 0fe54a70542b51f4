"""Deployment archives: the command that unpacks an upload, and the packing of a build.

Uploads are untrusted, and so are builds that another machine packed: `unpack_main.py`, which has
the rules, unpacks them in a separate process that the builder confines. Packing reads only
published builds.
"""

import gzip
import hashlib
import os
import secrets
import subprocess
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from minifn import jsontext
from minifn.sandbox.own_python import own_interpreter

if TYPE_CHECKING:
    import tarfile

#: The program that unpacks; it imports nothing of minifn.
UNPACK_PROGRAM = Path(__file__).with_name("unpack_main.py")
#: The program that lists the files of an archive; it imports nothing of minifn.
LIST_PROGRAM = Path(__file__).with_name("list_main.py")
#: Seconds that it may take.
LIST_SECONDS = 15
#: gzip's level for packed builds: nearly the size of the highest level in a third of the time.
PACK_LEVEL = 5


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


def pack(directory: Path, target: Path, skip: Collection[str] = ()) -> str:
    """Write the content of `directory` to the gzipped tar `target`, which is complete or missing.

    Return its SHA-256. Symbolic links stay links and owners are left out. Sockets, pipes and
    devices are skipped, as are entries whose name is in `skip`.
    """
    import tarfile

    def kept(member: "tarfile.TarInfo") -> "tarfile.TarInfo | None":
        return None if PurePosixPath(member.name).name in skip else _anonymous(member)

    temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        with (
            temporary.open("xb") as file,
            gzip.GzipFile(
                filename="", fileobj=file, mode="wb", compresslevel=PACK_LEVEL, mtime=0
            ) as packed,
            tarfile.open(
                fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT, dereference=False
            ) as archive,
        ):
            for entry in sorted(directory.iterdir()):
                archive.add(entry, arcname=entry.name, filter=kept)
        with temporary.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
            # Before it has its name: a loss of power must not leave half an archive under it.
            os.fsync(written.fileno())
        temporary.replace(target)
        return digest
    finally:
        temporary.unlink(missing_ok=True)


def _anonymous(member: "tarfile.TarInfo") -> "tarfile.TarInfo | None":
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
