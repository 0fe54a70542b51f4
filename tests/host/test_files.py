"""Trees become durable also where one system call for all of it fails."""

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from minifn.host.files import sync_tree


class Failing:
    """The C library of a machine that could not write some file of the file system."""

    @staticmethod
    def syncfs(_: int) -> int:
        return -1


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with a file, a link that leads nowhere, and a pipe that is never written to."""
    # No disk fails here.
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Failing())
    (folder := tmp_path / "tree/below").mkdir(parents=True)
    (folder / "file").write_bytes(b"content")
    (folder / "link").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    return tmp_path / "tree"


def test_each_file_is_written_when_another_of_the_file_system_was_not(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        written.append(str(path.relative_to(tree)))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    sync_tree(tree)
    assert sorted(written) == [".", "below", "below/file"]


def test_the_error_of_a_file_of_the_tree_is_raised(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", lost)
    with pytest.raises(OSError, match="Input/output error"):
        sync_tree(tree)
