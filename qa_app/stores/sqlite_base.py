"""The embedded store's connections, one a thread, and its check."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

from qa_app.errors import InvalidRequestError, StoreUnavailableError
from qa_app.stores import sqlite_schema as schema
from qa_app.stores.passage_store import PassageStore
from qa_app.stores.sqlite_search import Statistics

#: Bound parameters of one statement; old builds of SQLite take 999.
_PARAMETERS = 900


class SQLiteBase(PassageStore):
    """What the parts of the embedded store share: the file and its connections."""

    path: Path

    def _open(self, path: str) -> None:
        if path == ":memory:":
            raise InvalidRequestError("the embedded store lives in a file; give a path")
        self.path = Path(path)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailableError(
                f"{self.path.parent} cannot be made ({error.strerror}); choose another data_dir"
            ) from error
        with self._reading():
            pass

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection; SQLite's errors leave as ours."""
        with schema.translated(self.path):
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = schema.connect(self.path)
                self._local.connection = connection
                self._local.statistics = Statistics()
                with self._lock:
                    self._connections.append(connection)
            try:
                yield connection
            except sqlite3.Error:
                if connection.in_transaction:  # ending it failed too, and it would stand in everybody's way
                    self._drop(connection)
                raise

    def _drop(self, connection: sqlite3.Connection) -> None:
        """Ends this thread's connection, and what it had begun; the next call opens another."""
        self._local.connection = None
        with self._lock, suppress(ValueError):  # the store may have been closed
            self._connections.remove(connection)
        connection.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection, schema.transaction(connection):
            yield connection

    def close(self) -> None:
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()

    def problem(self) -> str | None:
        """Checks every page, every row's checksum, the words against the passages, and those against the files' texts.

        Minutes a gigabyte.
        """
        with self._reading() as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            for table, seal in schema.sealed_tables(connection) if found == "ok" else []:
                if connection.execute(f"SELECT 1 FROM {table} WHERE crc <> {seal} LIMIT 1").fetchone():
                    found = f"a row of {table} is not what was written"
            for (n,) in connection.execute("SELECT number FROM indexes").fetchall() if found == "ok" else []:
                connection.execute(f"INSERT INTO words_{n} (words_{n}, rank) VALUES ('integrity-check', 1)")
                astray = connection.execute(
                    f"SELECT f.id FROM documents_{n} AS d JOIN files_{n} AS f ON f.id = d.file_id WHERE d.content <>"
                    " substr(f.text, json_extract(d.meta, '$.start') + 1,"
                    " json_extract(d.meta, '$.end') - json_extract(d.meta, '$.start')) LIMIT 1"
                ).fetchone()
                if astray:
                    found = f"a passage of file {astray[0]} does not stand in its text"
        if found == "ok":
            return None
        return str(schema.damaged(self.path, found))


def batches(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _PARAMETERS):
        yield values[start : start + _PARAMETERS]


def write_rows(connection: sqlite3.Connection, insert: str, rows: Sequence[Sequence[Any]], otherwise: str = "") -> None:
    """Runs ``insert``, which ends before VALUES, with many rows a statement; ``otherwise`` is what to do on conflict.

    FTS5 writes its words out after every statement, and another thread may take Python's lock from this one as often;
    a row a statement makes it twice the work.
    """
    columns = len(rows[0]) if rows else 1
    many = _PARAMETERS // columns
    for start in range(0, len(rows), many):
        some = rows[start : start + many]
        row = f"({', '.join('?' * columns)})"
        connection.execute(
            f"{insert} VALUES {', '.join([row] * len(some))} {otherwise}", list(chain.from_iterable(some))
        )
