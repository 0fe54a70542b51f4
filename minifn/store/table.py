"""A table whose columns are the fields of a record: the one place that makes records of rows."""

import sqlite3
from typing import Any, Generic, TypeVar

import msgspec

from minifn.models import Record

R = TypeVar("R", bound=Record)


class Table(Generic[R]):
    """Maps records of one class to rows of one table.

    Columns have the names of the fields. Tuples are stored as JSON text, booleans as 0 and 1.
    """

    def __init__(self, name: str, record: type[R]) -> None:
        fields = msgspec.structs.fields(record)
        self.name = name
        self.names = tuple(field.name for field in fields)
        self.columns = ", ".join(f"{name}.{field}" for field in self.names)
        self._record = record
        self._flags = tuple(index for index, field in enumerate(fields) if field.type is bool)
        self._lists = tuple(
            (index, msgspec.json.Decoder(field.type))
            for index, field in enumerate(fields)
            if getattr(field.type, "__origin__", None) is tuple
        )
        self._sequence = self.names.index("sequence")
        marks = ", ".join("?" * len(self.names))
        self._insert = f"INSERT INTO {name} ({', '.join(self.names)}) VALUES ({marks})"
        kept = [field for field in self.names if field not in ("id", "sequence")]
        self._kept = tuple(self.names.index(field) for field in kept)
        self._update = (
            f"UPDATE {name} SET {', '.join(f'{field} = ?' for field in kept)} WHERE id = ?"
        )

    def values(self, record: R) -> list[Any]:
        """Return the row of `record`; sequence 0 becomes NULL, so that SQLite assigns one."""
        values: list[Any] = list(msgspec.structs.astuple(record))
        for index, _ in self._lists:
            values[index] = msgspec.json.encode(values[index]).decode()
        values[self._sequence] = values[self._sequence] or None
        return values

    def record(self, row: tuple[Any, ...]) -> R:
        """Return the record of a row of `columns`."""
        values = list(row)
        for index in self._flags:
            values[index] = bool(values[index])
        for index, decoder in self._lists:
            values[index] = decoder.decode(values[index])
        return self._record(**dict(zip(self.names, values, strict=True)))

    def insert(self, conn: sqlite3.Connection, record: R) -> R:
        """Insert and return `record` with its sequence.

        Raises sqlite3.IntegrityError when the id is taken.
        """
        cursor = conn.execute(self._insert, self.values(record))
        return msgspec.structs.replace(record, sequence=cursor.lastrowid)

    def update(self, conn: sqlite3.Connection, record: R) -> bool:
        """Overwrite the row with `record`'s id; return False if there is none."""
        values = self.values(record)
        kept = [values[index] for index in self._kept]
        return conn.execute(self._update, [*kept, record.id]).rowcount > 0

    def first(self, conn: sqlite3.Connection, where: str, *values: Any) -> R | None:
        """Return the first record that matches `where` (SQL with `?`)."""
        row = conn.execute(
            f"SELECT {self.columns} FROM {self.name} WHERE {where} LIMIT 1", values
        ).fetchone()
        return None if row is None else self.record(row)

    def all(self, conn: sqlite3.Connection, where: str, *values: Any) -> list[R]:
        """Return every record that matches `where`, which may end with ORDER BY and LIMIT."""
        rows = conn.execute(f"SELECT {self.columns} FROM {self.name} WHERE {where}", values)
        return [self.record(row) for row in rows]
