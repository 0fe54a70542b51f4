"""The header Content-Range, with which SDKs name the chunk of an archive, and stored archives."""

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from minifn.archive.uploads import Chunk, parse_content_range, store_copy, store_whole
from minifn.errors import StorageInvalidContentRange
from minifn.limits import CHUNK_BYTES


@pytest.mark.parametrize(
    "header",
    ["", "bytes", "bytes 0-1", "bytes 1-0/5", "bytes 0-9/5", "items 0-4/5", "bytes 0-/5",
     "bytes -1-4/5", "bytes 5-5/5", "bytes 0-3/5", "bytes 1-4/5",
     f"bytes 0-{'9' * 40}/{'9' * 40}", "bytes 0-0/0"],
)  # fmt: skip
def test_bad_content_ranges(header: str) -> None:
    with pytest.raises(StorageInvalidContentRange):
        parse_content_range(header)


@given(st.integers(1, 40 * CHUNK_BYTES), st.data())
def test_every_chunk_of_the_grid_is_understood(total: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, (total - 1) // CHUNK_BYTES))
    start = number * CHUNK_BYTES
    end = min(start + CHUNK_BYTES, total) - 1
    chunk = parse_content_range(f"bytes {start}-{end}/{total}")
    assert chunk == Chunk(number=number, size_bytes=end - start + 1, total_bytes=total)
    assert chunk.offset == start
    assert (chunk.count - 1) * CHUNK_BYTES < total <= chunk.count * CHUNK_BYTES


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory of another file system."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        if Path(folder).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is not a file system of its own")
        yield Path(folder)


def test_archives_of_another_file_system_are_copied(elsewhere: Path, tmp_path: Path) -> None:
    (original := elsewhere / "original").write_bytes(b"archive")
    store_copy(original, tmp_path / "copy")
    store_whole(original, tmp_path / "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "whole"}
    for path in tmp_path.iterdir():
        assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"archive", 0o600)
