"""API keys: verification, and changes by other processes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from minifn.errors import ProjectKeyExpired
from minifn.instants import now_ms
from minifn.services import keys as keys_module
from minifn.services.keys import Keys
from minifn.store.database import Database
from tests.patience import patient


def run(path: Path, scenario: Callable[[Database, Keys], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Database(path) as database:
            await scenario(database, Keys(database))

    asyncio.run(main())


def test_a_key_is_verified_by_its_secret_alone(tmp_path: Path) -> None:
    async def scenario(database: Database, keys: Keys) -> None:
        key, secret = await keys.create("ci", ["functions.read", "functions.write"])
        assert await keys.verify(secret) == key
        assert await keys.verify(secret) == key
        assert key.scopes == ("functions.read", "functions.write")
        for wrong in ("", secret[:-1], secret + "x", secret.upper(), key.secret_hash, key.id):
            assert await keys.verify(wrong) is None
        [listed] = await keys.list()
        assert listed.accessed_at >= key.created_at
        assert msgspec.structs.replace(listed, accessed_at=0) == key

    run(tmp_path / "db", scenario)
    assert b"standard_" not in (tmp_path / "db").read_bytes()


def test_a_deleted_key_is_refused_at_once(tmp_path: Path) -> None:
    async def scenario(database: Database, keys: Keys) -> None:
        key, secret = await keys.create("ci", ["functions.read"])
        assert await keys.verify(secret)
        assert await keys.delete(key.id)
        assert await keys.verify(secret) is None
        assert not await keys.delete(key.id)

    run(tmp_path / "db", scenario)


def test_an_expired_key_is_refused_with_a_reason(tmp_path: Path) -> None:
    async def scenario(database: Database, keys: Keys) -> None:
        _, secret = await keys.create("old", ["functions.read"], expire_at=now_ms() - 1)
        _, fresh = await keys.create("fresh", ["functions.read"], expire_at=now_ms() + 60_000)
        assert await keys.verify(fresh)
        for _ in range(2):
            with pytest.raises(ProjectKeyExpired):
                await keys.verify(secret)

    run(tmp_path / "db", scenario)


def test_keys_of_another_process_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "TRUST_SECONDS", 0.05)

    async def scenario(database: Database, keys: Keys) -> None:
        async with Database(tmp_path / "db") as other_database:
            other = Keys(other_database)
            key, secret = await other.create("cli", ["functions.read"])
            assert await keys.verify(secret) == key
            await other.delete(key.id)
            deadline = time.monotonic() + patient(10)
            while await keys.verify(secret) is not None:
                assert time.monotonic() < deadline

    run(tmp_path / "db", scenario)
