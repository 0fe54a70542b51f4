"""The packing of a build by a process of its own."""

import asyncio
import hashlib
import os
from pathlib import Path

import psutil
import pytest

from minifn.archive import pack
from minifn.archive.apart import pack_apart
from tests.patience import patient
from tests.sandbox.commands import until


def test_a_process_packs_as_this_one_would(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a b").mkdir(parents=True)
    (source / "a b" / "c").write_text("content")
    (source / "link").symlink_to("a b/c")
    digest = asyncio.run(pack_apart(source, tmp_path / "one"))
    assert digest == pack(source, tmp_path / "two")
    content = (tmp_path / "one").read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    assert content == (tmp_path / "two").read_bytes()


def test_a_canceled_packing_ends_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    others = psutil.Process().children()
    with (source / "endless").open("wb") as file:
        os.truncate(file.fileno(), 1 << 40)

    async def main() -> None:
        packing = asyncio.create_task(pack_apart(source, target))
        await until(lambda: bool(list(tmp_path.glob("target.*"))), 20)
        packing.cancel()
        async with asyncio.timeout(patient(10)):
            await asyncio.wait([packing])
        assert packing.cancelled()

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == [source]
    assert psutil.Process().children() == others


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        asyncio.run(pack_apart(tmp_path / "missing", tmp_path / "target"))
    assert not list(tmp_path.iterdir())
