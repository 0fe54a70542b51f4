"""Zip archives: what arrives, and what is refused, by the rules of tar archives."""

import contextlib
import io
import os
import shutil
import stat
import struct
import subprocess
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from minifn.archive import unpack_main
from minifn.archive.unpack_main import Refused
from tests.archive.unpacking import run_program, unpacked
from tests.serving import Api, Server

FILE, LINK, FOLDER, PIPE = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755, (
    stat.S_IFIFO | 0o644
)  # fmt: skip


def entry(
    name: str, mode: int = FILE, system: int = unpack_main.UNIX, **fields: int
) -> zipfile.ZipInfo:
    """Return a member as Info-ZIP writes it on Unix."""
    info = zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6))
    info.create_system, info.external_attr = system, mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def zipped(*members: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    """Return a zip of these members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive, warnings.catch_warnings():
        # One name twice is what some tests are about.
        warnings.simplefilter("ignore")
        for info, data in members:
            archive.writestr(info, data)
    return content.getvalue()


def test_files_modes_links_and_times_arrive(tmp_path: Path) -> None:
    data = zipped(
        (entry("src/", FOLDER), b""),
        (entry("src/main.py"), b"code"),
        (entry("run", stat.S_IFREG | 0o4755), b"#!/bin/sh"),
        (entry("src/link.py", LINK), b"main.py"),
        (entry("\u00fc.txt"), b"name"),
        (entry("empty/", FOLDER), b""),
        (entry("stored", compress_type=zipfile.ZIP_STORED), b"s" * 1000),
    )
    assert unpacked(data, tmp_path / "out") == []
    out = tmp_path / "out"
    assert (out / "src/link.py").readlink() == Path("main.py")
    assert (out / "src/link.py").read_bytes() == b"code"
    assert (out / "\u00fc.txt").read_bytes() == b"name"
    assert stat.S_IMODE((out / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((out / "src/main.py").stat().st_mode) == 0o644
    assert (out / "src/main.py").stat().st_mtime == 1767323046
    assert (out / "empty").is_dir()
    assert (out / "stored").stat().st_size == 1000


def test_the_command_zip_is_understood(tmp_path: Path) -> None:
    """Its options: links as links, and folders without members of their own."""
    program = shutil.which("zip")
    if program is None:
        pytest.skip("zip is not on PATH: install the package zip")
    source = tmp_path / "source"
    (source / "a/b").mkdir(parents=True)
    (source / "a/b/main.py").write_text("code")
    (source / "link").symlink_to("a/b/main.py")
    for options in ("-ry", "-ryD"):
        archive = tmp_path / f"{options}.zip"
        subprocess.run([program, "-q", options, archive, "."], cwd=source, check=True)
        result = run_program(archive, tmp_path / f"out{options}")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        assert (tmp_path / f"out{options}" / "link").read_text() == "code"


def test_the_backslashes_of_windows_are_folders(tmp_path: Path) -> None:
    """As Compress-Archive of Windows PowerShell 5.1 writes them; on Unix they are characters."""
    data = zipped(
        (entry("src\\main.py", 0, system=unpack_main.DOS), b"code"),
        (entry("odd\\name"), b"x"),
    )
    assert unpacked(data, tmp_path / "out") == []
    assert (tmp_path / "out/src/main.py").read_bytes() == b"code"
    assert (tmp_path / "out/odd\\name").read_bytes() == b"x"


HOSTILE = {
    "parent": [(entry("../escaped"), b"x")],
    "parent of Windows": [(entry("..\\escaped", 0, system=unpack_main.DOS), b"x")],
    "parent in the middle": [(entry("a/../../escaped"), b"x")],
    "long name": [(entry("n" * 256), b"x")],
    "deep": [(entry("/".join("d" * 33)), b"x")],
    "fifo": [(entry("pipe", PIPE), b"")],
    "write through a link that is left out": [(entry("l", LINK), b"/tmp"), (entry("l/f"), b"x")],
    "write through a symlink": [(entry("l", LINK), b"."), (entry("l/f"), b"x")],
    "symlink over a directory": [(entry("d/f"), b"x"), (entry("d", LINK), b".")],
    "file over a symlink": [(entry("l", LINK), b"f"), (entry("l"), b"x")],
    "below a file": [(entry("f"), b"x"), (entry("f/g"), b"x")],
    "no target": [(entry("l", LINK), b""), (entry("f"), b"x")],
    "long target": [(entry("l", LINK), b"t" * 2000), (entry("f"), b"x")],
    "root is a symlink": [(entry(".", LINK), b"a"), (entry("f"), b"x")],
    "no files": [(entry("d/", FOLDER), b"")],
    "nothing": [],
    "encrypted": [(entry("f", flag_bits=unpack_main.ZIP_ENCRYPTED), b"x")],
    "another method": [(entry("f", compress_type=zipfile.ZIP_LZMA), b"x")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_members_are_refused(name: str, tmp_path: Path) -> None:
    data = zipped(*HOSTILE[name])
    if name == "encrypted":
        # The library writes no such flag: it is set in the central directory.
        place = data.index(b"PK\x01\x02")
        data = data[: place + 8] + b"\x01" + data[place + 9 :]
    with pytest.raises(Refused):
        unpacked(data, tmp_path / "out")
    assert not (tmp_path / "escaped").exists()


def test_a_leading_slash_and_links_outside_are_left_out(tmp_path: Path) -> None:
    data = zipped((entry("/abs/f"), b"x"), (entry("venv/python", LINK), b"/usr/bin/python3"))
    (note,) = unpacked(data, tmp_path / "out")
    assert note.startswith("'venv/python' is left out: it links to '/usr/bin/python3', outside")
    assert (tmp_path / "out/abs/f").read_bytes() == b"x"
    assert not os.path.lexists(tmp_path / "out/venv/python")


def test_a_bomb_ends_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack_main, "UNPACKED_BYTES_MAX", 1_000_000)
    monkeypatch.setattr(unpack_main, "GROWTH_MAX", 1)
    one = zipped(*((entry(f"zeros-{number}"), bytes(400_000)) for number in range(10)))
    with pytest.raises(Refused, match="more than is accepted"):
        unpacked(one, tmp_path / "out")
    written = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert written <= 1_000_000


@pytest.mark.filterwarnings("ignore:Overlapped entries:UserWarning")
def test_overlapping_members_count_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every entry of the directory names the same compressed bytes, as in the bombs of 2019."""
    monkeypatch.setattr(unpack_main, "UNPACKED_BYTES_MAX", 1_000_000)
    monkeypatch.setattr(unpack_main, "GROWTH_MAX", 1)
    data = zipped((entry("zeros"), bytes(400_000)))
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    directory, kernel = data[start:end], data[:start]
    copies = 10
    tail = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, copies, copies, copies * len(directory), start, 0
    )
    with pytest.raises(Refused):
        unpacked(kernel + directory * copies + tail, tmp_path / "out")
    written = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert written <= 1_000_000


@pytest.mark.parametrize("claimed", [10, 500_000])
def test_a_size_that_lies_is_refused(claimed: int, tmp_path: Path) -> None:
    data = bytearray(zipped((entry("f"), bytes(400_000))))
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = struct.pack("<L", claimed)
    with pytest.raises(Refused):
        unpacked(bytes(data), tmp_path / "out")
    assert (tmp_path / "out/f").stat().st_size <= max(claimed, 400_000)


def test_damaged_archives_are_refused_in_one_line(tmp_path: Path) -> None:
    whole = zipped((entry("a"), b"x" * 5000), (entry("b/"), b""), (entry("c"), os.urandom(5000)))
    for number, data in enumerate((whole[:40], whole[:-30], whole[:30] + whole[60:], whole[:4])):
        archive = tmp_path / f"{number}.zip"
        archive.write_bytes(data)
        result = run_program(archive, tmp_path / f"out-{number}")
        assert result.returncode == 1
        assert result.stderr == ""
        assert result.stdout.startswith("The archive could not be unpacked: ")
        assert result.stdout.count("\n") == 1


def test_bad_dates_are_dates(tmp_path: Path) -> None:
    data = bytearray(zipped((entry("f"), b"x")))
    for mark, offset in ((b"PK\x03\x04", 10), (b"PK\x01\x02", 12)):
        place = data.index(mark) + offset
        data[place : place + 4] = bytes(4)
    assert unpacked(bytes(data), tmp_path / "out") == []
    assert (tmp_path / "out/f").stat().st_mtime >= 0


def test_the_program_unpacks_a_large_directory_of_members(tmp_path: Path) -> None:
    members = ((entry(f"d/{number}"), b"") for number in range(unpack_main.MEMBERS_MAX + 1))
    archive = tmp_path / "many.zip"
    archive.write_bytes(zipped(*members))
    result = run_program(archive, tmp_path / "out")
    assert result.returncode == 1
    assert "more than 20,000 members" in result.stdout


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c"]), max_size=5).map("/".join)


@given(st.lists(st.tuples(NAMES, st.sampled_from([FILE, LINK, FOLDER]), NAMES), max_size=8))
@settings(max_examples=100)
def test_nothing_accepted_leads_outside(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, int, str]]
) -> None:
    around = tmp_path_factory.mktemp("around")
    out = around / "out"
    infos = [(entry(name or ".", mode), link.encode()) for name, mode, link in members]
    with contextlib.suppress(Refused, OSError):
        unpacked(zipped(*infos), out)
    assert list(around.iterdir()) in ([], [out])
    for folder, folders, files in os.walk(out):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink():
                with contextlib.suppress(OSError):
                    path.stat()
                    assert Path(os.path.realpath(path)).is_relative_to(out)


@given(st.binary(max_size=400), st.integers(0, 400))
@settings(max_examples=150)
def test_any_bytes_end_in_an_archive_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int
) -> None:
    whole = zipped((entry("a"), b"x" * 100), (entry("l", LINK), b"a"))
    data = b"PK\x03\x04" + whole[4 : 4 + place] + noise + whole[4 + place + len(noise) :]
    with contextlib.suppress(Refused, OSError):
        unpacked(data, tmp_path_factory.mktemp("any") / "out")


def test_a_zip_is_deployed_and_downloaded(server: Server, api: Api) -> None:
    code = b"def main(context):\n    return context.res.text('zipped')\n"
    data = zipped((entry("src/main.py"), code), (entry("venv/python", LINK), b"/usr/bin/python"))
    api.create("zipped", api.runtime("python"), entrypoint="src/main.py")
    for name in ("code.zip", "code.tar.gz"):
        uploaded = api.call(
            "POST",
            "/functions/zipped/deployments",
            202,
            files={"code": (name, data)},
            data={"activate": "true"},
        )
        deployment = api.built("zipped", uploaded["$id"])
        assert deployment["status"] == "ready", deployment["buildLogs"]
        assert "'venv/python' is left out" in deployment["buildLogs"]
        assert api.execute("zipped")["responseBody"] == "zipped"
        answer = api.http.get(f"/functions/zipped/deployments/{uploaded['$id']}/download")
        assert (answer.content, answer.headers["content-type"]) == (data, "application/zip")
        assert answer.headers["content-disposition"].endswith('-source.zip"')
    # Appwrite's CLI pulls every function of the server and unpacks tar archives alone.
    api.call("DELETE", "/functions/zipped", 204)
