"""The values of secret variables, from the data directory of this machine's own server."""

import asyncio
import sqlite3
from collections.abc import Mapping

from minifn.cli.connecting import note
from minifn.cli.options import configuration
from minifn.host.datadir import DataDir
from minifn.services.variables import VariableService
from minifn.store.cipher import VariablesKeyError, load_cipher
from minifn.store.database import Database
from minifn.store.schema import DatabaseTooNew


class SecretValues:
    """Reads the secret variables of functions; without a data directory none are known."""

    def __init__(self, data: DataDir | None) -> None:
        self._data = data

    def of(self, function_id: str) -> Mapping[str, str]:
        """Return the values by key, none when the data directory cannot be read."""
        if self._data is None:
            return {}
        key = configuration(data=str(self._data.root)).variables_key
        try:
            return asyncio.run(self._read(self._data, key, function_id))
        except (OSError, sqlite3.Error, VariablesKeyError, DatabaseTooNew) as error:
            note(f"minifn: secret variables cannot be read from {self._data.root}: {error}")
            self._data = None
            return {}

    async def _read(self, data: DataDir, key: str, function_id: str) -> dict[str, str]:
        async with Database(data.database, load_cipher(data, key)) as database:
            variables = VariableService(database)
            return {one.key: one.value async for one in variables(function_id) if one.secret}
