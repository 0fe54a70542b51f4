"""Encryption of variables: XChaCha20-Poly1305 of libsodium, with a key outside of the database.

A stored value is a blob: a random nonce, then the ciphertext, which is bound to the variable's id.
The settings keep a fingerprint of the key, so that a wrong key is found before a value is read.
"""

import contextlib
import hashlib
import os
import sqlite3
from pathlib import Path

from minifn.config import VARIABLES_KEY
from minifn.host.datadir import DataDir
from minifn.store import settings

#: Name of the setting with the key's fingerprint.
FINGERPRINT = "variables_key"
#: Bytes of a nonce: enough for random ones never to repeat.
NONCE_BYTES = 24


class VariablesKeyError(RuntimeError):
    """The key of the variables is missing, malformed or not the one that encrypted them.

    The message is one line.
    """


class VariableCipher:
    """Encrypts and decrypts values of variables."""

    def __init__(self, key: str) -> None:
        """`key` is 64 hexadecimal digits. Raises VariablesKeyError."""
        if not VARIABLES_KEY.fullmatch(key):
            raise VariablesKeyError("the key of the variables must be 64 hexadecimal digits")
        self._key = bytes.fromhex(key)
        #: A hash that tells keys apart; a random key cannot be found from it.
        self.fingerprint = hashlib.sha256(b"minifn variables " + self._key).hexdigest()

    def seal(self, value: str, variable_id: str) -> bytes:
        """Return the blob to store for a variable's value."""
        # The import takes some 10 ms, and a server starts without it.
        from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt

        nonce = os.urandom(NONCE_BYTES)
        return nonce + encrypt(value.encode(), variable_id.encode(), nonce, self._key)

    def unseal(self, sealed: object, variable_id: str) -> str | None:
        """Return the value of a blob, None unless `seal` returned it for this variable."""
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
    """Return the cipher of a data directory.

    `given` is the key; "" takes it from its file, which is created if there is none. Raises
    VariablesKeyError, also when variables are encrypted and the file is gone.
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
    """Return the fingerprint of the key of a database's variables, "" before the first start."""
    if not database.exists():
        return ""
    with contextlib.closing(sqlite3.connect(database, timeout=10)) as conn:
        try:
            return settings.get(conn, FINGERPRINT)
        except sqlite3.OperationalError:
            # The file has no tables yet.
            return ""


def equip(conn: sqlite3.Connection, cipher: VariableCipher) -> None:
    """Define the SQL functions `seal` and `unseal`, which `variables` uses."""
    conn.create_function("seal", 2, cipher.seal)
    conn.create_function("unseal", 2, cipher.unseal)


def adopt(conn: sqlite3.Connection, cipher: VariableCipher) -> None:
    """Bind the database to this cipher, and encrypt plain values of an earlier minifn.

    All values are encrypted, or none. Raises VariablesKeyError when the database has another key.
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
        # The log still has the plain values.
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
