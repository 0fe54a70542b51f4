"""Packed builds: what `pack` makes comes back the same, and what it cannot have made is refused."""

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from minifn.archive import pack
from minifn.archive.unpack_main import (
    BUILT_LEVELS_MAX,
    LEVELS_MAX,
    MEMBERS_MAX,
    Checker,
    Refused,
    unpack,
)
from tests.packing import member, packed

LIMIT = 1_000_000
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
PARTS = NAMES.filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)
TREES = st.dictionaries(
    PARTS,
    st.one_of(
        st.tuples(st.binary(max_size=2000), st.booleans()),
        st.dictionaries(PARTS, st.tuples(st.binary(max_size=20), st.booleans()), max_size=3),
    ),
    max_size=6,
)


def write(tree: dict[str, object], directory: Path) -> None:
    for name, entry in tree.items():
        path = directory / name
        if isinstance(entry, dict):
            path.mkdir()
            write(entry, path)
        elif isinstance(entry, tuple):
            path.write_bytes(entry[0])
            path.chmod(0o750 if entry[1] else 0o640)


def listed(directory: Path) -> dict[str, tuple[object, bool]]:
    return {
        str(path.relative_to(directory)): (
            "directory" if path.is_dir() else path.read_bytes(),
            bool(path.stat().st_mode & 0o100),
        )
        for path in directory.rglob("*")
    }


def unpacked(data: bytes, target: Path) -> list[str]:
    target.mkdir()
    return unpack(io.BytesIO(data), len(data), str(target), LIMIT)


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_a_build_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, object]
) -> None:
    place = tmp_path_factory.mktemp("packed")
    (place / "build").mkdir()
    write(tree, place / "build")
    first = pack(place / "build", place / "one.tar.gz")
    assert unpacked((place / "one.tar.gz").read_bytes(), place / "again") == []
    assert listed(place / "again") == listed(place / "build")
    # The same build has the same digest.
    assert pack(place / "build", place / "two.tar.gz") == first


def test_links_and_whole_seconds_of_times_stay(tmp_path: Path) -> None:
    build = tmp_path / "build"
    build.mkdir()
    (build / "main.py").write_text("x = 1\n")
    os.utime(build / "main.py", (1_700_000_000.5, 1_700_000_000.5))
    for name, target in (("inside", "main.py"), ("absolute", "/usr/bin/env"), ("up", "../x")):
        (build / name).symlink_to(target)
    pack(build, tmp_path / "packed.tar.gz")
    # `seal` decides about links: it knows where they may lead.
    assert unpacked((tmp_path / "packed.tar.gz").read_bytes(), tmp_path / "again") == []
    assert (tmp_path / "again" / "main.py").stat().st_mtime == 1_700_000_000
    for name in ("inside", "absolute", "up"):
        assert (tmp_path / "again" / name).readlink() == (build / name).readlink()


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (member("../out"), r"'\.\.' in a path"),
        (member("a/../../out"), r"'\.\.' in a path"),
        (member("tool", mode=0o4755), "special mode bits"),
        (member("tool", mode=0o2755), "special mode bits"),
        (member("folder", tarfile.DIRTYPE, mode=0o1777), "special mode bits"),
        (member("disk", tarfile.BLKTYPE), "only files, directories and links"),
        (member("null", tarfile.CHRTYPE), "only files, directories and links"),
        (member("pipe", tarfile.FIFOTYPE), "only files, directories and links"),
        (member("copy", tarfile.LNKTYPE, link="/etc/passwd"), "not an earlier file"),
        (member("big", size=LIMIT + 1), "unpacks to more"),
        (member("d/" * (BUILT_LEVELS_MAX + 1)), "levels deep"),
        (member("x" * 256), "path too long"),
    ],
)
def test_what_no_build_has_is_refused(entry: tarfile.TarInfo, reason: str, tmp_path: Path) -> None:
    data = packed((member("main.py"), b""), (entry, b""))
    with pytest.raises(Refused, match=reason):
        unpacked(data, tmp_path / "code")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    link = member("link", tarfile.SYMTYPE, link=str(tmp_path))
    data = packed((link, b""), (member("link/written"), b""))
    with pytest.raises(Refused, match="lies below a symbolic link"):
        unpacked(data, tmp_path / "code")
    assert not (tmp_path / "written").exists()


def test_a_build_may_have_more_files_and_levels_than_an_archive() -> None:
    checker = Checker(0, LIMIT)
    checker.admit(member("d/" * LEVELS_MAX + "x"))
    for number in range(MEMBERS_MAX):
        checker.admit(member(f"f{number}"))
    assert checker.files == MEMBERS_MAX + 1
