"""Unpack one archive: `python -I -S unpack_main.py ARCHIVE TARGET [BYTES]`, a child process.

It reads ARCHIVE, a gzipped tar or a zip, and writes it below the empty directory TARGET. The
members of a zip are checked as those of a tar. Every member is checked before it is written, so
that an archive can neither reach outside TARGET nor fill the disk. The first offence ends the
program with exit code 1 and one line for users on standard output. A symbolic link that leads
outside is left out, with a line on standard output, unless another member lies below it.

With BYTES, the archive is a packed build, a gzipped tar no longer than that. It may have as
many files as a build, its links stay for `seal` to check, and special mode bits are an offence.

Only the standard library is imported: the sandbox shows no site-packages. Every deployment waits
for this program, so it does without pathlib, and imports modules for zip files only for them.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import stat
import struct
import sys
import tarfile
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    import zipfile
    from collections.abc import Callable, Iterator
    from typing import IO

    #: A member, and the function that opens its content.
    Member = tuple[tarfile.TarInfo, Callable[[], IO[bytes]]]

MEMBERS_MAX = 20_000
TOO_MANY = f"more than {MEMBERS_MAX:,} members; let the build command install dependencies"
ENTRIES_MAX = 2 * MEMBERS_MAX
PATH_BYTES_MAX = 1024
NAME_BYTES_MAX = 255
LEVELS_MAX = 32
#: Most members, levels and bytes of a path of a packed build.
BUILT_MEMBERS_MAX = 300_000
BUILT_LEVELS_MAX = 101
BUILT_PATH_BYTES_MAX = 4096
#: Most unpacked bytes, or GROWTH_MAX times the archive's size when that is more.
UNPACKED_BYTES_MAX = 500_000_000
GROWTH_MAX = 10
#: Most left-out links that are listed one by one.
NOTES_MAX = 20

#: Mode bits that no packed build has: setuid, setgid and sticky.
SPECIAL_BITS = 0o7000

DIRECTORY, FILE, SYMLINK = "directory", "file", "symbolic link"

#: Systems that make zip files, by their numbers (APPNOTE.TXT, 4.4.2.2).
DOS, UNIX, MACOS = 0, 3, 19
#: Methods of compression, stored and deflate (4.4.5): a dictionary of another one may take any
#: amount of memory.
ZIP_METHODS = (0, 8)
#: Flag of an encrypted member.
ZIP_ENCRYPTED = 0x1
#: The first bytes of a zip: of its first member, or of the end of an empty one.
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")

#: Files that a server keeps side by side. Two of them in one directory are its data directory.
SERVER_FILES = frozenset({"minifn.db", "admin.key", "jwt.secret", "variables.key"})
#: The rule that a data directory breaks; the builder knows by it that it must not keep the archive.
NO_SERVER_FILES = "it holds the data directory of a server, with its keys"

Parts = tuple[str, ...]


class Refused(Exception):
    """The archive breaks a rule; the message names the member and the rule."""


class StrictTarInfo(tarfile.TarInfo):
    """A member whose damaged header is an error; tarfile takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> StrictTarInfo:
        """Read the next header. Raises Refused when it is damaged."""
        try:
            return super().fromtarfile(tarfile)
        except _DAMAGED as exc:
            raise Refused(f"the archive is damaged ({exc})") from exc


_DAMAGED = (
    tarfile.InvalidHeaderError,  # type: ignore[attr-defined,unused-ignore]
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined,unused-ignore]
)


def shown(name: str) -> str:
    """Return `name` for one line of a log: quoted, escaped and shortened."""
    text = repr(name.encode("utf-8", "replace").decode())
    return text if len(text) <= 120 else f"{text[:80]}...{text[-36:]}"


def split(name: str, levels_max: int = LEVELS_MAX, bytes_max: int = PATH_BYTES_MAX) -> Parts:
    """Return the parts of a member's path, without `.`, empty ones and a leading `/`.

    Raises Refused for a path that is unsafe or too long.
    """
    if "\0" in name:
        raise Refused(f"{shown(name)}: a null character in a path")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise Refused(f"{shown(name)}: '..' in a path")
    if len(parts) > levels_max:
        raise Refused(f"{shown(name)}: more than {levels_max} levels deep")
    if len(os.fsencode(name)) > bytes_max or any(
        len(os.fsencode(part)) > NAME_BYTES_MAX for part in parts
    ):
        raise Refused(f"{shown(name)}: path too long")
    return parts


def leads_outside(depth: int, link: str) -> bool:
    """Tell whether a symbolic link `depth` directories deep could lead out of the tree.

    `..` is accepted only at the start and at most `depth` times: a later one could climb out of the
    target of another link.
    """
    parts = [part for part in link.split("/") if part not in ("", ".")]
    leading = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    return link.startswith("/") or leading > depth or ".." in parts[leading:]


class Checker:
    """Checks the members of an archive, one after the other, against the limits.

    `built_bytes`: most bytes of a packed build, 0 for the archive of a deployment.
    """

    def __init__(self, archive_bytes: int, built_bytes: int = 0) -> None:
        self.bytes_left = built_bytes or max(UNPACKED_BYTES_MAX, GROWTH_MAX * archive_bytes)
        self._built = built_bytes > 0
        self._members_max = BUILT_MEMBERS_MAX if self._built else MEMBERS_MAX
        self._entries_max = BUILT_MEMBERS_MAX if self._built else ENTRIES_MAX
        #: A line for users about each link that is left out.
        self.left_out: list[str] = []
        self.members = 0
        self.files = 0
        self._kinds: dict[Parts, str] = {}
        self._sizes: dict[Parts, int] = {}

    def admit(self, member: tarfile.TarInfo) -> tuple[str, Parts]:
        """Return the kind and the path of `member`. Raises Refused.

        The path is empty for the root, and for a link that is left out.
        """
        self.members += 1
        if self.members > self._members_max:
            raise Refused(TOO_MANY)
        if self._built and member.mode & SPECIAL_BITS:
            raise Refused(f"{shown(member.name)}: special mode bits")
        kind, parts = self._kind(member), self.split(member.name)
        self._place(member, kind, parts)
        if kind == SYMLINK:
            return kind, parts if self._stays_inside(member, parts) else ()
        if kind == FILE:
            self._count(member, parts)
            self._look_for_keys(parts)
        return kind, parts

    def split(self, name: str) -> Parts:
        """Return the parts of a path as `split` does, within the limits. Raises Refused."""
        if self._built:
            return split(name, BUILT_LEVELS_MAX, BUILT_PATH_BYTES_MAX)
        return split(name)

    def _kind(self, member: tarfile.TarInfo) -> str:
        if member.isdir():
            return DIRECTORY
        if member.issym():
            return SYMLINK
        if member.isreg() or member.islnk():
            return FILE
        raise Refused(f"{shown(member.name)}: only files, directories and links are accepted")

    def _place(self, member: tarfile.TarInfo, kind: str, parts: Parts) -> None:
        """Record the path of a member: below real directories, replacing only its own kind."""
        for level in range(1, len(parts)):
            above = self._kinds.setdefault(parts[:level], DIRECTORY)
            if above != DIRECTORY:
                raise Refused(f"{shown(member.name)}: lies below a {above}")
        earlier = self._kinds.setdefault(parts, kind) if parts else DIRECTORY
        # Directories without a member of their own take space on disk too.
        if len(self._kinds) > self._entries_max:
            raise Refused(f"more than {self._entries_max:,} files and directories")
        if earlier != kind:
            raise Refused(f"{shown(member.name)}: a {kind} in place of a {earlier}")

    def _stays_inside(self, member: tarfile.TarInfo, parts: Parts) -> bool:
        """Tell whether a symbolic link stays inside the archive; note one that does not."""
        link = member.linkname
        bytes_max = BUILT_PATH_BYTES_MAX if self._built else PATH_BYTES_MAX
        if not link or "\0" in link or len(os.fsencode(link)) > bytes_max:
            raise Refused(f"{shown(member.name)}: bad link target")
        outside = not self._built and leads_outside(len(parts) - 1, link)
        if outside:
            self.left_out.append(
                f"{shown(member.name)} is left out: it links to {shown(link)}, outside the archive."
            )
        return not outside

    def _look_for_keys(self, parts: Parts) -> None:
        """Refuse a data directory with this file. A build was checked when it was an archive."""
        if self._built or parts[-1] not in SERVER_FILES:
            return
        beside = [(*parts[:-1], name) for name in SERVER_FILES]
        if sum(path in self._sizes for path in beside) > 1:
            raise Refused(f"{NO_SERVER_FILES} ({shown('/'.join(parts))})")

    def _count(self, member: tarfile.TarInfo, parts: Parts) -> None:
        size = member.size
        if member.islnk():
            target = self.split(member.linkname)
            if target not in self._sizes or target == parts:
                raise Refused(
                    f"{shown(member.name)}: a hard link to {shown(member.linkname)}, which is not"
                    " an earlier file"
                )
            size = self._sizes[target]
        if size < 0:
            raise Refused(f"{shown(member.name)}: negative size")
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise Refused("the archive unpacks to more than is accepted")
        self._sizes[parts] = size
        self.files += 1


def tar_members(source: IO[bytes]) -> Iterator[Member]:
    """Yield the members of a gzipped tar; the content is read before the next member."""
    with (
        gzip.GzipFile(fileobj=source, mode="rb") as plain,
        tarfile.open(fileobj=plain, mode="r|", tarinfo=StrictTarInfo, encoding="utf-8") as archive,
    ):
        for member in archive:
            yield member, lambda member=member: _content(archive, member)  # type: ignore[misc]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    if content is None:
        raise Refused(f"{shown(member.name)}: no content")
    return content


def zip_members(source: IO[bytes]) -> Iterator[Member]:
    """Yield the members of a zip as those of a tar."""
    import zipfile

    with zipfile.ZipFile(source) as archive:
        if len(archive.infolist()) > MEMBERS_MAX:
            raise Refused(TOO_MANY)
        for info in archive.infolist():
            if info.flag_bits & ZIP_ENCRYPTED:
                raise Refused(f"{shown(info.filename)}: is encrypted")
            if info.compress_type not in ZIP_METHODS:
                raise Refused(
                    f"{shown(info.filename)}: is compressed by another method than deflate"
                )
            yield (
                _described(archive, info),
                lambda info=info: archive.open(info),  # type: ignore[misc]
            )


def _described(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tarfile.TarInfo:
    """Return a member of a zip as one of a tar."""
    import calendar

    # Windows PowerShell separates folders by backslashes.
    name = info.filename.replace("\\", "/") if info.create_system == DOS else info.filename
    member = tarfile.TarInfo(name)
    mode = info.external_attr >> 16 if info.create_system in (UNIX, MACOS) else 0
    member.mode = mode & 0o777
    with contextlib.suppress(ValueError):
        # A damaged date, such as month 0, counts as 1970.
        member.mtime = calendar.timegm((*info.date_time, 0, 0, 0))
    if name.endswith("/") or stat.S_ISDIR(mode):
        member.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(mode):
        member.type = tarfile.SYMTYPE
        with archive.open(info) as content:
            member.linkname = os.fsdecode(content.read(PATH_BYTES_MAX + 1))
    elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
        member.size = info.file_size
    else:
        member.type = tarfile.FIFOTYPE
    return member


def unpack(source: IO[bytes], archive_bytes: int, target: str, built_bytes: int = 0) -> list[str]:
    """Unpack the archive `source` into the empty directory `target`; return lines for users.

    `built_bytes`: as for `Checker`. The lines name the links that are left out. Hard links become
    copies. Modes keep only the owner's execute bit; owners, and times other than mtime, are
    dropped. Raises Refused and OSError.
    """
    checker = Checker(archive_bytes, built_bytes)
    zipped = source.read(4) in ZIP_MAGICS and not built_bytes
    source.seek(0)
    try:
        for member, content in zip_members(source) if zipped else tar_members(source):
            kind, parts = checker.admit(member)
            if parts:
                original = checker.split(member.linkname) if member.islnk() else ()
                path = os.path.join(target, *parts)
                _write(member, content, kind, path, os.path.join(target, *original))
    except _unreadable() as exc:
        kind = ".zip" if zipped else ".tar.gz"
        raise Refused(f"not a readable {kind} archive ({exc})") from exc
    if not checker.files and not built_bytes:
        raise Refused("the archive holds no files")
    more = len(checker.left_out) - NOTES_MAX
    return [
        *checker.left_out[:NOTES_MAX],
        *([f"{more:,} more such links are left out."] if more > 0 else []),
    ]


def _unreadable() -> tuple[type[Exception], ...]:
    """Return the errors of archives that are damaged, or something else."""
    import zipfile

    return (
        tarfile.TarError,
        gzip.BadGzipFile,
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        ValueError,
    )


def _write(
    member: tarfile.TarInfo, opened: Callable[[], IO[bytes]], kind: str, path: str, linked: str
) -> None:
    """Write one admitted member; a hard link becomes a copy of `linked`.

    Its parent directories were made here, so none is a link.
    """
    if kind == DIRECTORY:
        os.makedirs(path, exist_ok=True)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    if kind == SYMLINK:
        os.symlink(member.linkname, path)
        return
    original = linked if member.islnk() else ""
    mode = os.stat(original).st_mode if original else member.mode
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o755 if mode & stat.S_IXUSR else 0o644)
    with (
        os.fdopen(descriptor, "wb") as file,
        open(original, "rb") if original else opened() as content,
    ):
        shutil.copyfileobj(content, file, 256 * 1024)
        if not original and file.tell() != member.size:
            raise Refused(f"{shown(member.name)}: ends too early")
        file.flush()
        seconds = int(min(max(member.mtime, 0), 2**32))
        os.utime(file.fileno(), (seconds, seconds))


def main(argv: list[str]) -> int:
    """Unpack an archive; return the exit code: 0, or 1 after printing the reason."""
    built_bytes = int(argv[3]) if argv[3:] else 0
    os.umask(0o022)
    try:
        with open(argv[1], "rb") as source:
            notes = unpack(source, os.fstat(source.fileno()).st_size, argv[2], built_bytes)
    except (Refused, OSError) as exc:
        reason = str(exc)
    except MemoryError:
        reason = "it needs too much memory"
    except Exception as exc:
        # tarfile raises RecursionError and others for malformed headers.
        reason = f"not a readable archive ({type(exc).__name__})"
    else:
        print("\n".join(notes), end="")
        return 0
    print(f"The archive could not be unpacked: {reason}.")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
