"""Makes the archives that tests upload."""

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
    """A .tar.gz of the entries, in their order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info, content in entries:
            info.size = len(content) or info.size
            archive.addfile(info, io.BytesIO(content) if content else None)
    return buffer.getvalue()


def packed_files(files: Mapping[str, str]) -> bytes:
    """A .tar.gz of text files by path."""
    return packed(*((member(name), content.encode()) for name, content in files.items()))
