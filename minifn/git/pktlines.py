"""git's pkt-lines (four hex digits of length, then content), side-bands, and the report of a push.

See `gitprotocol-common` and `gitprotocol-pack` of git's documentation.
"""

from typing import BinaryIO

import msgspec

from minifn.log_text import printable

FLUSH = b"0000"
#: An empty side-band packet, which keeps proxies from closing a silent connection.
KEEPALIVE = b"0005\x02"
#: Most bytes of content in a side-band packet.
SIDEBAND_BYTES = 65_515
#: The side-bands of git's own answer and of text for users.
DATA, PROGRESS = b"\x01", b"\x02"
#: Most references of one push.
COMMANDS_MAX = 1000
#: The digit of which the hash of a missing reference consists.
ZERO = "0"


class Malformed(ValueError):
    """The bytes are not pkt-lines."""


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """A request to push: the new hash of each reference, and the client's capabilities."""

    #: Reference -> hash.
    updates: dict[str, str]
    capabilities: frozenset[str] = frozenset()

    @property
    def set(self) -> list[str]:
        """The references that are not deleted."""
        return [name for name, commit in self.updates.items() if commit.strip(ZERO)]

    @property
    def side_band(self) -> bool:
        """Whether the client takes an answer in side-bands."""
        return "side-band-64k" in self.capabilities

    @property
    def reports(self) -> bool:
        """Whether the client understands a report on each reference."""
        return not self.capabilities.isdisjoint(("report-status", "report-status-v2"))

    def branches(self) -> dict[str, str]:
        """Return the new commit of each branch that is not deleted."""
        prefix = "refs/heads/"
        names = [name for name in self.set if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.updates[name] for name in names}


def line(content: bytes) -> bytes:
    """Return one pkt-line."""
    return b"%04x%b" % (len(content) + 4, content)


def banded(band: bytes, content: bytes) -> bytes:
    """Return `content` as lines of a side-band."""
    pieces = (
        content[start : start + SIDEBAND_BYTES] for start in range(0, len(content), SIDEBAND_BYTES)
    )
    return b"".join(line(band + piece) for piece in pieces)


def progress(text: str) -> bytes:
    """Return side-band lines whose text a git client shows after `remote: `."""
    return banded(PROGRESS, printable(text).encode())


def refusal(push: Push, reason: str) -> bytes:
    """Return the answer that refuses a push; clients show `reason` at each reference."""
    text = " ".join(printable(reason).split())
    lines = (b"unpack ok\n", *(f"ng {name} {text}\n".encode() for name in push.updates))
    report = b"".join(map(line, lines)) + FLUSH
    return banded(DATA, report) + FLUSH if push.side_band else report


def read_push(file: BinaryIO) -> Push:
    """Return the push that a request to `git-receive-pack` begins with. Raises Malformed."""
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
        raise Malformed(f"not the length of a line: {head!r}") from exc
    if not length:
        return None
    content = file.read(length - 4) if length > 4 else b""
    if len(content) != length - 4:
        raise Malformed("a line is shorter than it says")
    return content
