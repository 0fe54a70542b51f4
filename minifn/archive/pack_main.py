"""Packs a build: `pack_main.py DIRECTORY TARGET`, run in a process of its own by `apart.py`.

It imports nothing of minifn, and prints the SHA-256, or the reason and exits with 1.
"""

import contextlib
import gzip
import hashlib
import os
import secrets
import sys
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile

#: gzip's level for packed builds: nearly the size of the highest level in a third of the time.
LEVEL = 5
#: Niceness of the process, as a build's, so that workers come first.
NICE = 10


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
                filename="", fileobj=file, mode="wb", compresslevel=LEVEL, mtime=0
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


def main(directory: str, target: str) -> None:
    """Pack, and print the SHA-256."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    try:
        print(pack(Path(directory), Path(target)))
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
