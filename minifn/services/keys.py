"""API keys: made, listed, deleted and verified; only the hash of a secret is kept."""

import contextlib
import hashlib
import secrets
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from minifn.errors import KeyNotFound, ProjectKeyExpired
from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.models import ApiKey
from minifn.store import api_keys
from minifn.store.database import Database
from minifn.store.paging import Page
from minifn.store.queries import Query

#: Most seconds between two looks at a verified key: another process may have deleted it.
TRUST_SECONDS = 1.0
#: Milliseconds between two notes of a key's use.
USE_MS = 60_000
_CACHED_MAX = 1000


def hash_secret(secret: str) -> str:
    """Return the SHA-256 (hex) of a secret. Secrets are 256 random bits and need no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Keys:
    """The API keys of a server. Changes by another process are noticed within TRUST_SECONDS."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: secret hash -> (key, monotonic time of the last look at the database)
        self._trusted: dict[str, tuple[ApiKey, float]] = {}

    async def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        key_id: str = "",
        expire_at: int = 0,
        description: str = "",
        functions: Sequence[str] = (),
    ) -> tuple[ApiKey, str]:
        """Create a key, perhaps for some functions; return it and its secret, shown this once.

        Raises KeyAlreadyExists.
        """
        secret = f"standard_{secrets.token_hex(32)}"
        now = now_ms()
        key = ApiKey(
            id=key_id or new_id(),
            created_at=now,
            updated_at=now,
            name=name,
            secret_hash=hash_secret(secret),
            scopes=tuple(scopes),
            expire_at=expire_at,
            description=description,
            functions=tuple(functions),
        )
        return await self._database.write(api_keys.insert, key), secret

    async def list(self) -> list[ApiKey]:
        """Return all keys in order of creation."""
        return await self._database.read(api_keys.every)

    async def page(self, query: Query, *, count: bool = True) -> Page[ApiKey]:
        """Return a page of the keys."""
        return await self._database.read_list(api_keys.page, query, count=count)

    async def get(self, key_id: str) -> ApiKey:
        """Return one key. Raises KeyNotFound."""
        key = await self._database.read(api_keys.get, key_id)
        if key is None:
            raise KeyNotFound
        return key

    async def update(
        self,
        key_id: str,
        *,
        name: str,
        scopes: Sequence[str],
        expire_at: int,
        description: str | None,
    ) -> ApiKey:
        """Change a key, whose secret stays; None keeps the description. Raises KeyNotFound."""
        changes: dict[str, Any] = {"name": name, "scopes": tuple(scopes), "expire_at": expire_at}
        if description is not None:
            changes["description"] = description
        changed = await self._database.write(_update, key_id, changes, now_ms())
        self._trusted.clear()
        return changed

    async def delete(self, key_id: str) -> bool:
        """Delete a key and refuse it from now on; tell whether it was there."""
        deleted = await self._database.write(api_keys.delete, key_id)
        self._trusted.clear()
        return deleted

    async def verify(self, secret: str) -> ApiKey | None:
        """Return the key of `secret`, None for an unknown one. Raises ProjectKeyExpired."""
        secret_hash = hash_secret(secret)
        key, looked_at = self._trusted.get(secret_hash, (None, 0.0))
        if key is None or time.monotonic() - looked_at > TRUST_SECONDS:
            key = await self._look(secret_hash)
        return _current(key)

    async def known(self, key_id: str) -> ApiKey | None:
        """Return a key by its id, None for an unknown one. Raises ProjectKeyExpired."""
        return _current(await self._database.read(api_keys.get, key_id))

    async def _look(self, secret_hash: str) -> ApiKey | None:
        looked_at = time.monotonic()
        key = await self._database.read(api_keys.by_hash, secret_hash)
        self._trusted.pop(secret_hash, None)
        if key is not None:
            if len(self._trusted) >= _CACHED_MAX:
                self._trusted.clear()
            self._trusted[secret_hash] = (key, looked_at)
            await self._note_use(key)
        return key

    async def _note_use(self, key: ApiKey) -> None:
        now = now_ms()
        if now - key.accessed_at >= USE_MS:
            # A disk that is full does not stop a request.
            with contextlib.suppress(sqlite3.Error):
                await self._database.write(api_keys.touch, key.id, now)


def _current(key: ApiKey | None) -> ApiKey | None:
    """Return a key. Raises ProjectKeyExpired."""
    if key is not None and 0 < key.expire_at <= now_ms():
        raise ProjectKeyExpired
    return key


def _update(conn: sqlite3.Connection, key_id: str, changes: dict[str, Any], now: int) -> ApiKey:
    stored = api_keys.get(conn, key_id)
    if stored is None:
        raise KeyNotFound
    changed = msgspec.structs.replace(stored, **changes, updated_at=now)
    api_keys.update(conn, changed)
    return changed
