"""Values of variables at rest: XChaCha20-Poly1305 of libsodium, under a key that lies outside of the database.

A value in the database is a blob: a random nonce, then the ciphertext, which holds for one variable's id only. The
settings keep a fingerprint of the key, so that a wrong key is known before anything is read.
"""

import contextlib
import hashlib
import os
import sqlite3
from pathlib import Path

from minifn.config import VARIABLES_KEY
from minifn.host.datadir import DataDir
from minifn.store import settings

#: The setting with the key's fingerprint.
FINGERPRINT = "variables_key"
#: Long enough to be random.
NONCE_BYTES = 24


class VariablesKeyError(RuntimeError):
    """The key of the variables is missing, malformed or not the one they were encrypted with; one line."""


class VariableCipher:
    """Encrypts and decrypts values of variables."""

    def __init__(self, key: str) -> None:
        """`key` is 64 hexadecimal digits. Raises VariablesKeyError."""
        if not VARIABLES_KEY.fullmatch(key):
            raise VariablesKeyError("the key of the variables must be 64 hexadecimal digits")
        self._key = bytes.fromhex(key)
        #: Tells keys apart and says nothing else about them: keys are random.
        self.fingerprint = hashlib.sha256(b"minifn variables " + self._key).hexdigest()

    def seal(self, value: str, variable_id: str) -> bytes:
        """Return what is stored for a variable's value."""
        # Imported with the first variable: it takes some 10 ms, and a server starts without needing it.
        from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt

        nonce = os.urandom(NONCE_BYTES)
        return nonce + encrypt(value.encode(), variable_id.encode(), nonce, self._key)

    def unseal(self, sealed: object, variable_id: str) -> str | None:
        """Return the value that `seal` was given, None for anything it did not return for this variable."""
        from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as decrypt
        from nacl.exceptions import CryptoError

        if not isinstance(sealed, bytes) or len(sealed) < NONCE_BYTES:
            return None
        try:
            value: bytes = decrypt(
                sealed[NONCE_BYTES:], variable_id.encode(), sealed[:NONCE_BYTES], self._key
            )
        except CryptoError:
            return None
        return value.decode()


def load_cipher(data: DataDir, given: str) -> VariableCipher:
    """Return the cipher of a data directory; `given` is the key, "" for the one in its file, which is made if need be.

    Raises VariablesKeyError, also when variables are encrypted and the file is gone: a new key would be of no use.
    """
    if not given and not data.variables_key.exists() and stored_fingerprint(data.database):
        raise VariablesKeyError(
            f"the variables in {data.database} are encrypted, and their key is missing:"
            f" put back {data.variables_key} or set MINIFN_VARIABLES_KEY"
        )
    key, _ = data.keep_secret(data.variables_key, given)
    try:
        return VariableCipher(key)
    except VariablesKeyError as exc:
        raise VariablesKeyError(
            f"{exc}: {'MINIFN_VARIABLES_KEY' if given else data.variables_key}"
        ) from None


def stored_fingerprint(database: Path) -> str:
    """Return the fingerprint of the key that a database's variables are encrypted with, "" for none yet."""
    if not database.exists():
        return ""
    with contextlib.closing(sqlite3.connect(database, timeout=10)) as conn:
        try:
            return settings.get(conn, FINGERPRINT)
        except sqlite3.OperationalError:
            # A file without tables: nothing has been stored.
            return ""


def equip(conn: sqlite3.Connection, cipher: VariableCipher) -> None:
    """Teach a connection the SQL functions `seal` and `unseal`, which the store of variables uses."""
    conn.create_function("seal", 2, cipher.seal)
    conn.create_function("unseal", 2, cipher.unseal)


def adopt(conn: sqlite3.Connection, cipher: VariableCipher) -> None:
    """Make the database one of this cipher's, encrypting what an earlier minifn stored as it was, all or nothing.

    Raises VariablesKeyError when it is another cipher's.
    """
    conn.execute("PRAGMA secure_delete = ON")
    conn.execute("BEGIN IMMEDIATE")
    try:
        known = settings.get(conn, FINGERPRINT)
        if known not in ("", cipher.fingerprint):
            raise VariablesKeyError(
                "the variables in the database are encrypted with another key:"
                " put back their variables.key or MINIFN_VARIABLES_KEY"
            )
        plain = 0
        if not known:
            plain = conn.execute("UPDATE variables SET value = seal(value, id)").rowcount
            settings.put(conn, FINGERPRINT, cipher.fingerprint)
        conn.execute("COMMIT")
    except BaseException:
        conn.execute("ROLLBACK")
        raise
    conn.execute("PRAGMA secure_delete = OFF")
    if plain:
        # The log still has them as they were.
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
