"""The embedded store's connections, one a thread, and its check."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
            yield connection

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
        """SQLite's own check of every page, and of the word index against the passages; seconds a gigabyte."""
        with self._reading() as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                return f"{self.path} is damaged ({found}); move it away and ingest again, or import an archive"
            for (number,) in connection.execute("SELECT number FROM indexes").fetchall():
                words = f"words_{number}"
                connection.execute(f"INSERT INTO {words} ({words}) VALUES ('integrity-check')")
        return None


def batches(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _PARAMETERS):
        yield values[start : start + _PARAMETERS]
