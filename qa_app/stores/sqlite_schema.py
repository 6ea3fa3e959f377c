"""The tables of the embedded store, and its connections."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qa_app.errors import SettingsError, StoreDamagedError, StoreError, StoreFullError, StoreUnavailableError

#: "qaap" in ASCII, so that `file` and we can tell our database from others.
APPLICATION_ID = 0x71616170
SCHEMA_VERSION = 2
#: Seconds a writer waits for another process's transaction.
BUSY_SECONDS = 60.0

_SCHEMA = f"""
CREATE TABLE indexes (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE labels (
    sequence INTEGER PRIMARY KEY, index_name TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, meta TEXT NOT NULL,
    crc INTEGER, UNIQUE (index_name, id)
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""

# Tables per index: word statistics stay apart, and an index is dropped at once. The full-text table keeps no copy of
# the text ("external content"); the triggers keep both in step.
_INDEX = """
CREATE TABLE files_{n} (id TEXT PRIMARY KEY, meta TEXT NOT NULL, text TEXT NOT NULL, crc INTEGER);
CREATE TABLE documents_{n} (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, file_id TEXT, content TEXT NOT NULL, meta TEXT NOT NULL,
    id_hash_keys TEXT NOT NULL, crc INTEGER
);
CREATE INDEX documents_{n}_by_file ON documents_{n} (file_id) WHERE file_id IS NOT NULL;
CREATE VIRTUAL TABLE words_{n} USING fts5 (
    content, content='documents_{n}', content_rowid='number', tokenize='porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER documents_{n}_inserted AFTER INSERT ON documents_{n} BEGIN
    INSERT INTO words_{n} (rowid, content) VALUES (new.number, new.content);
END;
CREATE TRIGGER documents_{n}_deleted AFTER DELETE ON documents_{n} BEGIN
    INSERT INTO words_{n} (words_{n}, rowid, content) VALUES ('delete', old.number, old.content);
END;
CREATE TRIGGER documents_{n}_updated AFTER UPDATE OF content ON documents_{n} BEGIN
    INSERT INTO words_{n} (words_{n}, rowid, content) VALUES ('delete', old.number, old.content);
    INSERT INTO words_{n} (rowid, content) VALUES (new.number, new.content);
END;
"""
#: A table, without its index's number -> the columns that its ``crc`` is of. SQLite itself keeps no checksums.
SEALED = {
    "files": "id, meta, text",
    "documents": "id, file_id, content, meta, id_hash_keys",
    "labels": "index_name, id, body, meta",
}
_DROP_INDEX = """
DROP TABLE words_{n};
DROP TABLE documents_{n};
DROP TABLE files_{n};
"""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into ours, naming the database."""
    try:
        yield
    except UnicodeDecodeError as error:  # in SQLite's own words, which name what is damaged
        raise damaged(path, str(error)) from error
    except sqlite3.Error as error:
        text = str(error).partition(" with text ")[0]  # where it quotes what a document says
        if "locked" in text or "busy" in text:
            raise StoreUnavailableError(
                f"{path} is held by another process for over {BUSY_SECONDS:.0f} s; try again"
            ) from error
        if "disk is full" in text or "readonly" in text or "disk I/O" in text:
            raise StoreFullError(f"{path} cannot be written ({text}); free space or mend its permissions") from error
        if "unable to open" in text:
            raise StoreUnavailableError(f"{path} cannot be opened; see that its folder exists and is yours") from error
        signs = ("malformed", "not a database", "corrupt", "unsupported file", "decode to UTF-8")
        if any(sign in text for sign in signs):
            raise damaged(path, text) from error
        raise StoreError(f"{path}: {text}") from error


def damaged(path: Path, what: str) -> StoreDamagedError:
    """The error for a database that does not hold what was written."""
    return StoreDamagedError(
        f"{path} is damaged ({what}); move it away and ingest the documents again, or import an archive"
    )


def connect(path: Path) -> sqlite3.Connection:
    """A connection with the schema in place; autocommit, so that every transaction is ours to begin."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # An acknowledged write survives a power cut, not only the end of the process.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("PRAGMA mmap_size = 1073741824")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.create_function("seal", -1, seal, deterministic=True)
        _ensure_schema(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _ensure_schema(connection: sqlite3.Connection, path: Path) -> None:
    def versions() -> tuple[int, int]:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        return application, connection.execute("PRAGMA user_version").fetchone()[0]

    if versions() == (0, 0):
        with transaction(connection):
            # Another process may have been first.
            if versions() == (0, 0):
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    raise SettingsError(f"{path} is another program's database; choose another data_dir")
                run_script(connection, _SCHEMA)
    application, version = versions()
    if application != APPLICATION_ID:
        raise SettingsError(f"{path} is another program's database; choose another data_dir")
    if version == 1:
        with transaction(connection):
            if versions()[1] == 1:
                _add_seals(connection)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer qa_app (schema {version}, this one knows {SCHEMA_VERSION}); upgrade"
        )


def _add_seals(connection: sqlite3.Connection) -> None:
    for table, seal in sealed_tables(connection):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN crc INTEGER")
        connection.execute(f"UPDATE {table} SET crc = {seal}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def sealed_tables(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every table whose rows have a checksum, and what it should be."""
    numbers = [n for (n,) in connection.execute("SELECT number FROM indexes")]
    tables = [(f"{kind}_{n}", _seal_of(kind)) for n in numbers for kind in ("files", "documents")]
    return [*tables, ("labels", _seal_of("labels"))]


def seal_row(connection: sqlite3.Connection, kind: str, n: int, id: str) -> None:
    """Gives a row that was changed in place its checksum."""
    connection.execute(f"UPDATE {kind}_{n} SET crc = {_seal_of(kind)} WHERE id = ?", (id,))


def _seal_of(kind: str) -> str:
    # As bytes, since a damaged text may be none.
    return f"seal({', '.join(f'CAST({column} AS BLOB)' for column in SEALED[kind].split(', '))})"


def seal(*values: str | bytes | None) -> int:
    """The checksum of a row's values."""
    return zlib.crc32(b"\0".join(value.encode() if isinstance(value, str) else value or b"" for value in values))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, and the only writer meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Runs statements inside the transaction at hand; ``executescript`` would commit it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def index_number(connection: sqlite3.Connection, name: str) -> int | None:
    """The number in the index's table names, or None where there is no such index."""
    row = connection.execute("SELECT number FROM indexes WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def create_index(connection: sqlite3.Connection, name: str) -> int:
    """The number of the index, made if need be; inside a transaction."""
    number = index_number(connection, name)
    if number is None:
        number = connection.execute("INSERT INTO indexes (name) VALUES (?)", (name,)).lastrowid
        assert number is not None
        run_script(connection, _INDEX.format(n=number))
    return number


def drop_index(connection: sqlite3.Connection, name: str) -> None:
    """Removes an index with its tables, where there is one; inside a transaction."""
    number = index_number(connection, name)
    if number is not None:
        run_script(connection, _DROP_INDEX.format(n=number))
        connection.execute("DELETE FROM indexes WHERE number = ?", (number,))
