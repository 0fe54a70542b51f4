"""Folders that are developed: which files belong to them, and copies that follow them."""

import os
from pathlib import Path

import pytest

from minifn.archive import folders
from minifn.archive.folders import Folder, FolderRefused, copy_folder


def folder(path: Path) -> Folder:
    """A folder without what is called `left`."""
    return Folder(path=path, keeps=lambda name, _: "left" not in name.split("/"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    place = tmp_path / "source"
    (place / "below/left").mkdir(parents=True)
    (place / "left").mkdir()
    for name in ("a.py", "below/b.py", "below/left/c.py", "left/d.py"):
        (place / name).write_text(name)
    (place / "link").symlink_to("a.py")
    return place


def test_only_kept_files_and_links_belong_to_a_folder(source: Path) -> None:
    os.mkfifo(source / "pipe")
    assert [path for path, _ in folder(source).files()] == ["a.py", "below/b.py", "link"]
    assert folder(source).top() == ["a.py", "below", "link", "pipe"]
    assert list(folder(source / "missing").files()) == []


def test_a_copy_follows_its_folder(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (source / "a.py").chmod(0o755)
    before = frozenset(copy_folder(folder(source), copy))
    assert sorted(before) == ["a.py", "below/b.py", "link"]
    assert (copy / "a.py").stat().st_mode & 0o777 == 0o755
    assert (copy / "link").readlink() == Path("a.py")
    untouched = (copy / "below/b.py").stat().st_ino
    (source / "a.py").write_text("changed")
    (source / "link").unlink()
    (source / "new.py").write_text("new")
    after = copy_folder(folder(source), copy, before)
    assert sorted(after) == ["a.py", "below/b.py", "new.py"]
    assert (copy / "a.py").read_text() == "changed"
    assert not os.path.lexists(copy / "link")
    assert (copy / "below/b.py").stat().st_ino == untouched


def test_bytecode_of_the_old_file_is_removed(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy_folder(folder(source), copy)
    (copy / "__pycache__").mkdir()
    for name in ("a.cpython-313.pyc", "ab.cpython-313.pyc"):
        (copy / "__pycache__" / name).touch()
    (source / "a.py").write_text("same time, another text")
    copy_folder(folder(source), copy)
    assert [path.name for path in (copy / "__pycache__").iterdir()] == ["ab.cpython-313.pyc"]


def test_a_folder_of_too_many_files_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "FILES_MAX", 2)
    with pytest.raises(FolderRefused, match="more than 2 files"):
        copy_folder(folder(source), tmp_path / "copy")
