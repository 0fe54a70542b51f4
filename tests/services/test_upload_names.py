"""Names of uploaded archives: `.gz` is believed, the content decides for some others."""

import asyncio
import gzip
from pathlib import Path

import pytest

from minifn.errors import StorageFileTypeUnsupported
from tests.services.test_deployments import opened

GZIPPED = gzip.compress(b"any", mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "taken"),
    [
        ("code.tar.gz", b"anything", True),
        ("CODE.GZ", b"anything", True),
        ("code.tgz", GZIPPED, True),
        ("code.zip", GZIPPED, True),
        ("code.zip", b"PK\x03\x04", False),
        ("code.tgz", b"\x1f", False),
        ("code.tar", GZIPPED, False),
        ("code", GZIPPED, False),
    ],
)
def test_names_and_contents(name: str, content: bytes, taken: bool, tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as world:
            request = world.request(world.file(content, name))
            if taken:
                deployment = await world.uploads.take(request)
                assert world.data.source(deployment.id).read_bytes() == content
            else:
                with pytest.raises(StorageFileTypeUnsupported):
                    await world.uploads.take(request)

    asyncio.run(test())
