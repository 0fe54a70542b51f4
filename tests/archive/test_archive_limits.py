"""Archives that unpack to too much, or have false sizes, are refused."""

import gzip
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from minifn.archive import unpack_main
from minifn.archive.unpack_main import Checker, Refused
from tests.archive.unpacking import run_program, unpacked
from tests.packing import member, packed


@pytest.mark.parametrize(
    "options",
    [
        ["--format=gnu"],
        *(["--format=pax", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0")),
    ],
)
def test_sparse_files_arrive_with_their_holes_filled(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with (tmp_path / "in/seed.db").open("wb") as file:
        # More holes than one header of the old format holds.
        for at in range(40):
            file.seek(at * 300_000)
            file.write(b"data %d" % at)
        file.truncate(13_000_000)
    (tmp_path / "in/main.py").write_text("x")
    command = ["tar", *options, "--sparse", "-czf", "../a.tar.gz", "seed.db", "main.py"]
    subprocess.run(command, cwd=tmp_path / "in", check=True, timeout=30)
    data = (tmp_path / "a.tar.gz").read_bytes()
    assert len(data) < 100_000
    assert unpacked(data, tmp_path / "out") == []
    assert (tmp_path / "out/seed.db").read_bytes() == (tmp_path / "in/seed.db").read_bytes()
    assert (tmp_path / "out/main.py").read_text() == "x"


def sparse(size: int, sparse_map: str) -> bytes:
    """An archive with one sparse file of no content."""
    info = member("huge")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.size": str(size),
        "GNU.sparse.map": sparse_map,
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    return buffer.getvalue()


def test_a_sparse_terabyte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="more than is accepted"):
        unpacked(sparse(10**12, f"0,0,{10**12},0"), tmp_path / "out")


@pytest.mark.parametrize(
    "sparse_map", ["0,10", "9,1,0,1", "0,-5", "-5,10", "0,0,99,1", "5,-9,0,0", "1", "x,y", ""]
)
def test_a_sparse_map_that_lies_ends_at_once(sparse_map: str, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(sparse(10, sparse_map))
    result = run_program(archive, tmp_path / "out")
    assert result.stderr == ""
    if result.returncode:
        assert result.stdout.startswith("The archive could not be unpacked: ")
    else:
        assert (tmp_path / "out/huge").stat().st_size == 10


def test_a_bomb_is_refused_before_it_is_written(tmp_path: Path) -> None:
    header = member("zeros", size=unpack_main.UNPACKED_BYTES_MAX + 1).tobuf()
    with pytest.raises(Refused, match="more than is accepted"):
        unpacked(gzip.compress(header + bytes(10_240)), tmp_path / "out")
    assert not (tmp_path / "out/zeros").exists()


def test_hard_links_count_like_the_files_they_copy() -> None:
    checker = Checker(0)
    checker.admit(member("a", size=unpack_main.UNPACKED_BYTES_MAX // 2))
    checker.admit(member("b", tarfile.LNKTYPE, "a"))
    with pytest.raises(Refused, match="more than is accepted"):
        checker.admit(member("c", tarfile.LNKTYPE, "b", size=1))


def test_a_large_archive_may_unpack_to_ten_times_its_size() -> None:
    archive_bytes = 100_000_000
    Checker(archive_bytes).admit(member("a", size=10 * archive_bytes))
    with pytest.raises(Refused):
        Checker(archive_bytes).admit(member("a", size=10 * archive_bytes + 1))


def test_too_many_members_are_refused() -> None:
    checker = Checker(0)
    for number in range(unpack_main.MEMBERS_MAX):
        checker.admit(member(f"f{number}"))
    with pytest.raises(Refused, match="members"):
        checker.admit(member("one more"))


def test_a_negative_size_ends_at_once(tmp_path: Path) -> None:
    header = bytearray(member("a").tobuf(format=tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xfe\x00"
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(bytes(header) * 2 + bytes(1024)))
    result = run_program(archive, tmp_path / "out")
    assert result.returncode == 1
    # Python 3.11.2 sees it itself, as an offset.
    assert "negative size" in result.stdout or "damaged" in result.stdout


def test_directories_count_although_they_are_no_members() -> None:
    checker = Checker(0)
    for number in range(unpack_main.ENTRIES_MAX // 4):
        checker.admit(member(f"{number}/b/c/f"))
    with pytest.raises(Refused, match="files and directories"):
        checker.admit(member("one more"))


@pytest.mark.parametrize("mtime", ["inf", "-inf", "1e400", "-1e30"])
def test_times_without_bounds_are_bounded(mtime: str, tmp_path: Path) -> None:
    info = member("f")
    info.pax_headers = {"mtime": mtime}
    assert unpacked(packed((info, b"x")), tmp_path / "out") == []
    assert 0 <= (tmp_path / "out/f").stat().st_mtime <= 2**32


def test_headers_on_headers_are_refused_in_one_line(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    name = member("long", tarfile.GNUTYPE_LONGNAME, size=5).tobuf() + b"name".ljust(512, b"\0")
    archive.write_bytes(gzip.compress(name * 2000 + bytes(1024)))
    result = run_program(archive, tmp_path / "out")
    assert (result.returncode, result.stderr) == (1, "")
    assert (
        result.stdout
        == "The archive could not be unpacked: not a readable archive (RecursionError).\n"
    )


def test_the_program_stops_at_the_file_size_limit(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(packed((member("big"), bytes(2_000_000))))
    result = run_program(archive, tmp_path / "out", "prlimit", "--fsize=1000000")
    assert result.returncode == 1
    assert "File too large" in result.stdout
