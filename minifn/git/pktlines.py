"""git's pkt-lines: four hex digits of length, then the content; and the side-band that output for people rides on.

See `gitprotocol-common` and `gitprotocol-pack` of git's documentation.
"""

from typing import BinaryIO

import msgspec

FLUSH = b"0000"
#: Says nothing, so that nobody on the way takes the connection for dead.
KEEPALIVE = b"0005\x02"
SIDEBAND_BYTES = 65_515
COMMANDS_MAX = 1000
#: What the hash of a reference is when it is created or deleted.
ZERO = "0"


class Malformed(ValueError):
    """The bytes are no pkt-lines."""


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """What a pusher wants: the new hash of each reference, and what it can do itself."""

    #: reference -> hash
    updates: dict[str, str]
    capabilities: frozenset[str] = frozenset()

    def branches(self) -> dict[str, str]:
        """Return the new commit of each branch that is not deleted."""
        prefix = "refs/heads/"
        return {
            name.removeprefix(prefix): commit
            for name, commit in self.updates.items()
            if name.startswith(prefix) and commit.strip(ZERO)
        }


def line(content: bytes) -> bytes:
    """Return one pkt-line."""
    return b"%04x%b" % (len(content) + 4, content)


def progress(text: str) -> bytes:
    """Return side-band lines whose text a git client shows after `remote: `."""
    content = text.encode()
    return b"".join(
        line(b"\x02" + content[start : start + SIDEBAND_BYTES]) for start in range(0, len(content), SIDEBAND_BYTES)
    )


def read_push(file: BinaryIO) -> Push:
    """Return what the beginning of a request to `git-receive-pack` asks for. Raises Malformed."""
    updates: dict[str, str] = {}
    capabilities: frozenset[str] = frozenset()
    for _ in range(COMMANDS_MAX):
        content = _read(file)
        if content is None:
            return Push(updates=updates, capabilities=capabilities)
        command, _, offered = content.partition(b"\0")
        if offered:
            capabilities = frozenset(offered.decode(errors="replace").split())
        parts = command.decode(errors="replace").rstrip("\n").split(" ", 2)
        if len(parts) == 3:
            updates[parts[2]] = parts[1]
    raise Malformed(f"more than {COMMANDS_MAX} references at once")


def _read(file: BinaryIO) -> bytes | None:
    """Return the content of the next pkt-line, None for a flush. Raises Malformed."""
    head = file.read(4)
    try:
        length = int(head, 16)
    except ValueError as exc:
        raise Malformed(f"no length of a line: {head!r}") from exc
    if not length:
        return None
    content = file.read(length - 4) if length > 4 else b""
    if len(content) != length - 4:
        raise Malformed("a line is shorter than it says")
    return content
