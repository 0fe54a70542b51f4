"""Makes the archives that tests upload."""

import gzip
import io
import tarfile
from collections.abc import Mapping


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0, mode: int = 0o644
) -> tarfile.TarInfo:
    """A tar header with what the tests vary."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode, info.mtime = (
        kind,
        link,
        size,
        mode,
        1_700_000_000,
    )
    return info


def packed(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A .tar.gz of the entries, in their order. A header may promise more than the content."""
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb") as archive:
        for info, content in entries:
            info.size = len(content) or info.size
            # `TarFile.addfile` refuses to write such a header, from Python 3.14 on.
            archive.write(info.tobuf())
            archive.write(content + bytes(-len(content) % tarfile.BLOCKSIZE))
        archive.write(bytes(2 * tarfile.BLOCKSIZE))
    return buffer.getvalue()


def packed_files(files: Mapping[str, str]) -> bytes:
    """A .tar.gz of text files by path."""
    return packed(*((member(name), content.encode()) for name, content in files.items()))
