"""The files of an archive are listed and read by a program that a hostile archive cannot hurt."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from minifn.archive import ArchiveUnreadable, read_files
from minifn.archive.list_main import (
    CONTENT_BYTES_MAX,
    FILES_MAX,
    SAMPLE_BYTES,
    UNPACKED_BYTES_MAX,
    is_binary,
)
from tests.serving import pack

FILES = {
    "main.py": b"print('\xc3\xa4')\n",
    "./lib/a.txt": b"",
    "logo.png": b"\x89PNG\0\xff",
    "long.txt": b"x" * (CONTENT_BYTES_MAX + 1),
}


@pytest.fixture(params=["tar", "zip"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "code"
    if request.param == "tar":
        path.write_bytes(pack(extra=FILES))
        return path
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in FILES.items():
            packed.writestr(name, content)
        packed.mkdir("folder")
    return path


def test_files_are_listed(archive: Path) -> None:
    assert read_files(archive) == [
        {"path": name.removeprefix("./"), "size": len(content), "binary": name == "logo.png"}
        for name, content in FILES.items()
    ]


def test_a_file_is_shown(archive: Path) -> None:
    assert read_files(archive, "main.py") == {
        "path": "main.py", "size": 12, "content": "print('\u00e4')\n"
    }  # fmt: skip
    assert read_files(archive, "lib/a.txt")["content"] == ""
    for name, reason in (
        ("nothing", "no such file"),
        ("../../etc/passwd", "no such file"),
        ("/etc/passwd", "no such file"),
        ("logo.png", "not UTF-8 text"),
        ("long.txt", "1,048,577 bytes"),
    ):
        with pytest.raises(ArchiveUnreadable, match=reason):
            read_files(archive, name)


def test_links_are_not_followed(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as opened:
        for kind, name in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            opened.addfile(member)
    path = tmp_path / "code"
    path.write_bytes(packed.getvalue())
    assert read_files(path) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"\x1f\x8b\x08broken", b"text"])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "code"
    path.write_bytes(content)
    with pytest.raises(ArchiveUnreadable):
        read_files(path)


def test_a_bomb_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "code"
    member = tarfile.TarInfo("big")
    member.size = UNPACKED_BYTES_MAX + 1
    with gzip.open(path, "wb", compresslevel=1) as packed:
        packed.write(member.tobuf())
        for _ in range(member.size // 2**20 + 1):
            packed.write(bytes(2**20))
    with pytest.raises(ArchiveUnreadable, match=r"more than|too long"):
        read_files(path)


def test_too_many_files_and_memory(tmp_path: Path) -> None:
    path = tmp_path / "code"
    with zipfile.ZipFile(path, "w") as packed:
        for number in range(FILES_MAX + 1):
            packed.writestr(str(number), b"")
    with pytest.raises(ArchiveUnreadable, match="10,000 files"):
        read_files(path)


def test_text_that_is_cut_in_a_character() -> None:
    for cut in range(4):
        assert not is_binary(("a" * cut + "\u20ac" * SAMPLE_BYTES).encode()[:SAMPLE_BYTES])
    assert is_binary(b"\xe2\x82")
    assert is_binary(b"\xff" * SAMPLE_BYTES)
    assert not is_binary(b"")
