"""Deployment archives: unpacked, refused and left-out members."""

import contextlib
import errno
import gzip
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from minifn.archive import pack, unpack_main
from minifn.archive.unpack_main import Refused, leads_outside, split
from tests.archive.unpacking import run_program, unpacked
from tests.packing import member, packed


def test_files_modes_links_and_times_arrive(tmp_path: Path) -> None:
    data = packed(
        (member(".", tarfile.DIRTYPE), b""),
        (member("./src", tarfile.DIRTYPE, mode=0o700), b""),
        (member("./src/main.py", mode=0o4666), b"print()\n"),
        (member("run.sh", mode=0o6777), b"#!/bin/sh\n"),
        (member("src/deep/er/ünïcode name.txt"), b"x"),
        (member("src/bin", tarfile.SYMTYPE, "../run.sh"), b""),
        (member("copy.sh", tarfile.LNKTYPE, "./run.sh"), b""),
    )
    assert unpacked(data, tmp_path / "out") == []
    out = tmp_path / "out"
    assert (out / "src/main.py").read_bytes() == b"print()\n"
    assert (out / "src/deep/er/ünïcode name.txt").read_bytes() == b"x"
    assert (out / "src/bin").readlink() == Path("../run.sh")
    assert (out / "copy.sh").read_bytes() == b"#!/bin/sh\n"
    assert (out / "copy.sh").stat().st_ino != (out / "run.sh").stat().st_ino
    assert (out / "run.sh").stat().st_mode & 0o7111 == 0o111
    assert (out / "copy.sh").stat().st_mode & 0o100
    assert (out / "src/main.py").stat().st_mode & 0o7111 == 0
    assert (out / "run.sh").stat().st_mtime == 1_700_000_000


def test_a_file_named_twice_is_the_later_one(tmp_path: Path) -> None:
    data = packed((member("a"), b"first"), (member("a"), b"second"))
    unpacked(data, tmp_path / "out")
    assert (tmp_path / "out/a").read_bytes() == b"second"


HOSTILE = {
    "parent": [(member("../escaped"), b"x")],
    "parent in the middle": [(member("a/../../escaped"), b"x")],
    "long name": [(member("n" * 256), b"x")],
    "long path": [(member("/".join(["n" * 200] * 6)), b"x")],
    "deep": [(member("/".join("d" * 33)), b"x")],
    "device": [(member("null", tarfile.CHRTYPE), b"")],
    "block device": [(member("disk", tarfile.BLKTYPE), b"")],
    "fifo": [(member("pipe", tarfile.FIFOTYPE), b"")],
    "write through a link that is left out": [
        (member("l", tarfile.SYMTYPE, "/tmp"), b""),
        (member("l/escaped"), b"x"),
    ],
    "hard link to a link that is left out": [
        (member("l", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (member("h", tarfile.LNKTYPE, "l"), b""),
        (member("f"), b"x"),
    ],
    "write through a symlink": [(member("l", tarfile.SYMTYPE, "."), b""), (member("l/f"), b"x")],
    "symlink over a directory": [(member("d/f"), b"x"), (member("d", tarfile.SYMTYPE, "."), b"")],
    "file over a symlink": [(member("l", tarfile.SYMTYPE, "f"), b""), (member("l"), b"x")],
    "below a file": [(member("f"), b"x"), (member("f/g"), b"x")],
    "hard link outside": [(member("l", tarfile.LNKTYPE, "../escaped"), b""), (member("f"), b"x")],
    "hard link absolute": [(member("l", tarfile.LNKTYPE, "/etc/passwd"), b""), (member("f"), b"x")],
    "hard link to a symlink": [
        (member("s", tarfile.SYMTYPE, "f"), b""),
        (member("l", tarfile.LNKTYPE, "s"), b""),
    ],
    "hard link to itself": [(member("l", tarfile.LNKTYPE, "l"), b"")],
    "root is a symlink": [(member(".", tarfile.SYMTYPE, "a"), b""), (member("f"), b"x")],
    "no files": [(member("d", tarfile.DIRTYPE), b"")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_members_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        unpacked(packed(*HOSTILE[name]), tmp_path / "out")
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("place", ["", "minifn-data/", "./deep/er/data/"])
@pytest.mark.parametrize("left", [("minifn.db", "jwt.secret"), ("variables.key", "admin.key")])
def test_a_servers_data_directory_is_refused(
    place: str, left: tuple[str, str], tmp_path: Path
) -> None:
    """Ignore files may leave out some of its files."""
    data = packed((member("main.py"), b"x"), *((member(place + name), b"x") for name in left))
    with pytest.raises(Refused, match="data directory of a server, with its keys"):
        unpacked(data, tmp_path / "out")


def test_names_of_a_servers_files_are_not_its_own(tmp_path: Path) -> None:
    apart = ("minifn.db", "a/jwt.secret", "b/jwt.secret", "a/b/admin.key", "c/minifn.db/admin.key")
    unpacked(packed(*((member(name), b"x") for name in apart)), tmp_path / "out")
    assert all((tmp_path / "out" / name).exists() for name in apart)


OUTSIDE = {
    "absolute": [(member("l", tarfile.SYMTYPE, "/etc"), b"")],
    "escaping": [(member("a/l", tarfile.SYMTYPE, "../../escaped"), b"")],
    "late parent": [(member("l", tarfile.SYMTYPE, "d/.."), b"")],
    "control characters": [(member("\x1b[2J", tarfile.SYMTYPE, "/\x1b[2J\n"), b"")],
    "chained": [
        (member("x/y/root", tarfile.SYMTYPE, "../.."), b""),
        (member("x/y/out", tarfile.SYMTYPE, "root/../.."), b""),
    ],
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_links_that_lead_outside_are_left_out(name: str, tmp_path: Path) -> None:
    (note,) = unpacked(packed(*OUTSIDE[name], (member("f"), b"x")), tmp_path / "out")
    left_out = OUTSIDE[name][-1][0]
    assert note.startswith(
        f"{left_out.name!r} is left out: it links to {left_out.linkname!r}, outside"
    )
    assert note.isprintable()
    assert not os.path.lexists(tmp_path / "out" / left_out.name)
    assert (tmp_path / "out/f").read_bytes() == b"x"


def test_links_of_a_virtual_environment_are_listed_and_left_out(tmp_path: Path) -> None:
    links = [
        (member(f"venv/bin/python{at}", tarfile.SYMTYPE, "/usr/bin/python3"), b"")
        for at in range(25)
    ]
    inside = (member("venv/lib64", tarfile.SYMTYPE, "lib"), b"")
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(
        packed(*links, inside, (member("venv/lib/x.py"), b""), (member("main.py"), b"x"))
    )
    result = run_program(archive, tmp_path / "out")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert (
        lines[0]
        == "'venv/bin/python0' is left out: it links to '/usr/bin/python3', outside the archive."
    )
    assert lines[unpack_main.NOTES_MAX :] == ["5 more such links are left out."]
    assert (tmp_path / "out/venv/lib64").is_dir()


def test_links_need_no_data_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    unpacked(
        packed((member("f"), b"x"), (member("l", tarfile.SYMTYPE, "f"), b"")), tmp_path / "out"
    )
    assert (tmp_path / "out/l").read_bytes() == b"x"


@pytest.mark.parametrize(
    "name", ["Icon\r", "a\nb", "\x1b[2J", "a\x7fb", "back\\slash", " ", "\udcff", "-rf", "*"]
)
def test_odd_names_arrive(name: str, tmp_path: Path) -> None:
    assert unpacked(packed((member(name), b"x")), tmp_path / "out") == []
    assert (tmp_path / "out" / name).read_bytes() == b"x"


def test_a_leading_slash_is_left_out(tmp_path: Path) -> None:
    data = packed(
        (member("/", tarfile.DIRTYPE), b""),
        (member("/fn/main.py"), b"x"),
        (member("//fn/copy.py", tarfile.LNKTYPE, "/fn/main.py"), b""),
    )
    assert unpacked(data, tmp_path / "out") == []
    assert (tmp_path / "out/fn/copy.py").read_bytes() == b"x"


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04 not gzip", gzip.compress(b"not a tar" * 200), b"\x1f\x8b\x08"],
    ids=["empty", "other", "no tar", "cut"],
)
def test_other_files_are_refused_in_one_line(data: bytes, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(data)
    result = run_program(archive, tmp_path / "out")
    assert result.returncode == 1
    assert result.stdout.startswith("The archive could not be unpacked: ")
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_a_damaged_archive_is_never_half_accepted(tmp_path: Path) -> None:
    whole = packed((member("a"), os.urandom(3000)), (member("b"), os.urandom(3000)))
    with pytest.raises(Refused):
        unpacked(whole[: len(whole) // 2], tmp_path / "cut")
    plain = bytearray(gzip.decompress(whole))
    plain[3584 + 148] ^= 0xFF
    with pytest.raises(Refused, match="damaged"):
        unpacked(gzip.compress(bytes(plain)), tmp_path / "flipped")


def test_the_programs_exit_code_is_zero_for_an_honest_archive(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(packed((member("main.py"), b"x")))
    result = run_program(archive, tmp_path / "out")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "out/main.py").read_bytes() == b"x"


def test_a_packed_directory_unpacks_to_the_same(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "main.py").write_text("x")
    (source / "sub/run").write_text("y")
    (source / "sub/run").chmod(0o750)
    (source / "link").symlink_to("sub/run")
    os.mkfifo(source / "pipe")
    pack(source, tmp_path / "packed.tar.gz")
    assert unpacked((tmp_path / "packed.tar.gz").read_bytes(), tmp_path / "out") == []
    assert (tmp_path / "out/link").read_text() == "y"
    assert (tmp_path / "out/sub/run").stat().st_mode & 0o111
    assert not (tmp_path / "out/pipe").exists()
    with tarfile.open(tmp_path / "packed.tar.gz") as archive:
        assert {(info.uid, info.uname) for info in archive} == {(0, "")}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "packed.tar.gz", "source"]


def loops(path: Path) -> bool:
    """Tell whether a link leads to itself, which the kernel refuses to follow."""
    try:
        path.stat()
    except OSError as exc:
        return exc.errno == errno.ELOOP
    return False


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c"]), max_size=5).map("/".join)


@given(
    st.lists(st.tuples(NAMES, st.sampled_from(["file", "link", "dir", "hard"]), NAMES), max_size=8)
)
@settings(max_examples=150)
def test_nothing_accepted_leads_outside(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str, str]]
) -> None:
    kinds = {
        "file": tarfile.REGTYPE,
        "link": tarfile.SYMTYPE,
        "dir": tarfile.DIRTYPE,
        "hard": tarfile.LNKTYPE,
    }
    around = tmp_path_factory.mktemp("around")
    out = around / "out"
    infos = [member(name or ".", kinds[kind], link) for name, kind, link in entries]
    with contextlib.suppress(Refused, OSError):
        unpacked(packed(*((info, b"x" if info.isreg() else b"") for info in infos)), out)
    assert list(around.iterdir()) in ([], [out])
    for folder, folders, files in os.walk(out):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink() and not loops(path):
                assert Path(os.path.realpath(path)).is_relative_to(out)


@given(st.text(max_size=60))
def test_split_gives_plain_parts_or_refuses(name: str) -> None:
    try:
        parts = split(name)
    except Refused:
        return
    assert not {"", ".", ".."} & set(parts)
    assert not any("/" in part or "\0" in part for part in parts)


def test_a_refusal_is_one_printable_line() -> None:
    with pytest.raises(Refused) as refused:
        split("a\x1b[31m\n\udcff" + "x" * 500)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("depth", "link", "outside"),
    [
        (0, "a", False),
        (0, "..", True),
        (2, "../../a", False),
        (1, "../../a", True),
        (9, "a/..", True),
        (1, "./../a", False),
    ],
)
def test_links_that_lead_outside(depth: int, link: str, outside: bool) -> None:
    assert leads_outside(depth, link) is outside
