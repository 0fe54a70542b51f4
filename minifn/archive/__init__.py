"""Deployment archives: how an uploaded one is unpacked, and how a build is packed for download.

Uploads are hostile until proven otherwise: `unpack_main.py` unpacks them in a process of its own, which the builder
confines and times; the rules are there. Packing reads only what a build has published.
"""

import gzip
import os
import secrets
import tarfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from minifn.sandbox.own_python import own_interpreter

#: The program that unpacks; it needs nothing of minifn but itself.
UNPACK_PROGRAM = Path(__file__).with_name("unpack_main.py")
#: gzip's level for packed builds: most of what the highest gives at a third of the time.
PACK_LEVEL = 5


def unpack_argv(program: str, archive: str, target: str) -> tuple[str, ...]:
    """Return the command that unpacks `archive` into the directory `target`; all three are paths as it sees them.

    It exits with 0 and a line on standard output for each link that is left out, or with 1 and the reason there.
    """
    return (str(own_interpreter()), "-I", "-S", program, archive, target)


def pack(directory: Path, target: Path, skip: Collection[str] = ()) -> None:
    """Write everything below `directory` to the gzipped tar `target`, which appears whole or not at all.

    Symbolic links stay links, owners are left out, and what is neither file, directory nor link is skipped, as are
    entries with a name in `skip`.
    """

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
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
            # Before it has its name: after a loss of power half of it would be taken for all of it.
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
