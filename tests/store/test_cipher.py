"""Encryption of variables: the stored blobs, the key, and values of an earlier minifn."""

import asyncio
import contextlib
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir
from minifn.models import Function, Variable
from minifn.store import functions, schema, settings, variables
from minifn.store.cipher import FINGERPRINT, VariableCipher, VariablesKeyError, load_cipher
from minifn.store.connection import connect
from minifn.store.database import Database

KEY = secrets.token_hex(32)
SECRET = "the-value-nobody-may-read"


def variable(variable_id: str, value: str = SECRET) -> Variable:
    return Variable(
        id=variable_id, function_id="fn", key=variable_id.upper(), value=value, secret=True
    )


def opened(path: Path, key: str = KEY) -> None:
    """Open and close a database with a cipher, as a server's start does."""

    async def main() -> None:
        async with Database(path, VariableCipher(key)):
            pass

    asyncio.run(main())


def everything(place: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file())


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection with a cipher to a database that has the function `fn`."""
    opened(tmp_path / "minifn.db")
    with contextlib.closing(
        connect(tmp_path / "minifn.db", cipher=VariableCipher(KEY))
    ) as connection:
        functions.insert(connection, Function(id="fn", name="fn", runtime="python-3.11"))
        yield connection


@pytest.mark.parametrize("value", ["", SECRET, "ÿ€\0\n" * 100, "x" * 8192])
def test_a_value_is_read_back_and_its_row_does_not_show_it(
    conn: sqlite3.Connection, value: str
) -> None:
    stored = variables.insert(conn, variable("a", value))
    assert stored.value == value
    assert variables.get(conn, "fn", "a") == stored
    assert variables.of_function(conn, "fn") == [stored]
    assert variables.of_functions(conn, ["fn"]) == {"fn": [stored]}
    (raw,) = conn.execute("SELECT value FROM variables").fetchone()
    assert isinstance(raw, bytes)
    assert not value or value.encode() not in raw


def test_equal_values_have_different_blobs(conn: sqlite3.Connection) -> None:
    for name in ("a", "b"):
        variables.insert(conn, variable(name))
    variables.update(conn, variable("a"))
    raw = [row[0] for row in conn.execute("SELECT value FROM variables")]
    assert len(set(raw)) == 2


def test_a_blob_is_valid_in_its_own_row_only(conn: sqlite3.Connection) -> None:
    """Without the key, writing to the file can neither move nor plant a variable."""
    for name in ("a", "b"):
        variables.insert(conn, variable(name))
    for change in ("(SELECT value FROM variables WHERE id = 'b')", "'planted'", "x'00'", "x''"):
        conn.execute(f"UPDATE variables SET value = {change} WHERE id = 'a'")
        with pytest.raises(VariablesKeyError, match="the variable a cannot be decrypted"):
            variables.get(conn, "fn", "a")


def test_without_a_cipher_variables_are_neither_read_nor_written(
    conn: sqlite3.Connection, tmp_path: Path
) -> None:
    variables.insert(conn, variable("a"))
    with contextlib.closing(connect(tmp_path / "minifn.db")) as other:
        with pytest.raises(sqlite3.OperationalError, match="unseal"):
            variables.get(other, "fn", "a")
        with pytest.raises(sqlite3.OperationalError, match=r"no such function: seal"):
            variables.insert(other, variable("b"))


def test_variables_of_an_earlier_minifn_are_encrypted_at_the_first_start(tmp_path: Path) -> None:
    path = tmp_path / "minifn.db"
    with contextlib.closing(connect(path)) as conn:
        conn.execute("PRAGMA journal_mode = WAL")
        schema.migrate(conn)
        functions.insert(conn, Function(id="fn", name="fn", runtime="python-3.11"))
        for name in ("a", "b"):
            variables.TABLE.insert(conn, variable(name))
    assert SECRET.encode() in everything(tmp_path)
    opened(path)
    assert SECRET.encode() not in everything(tmp_path)
    with contextlib.closing(connect(path, cipher=VariableCipher(KEY))) as conn:
        assert [one.value for one in variables.of_function(conn, "fn")] == [SECRET, SECRET]
        assert settings.get(conn, FINGERPRINT) == VariableCipher(KEY).fingerprint
        assert KEY not in settings.get(conn, FINGERPRINT)


def test_a_failed_encryption_of_old_values_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "minifn.db"
    with contextlib.closing(connect(path)) as conn:
        schema.migrate(conn)
        functions.insert(conn, Function(id="fn", name="fn", runtime="python-3.11"))
        for name in ("a", "b"):
            variables.TABLE.insert(conn, variable(name))
        # The trigger stands for a disk that fills up half-way.
        conn.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON variables WHEN OLD.id = 'b'"
            " BEGIN SELECT raise(FAIL, 'full'); END"
        )
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        opened(path)
    with contextlib.closing(connect(path)) as conn:
        assert [row[0] for row in conn.execute("SELECT value FROM variables")] == [SECRET, SECRET]
        assert settings.get(conn, FINGERPRINT) == ""


def test_another_key_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    opened(tmp_path / "minifn.db")
    with pytest.raises(VariablesKeyError, match="encrypted with another key"):
        opened(tmp_path / "minifn.db", secrets.token_hex(32))
    opened(tmp_path / "minifn.db")


def test_the_key_is_made_once_and_a_lost_one_is_not_replaced(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    data.prepare()
    cipher = load_cipher(data, "")
    assert data.variables_key.stat().st_mode & 0o777 == 0o600
    assert load_cipher(data, "").fingerprint == cipher.fingerprint
    opened(data.database, data.variables_key.read_text().strip())
    kept = data.variables_key.read_text()
    data.variables_key.unlink()
    with pytest.raises(VariablesKeyError, match="their key is missing"):
        load_cipher(data, "")
    assert not data.variables_key.exists()
    assert load_cipher(data, kept.strip()).fingerprint == cipher.fingerprint
    data.variables_key.write_text("short\n")
    with pytest.raises(VariablesKeyError, match=f"64 hexadecimal digits: {data.variables_key}"):
        load_cipher(data, "")


def test_a_start_without_variables_does_not_load_the_library(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from pathlib import Path; from minifn.embed import Minifn\n"
        "from minifn.store.cipher import VariableCipher\n"
        "from minifn.store.database import Database\n"
        "async def main():\n"
        f"    path = Path({str(tmp_path / 'minifn.db')!r})\n"
        f"    async with Database(path, VariableCipher({KEY!r})): pass\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith('nacl')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
