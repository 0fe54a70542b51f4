"""Fixtures of the services' tests."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir
from minifn.instants import now_ms
from minifn.models import Deployment, Function
from minifn.store import deployments, functions
from minifn.store.cipher import VariableCipher
from minifn.store.database import Database
from tests.services.functions import Run, run_on
from tests.serving import FUNCTIONS, pack

ARCHIVE = pack(FUNCTIONS / "hello")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a scenario with services over a fresh database."""
    return run_on(tmp_path / "minifn.db")


@pytest.fixture
def kept(tmp_path: Path) -> DataDir:
    """A data directory with a function, its keys, and an active, a newer and an open deployment."""
    data = DataDir(tmp_path / "kept")
    data.prepare()
    data.keep_secret(data.admin_key, "")
    data.keep_secret(data.jwt_secret, "")

    def fill(conn: sqlite3.Connection) -> None:
        functions.insert(conn, Function(id="fn", name="fn", runtime="python-3.11"))
        for deployment_id in ("old", "new", "part"):
            whole = deployment_id != "part"
            deployments.insert(
                conn,
                Deployment(
                    id=deployment_id,
                    function_id="fn",
                    entrypoint="main.py",
                    status="ready" if whole else "waiting",
                    activate=True,
                    build_logs="built",
                    chunks_uploaded=1 if whole else 0,
                ),
            )
            (data.source if whole else data.upload)(deployment_id).write_bytes(ARCHIVE)
        deployments.activate(conn, "fn", "old", now_ms())

    async def prepare() -> None:
        key, _ = data.keep_secret(data.variables_key, "")
        async with Database(data.database, VariableCipher(key)) as database:
            await database.write(fill)

    asyncio.run(prepare())
    return data
