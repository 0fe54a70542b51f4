"""Archives and build commands that attack the server which unpacks and builds them."""

import gzip
import tarfile

from tests.packing import member, packed

FILE = (member("main.py"), b"def main(context):\n    return context.res.text('built')\n")


def _negative_offset() -> bytes:
    """A member that sends the reader back to itself without end (CVE-2025-8194)."""
    header = bytearray(member("a").tobuf(format=tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xfe\x00"
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    return gzip.compress(bytes(header) * 2 + bytes(1024))


def _longer_than_any_path() -> bytes:
    """Links whose resolved path exceeds PATH_MAX, so that a check gives up (CVE-2025-4517)."""
    directory, steps = "d" * 247, "abcdefghijklmnop"
    entries, path = [], ""
    for step in steps:
        entries += [(member(f"{path}{directory}", tarfile.DIRTYPE), b"")]
        entries += [(member(f"{path}{step}", tarfile.SYMTYPE, directory), b"")]
        path += f"{directory}/"
    link = "/".join(steps) + "/" + "l" * 254
    entries += [(member(link, tarfile.SYMTYPE, "../" * len(steps)), b"")]
    entries += [(member("escape", tarfile.SYMTYPE, f"{link}/../../../../escaped"), b"")]
    entries += [(member("escape/planted"), b"x"), FILE]
    return packed(*entries)


def _headers_on_headers() -> bytes:
    """More names of one member than tarfile can recurse into."""
    name = member("long", tarfile.GNUTYPE_LONGNAME, size=5).tobuf() + b"name".ljust(512, b"\0")
    return gzip.compress(name * 2000 + bytes(1024))


def _sparse() -> bytes:
    info = member("huge")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": f"0,0,{10**12},0",
    }
    info.pax_headers["GNU.sparse.size"] = str(10**12)
    return packed((info, b""), FILE)


def _many() -> bytes:
    return gzip.compress(
        b"".join(member(f"f{number}").tobuf() for number in range(20_001)), compresslevel=1
    )


#: An archive, and a pattern in the build's log; "" when the build succeeds.
ARCHIVES = {
    "parent": (packed((member("../escaped"), b"x"), FILE), r"'\.\.' in a path"),
    "absolute": (packed((member("/tmp/escaped"), b"x"), FILE), ""),
    "symlink-out": (packed((member("l", tarfile.SYMTYPE, "../.."), b""), FILE), ""),
    "symlink-out-then-write": (
        packed((member("l", tarfile.SYMTYPE, "/tmp"), b""), (member("l/escaped"), b"x"), FILE),
        "lies below",
    ),
    "symlink-out-then-hard-link": (
        packed(
            (member("l", tarfile.SYMTYPE, "/etc/passwd"), b""),
            (member("h", tarfile.LNKTYPE, "l"), b""),
            FILE,
        ),
        "not an earlier file",
    ),
    "symlink-then-write": (
        packed((member("l", tarfile.SYMTYPE, "."), b""), (member("l/f"), b"x"), FILE),
        "lies below",
    ),
    "hard-link": (
        packed((member("l", tarfile.LNKTYPE, "/etc/passwd"), b""), FILE),
        "not an earlier file",
    ),
    "device": (
        packed((member("null", tarfile.CHRTYPE), b""), FILE),
        "only files, directories and links",
    ),
    "sparse": (_sparse(), "unpacks to more than is accepted"),
    "bomb": (
        gzip.compress(member("zeros", size=10**9).tobuf() + bytes(10**6)),
        "unpacks to more than is accepted",
    ),
    "newline": (packed((member("a\nb\x1b[2J"), b"x"), FILE), ""),
    "twice": (packed((member("main.py"), b"raise SystemExit"), FILE), ""),
    "members": (
        gzip.compress(member("f").tobuf() * 20_001, 1),
        "more than 20,000 members",
    ),
    "long-path": (_longer_than_any_path(), "path too long"),
    "negative": (_negative_offset(), "negative size"),
    "headers": (_headers_on_headers(), r"not a readable archive \(RecursionError\)"),
    "cut": (packed(FILE)[:-20], "not a readable"),
}
#: Build commands, and a pattern in their log; "" when the build succeeds. `{data}` is the server's
#: data directory, `{mark}` marks a daemon.
COMMANDS = {
    "link-to-data": ("ln -s {data} planted", "outside the deployment"),
    "link-up": ("ln -s ../../admin.key planted", "outside the deployment"),
    "read-keys": ("cat {data}/admin.key", "exited with code 1"),
    "large-file": ("truncate -s 3G large", "exited with code|file size limit"),
    "large-files": ("truncate -s 1500M a b", "larger than 2,000,000,000 bytes"),
    "daemon": (
        "(trap '' TERM HUP; exec setsid sh -c 'while :; do sleep 1; done # {mark}' >&- 2>&- <&-) &",
        "",
    ),
    "descriptor": ("sh -c 'while :; do sleep 1; done # {mark}' &", ""),
    "pipes": ("mkfifo pipe; ln main.py again", ""),
}
