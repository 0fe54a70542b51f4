"""Finished builds on their way to a node: packed by the server, checked and sealed there."""

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from minifn.builder.publish import Owner, seal
from minifn.host.datadir import DataDir, remove_tree
from minifn.host.space import check_space

#: Bytes of one piece of a packed build.
PIECE_BYTES = 4 * 1024 * 1024
#: Most bytes of the builds of a node; the least recently used are removed.
BUILDS_BYTES_MAX = 20_000_000_000


class BuildDamaged(Exception):
    """A build did not arrive as it was sent."""


class _Pieces:
    """A file that passes on what is written to it in pieces, and digests it."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.digest = hashlib.sha256()
        self._send = send
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        while len(self._held) >= PIECE_BYTES:
            self._pass_on(PIECE_BYTES)
        return len(data)

    def flush(self) -> None:
        if self._held:
            self._pass_on(len(self._held))

    def _pass_on(self, count: int) -> None:
        piece = bytes(self._held[:count])
        del self._held[:count]
        self.digest.update(piece)
        self._send(piece)


def pack(directory: Path, send: Callable[[bytes], None]) -> str:
    """Pass a build to `send` piece by piece, and return the SHA-256 of the whole; blocks.

    Raises OSError.
    """
    pieces = _Pieces(send)
    with tarfile.open(fileobj=cast("IO[bytes]", pieces), mode="w|", bufsize=1 << 20) as archive:
        archive.add(directory, arcname=".")
    pieces.flush()
    return pieces.digest.hexdigest()


class NodeBuilds:
    """The builds in a node's data directory."""

    def __init__(self, data: DataDir, limit_bytes: int) -> None:
        self._data = data
        self._limit_bytes = limit_bytes
        #: Deployment -> bytes of its build, the least recently used first.
        self._sizes: dict[str, int] = {}
        #: Builds that arrive: the packed bytes and their digest.
        self._arriving: dict[str, tuple[IO[bytes], hashlib._Hash]] = {}

    def __contains__(self, deployment_id: str) -> bool:
        return deployment_id in self._sizes

    def use(self, deployment_id: str) -> None:
        """Note that a build is used."""
        self._sizes[deployment_id] = self._sizes.pop(deployment_id)

    def begin(self, deployment_id: str) -> None:
        """Expect a packed build from its first piece; blocks. Raises OSError and TreeRefused."""
        check_space(self._data.builds)
        self._forget_arriving(deployment_id)
        path = self._data.output(deployment_id)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._arriving[deployment_id] = (os.fdopen(descriptor, "w+b"), hashlib.sha256())

    def receive(self, deployment_id: str, piece: bytes) -> None:
        """Add a piece; blocks. Raises KeyError without `begin`, and OSError."""
        file, digest = self._arriving[deployment_id]
        file.write(piece)
        digest.update(piece)

    def finish(self, deployment_id: str, expected: str, uid: int) -> None:
        """Unpack and seal a build for a function's user; blocks.

        Raises KeyError without `begin`, BuildDamaged, OSError and TreeRefused.
        """
        file, digest = self._arriving[deployment_id]
        directory = self._data.build(deployment_id)
        try:
            if digest.hexdigest() != expected:
                raise BuildDamaged("its bytes are not those that were sent")
            remove_tree(directory)
            directory.mkdir(mode=0o700)
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                # The server made it of a tree that was checked; `seal` looks at every entry again.
                archive.extraction_filter = lambda member, path: member
                archive.extractall(directory, members=map(_ours, archive))
            owner = Owner(builder_uid=os.geteuid())
            if uid:
                owner = Owner(builder_uid=os.geteuid(), uid=0, gid=uid)
            size = seal(directory, owner, ("/",), limit_bytes=self._limit_bytes)
        except BaseException:
            remove_tree(directory)
            raise
        finally:
            self._forget_arriving(deployment_id)
        self._sizes[deployment_id] = size.size_bytes

    def remove(self, deployment_id: str) -> None:
        """Remove a build; blocks. Raises OSError."""
        self._sizes.pop(deployment_id, None)
        self._forget_arriving(deployment_id)
        remove_tree(self._data.build(deployment_id))

    def surplus(self, used: frozenset[str]) -> list[str]:
        """Return the least recently used builds beyond BUILDS_BYTES_MAX that no worker uses."""
        total, found = sum(self._sizes.values()), []
        for own, size in self._sizes.items():
            if total <= BUILDS_BYTES_MAX:
                break
            if own not in used:
                found.append(own)
                total -= size
        return found

    def _forget_arriving(self, deployment_id: str) -> None:
        file, _ = self._arriving.pop(deployment_id, (None, None))
        if file is not None:
            file.close()
        self._data.output(deployment_id).unlink(missing_ok=True)


def _ours(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Make a member belong to this process, writable until it is sealed."""
    member.uid, member.gid, member.uname, member.gname = os.geteuid(), os.getegid(), "", ""
    member.mode |= stat.S_IRWXU if member.isdir() else stat.S_IRUSR | stat.S_IWUSR
    return member
