"""The header Content-Range, with which SDKs name the chunk of an archive."""

import pytest
from hypothesis import given, strategies as st

from minifn.archive.uploads import Chunk, parse_content_range
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
