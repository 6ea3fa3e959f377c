"""Files with their texts and passages, in the embedded store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from haystack.schema import Document

from qa_app.stores import sqlite_schema as schema
from qa_app.stores.passage_store import check_text
from qa_app.stores.sqlite_base import SQLiteBase, batches, write_rows

#: What json.dumps would make anew for each of a passage's fields.
as_json = json.JSONEncoder(ensure_ascii=False).encode


class SQLiteFiles(SQLiteBase):
    """The methods of :class:`PassageStore` on files; each write is one transaction."""

    def write_files(self, files: Sequence[tuple[Document, Sequence[Document]]], index: str | None = None) -> list[str]:
        records, passages = {}, {}
        for file, given in files:
            check_text(file.content, f"file {file.id}")
            passages[file.id], _ = self._checked_documents(given, "overwrite")
            record = as_json({**file.meta, "passages": len(passages[file.id])})
            records[file.id] = (file.id, record, file.content, schema.seal(file.id, record, file.content))
        with self._writing() as connection:
            n = schema.create_index(connection, index or self.index)
            for some in batches(list(records)):
                places = ", ".join("?" * len(some))
                connection.execute(f"DELETE FROM documents_{n} WHERE file_id IN ({places})", some)
            write_rows(connection, f"INSERT OR REPLACE INTO files_{n} (id, meta, text, crc)", list(records.values()))
            upsert(connection, n, chain.from_iterable(passages.values()))
        return []

    def delete_files(self, ids: Sequence[str], index: str | None = None) -> int:
        with self._writing() as connection:
            n = schema.index_number(connection, index or self.index)
            if n is None:
                return 0
            removed = 0
            for id in ids:
                removed += connection.execute(f"DELETE FROM files_{n} WHERE id = ?", (id,)).rowcount
                connection.execute(f"DELETE FROM documents_{n} WHERE file_id = ?", (id,))
            return removed

    def wipe_traces(self, index: str | None = None) -> None:
        """Takes what was deleted out of the database's file too: FTS5 and SQLite leave it there until reused.

        Rewrites the word index and the file; seconds a gigabyte, and twice its size on disk meanwhile.
        """
        with self._reading() as connection:
            n = schema.index_number(connection, index or self.index)
            if n is not None:
                connection.execute(f"INSERT INTO words_{n} (words_{n}) VALUES ('optimize')")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def get_file(self, id: str, index: str | None = None) -> Document | None:
        with self._reading() as connection:
            n = schema.index_number(connection, index or self.index)
            row = n and connection.execute(f"SELECT id, text, meta FROM files_{n} WHERE id = ?", (id,)).fetchone()
            return Document(id=row[0], content=row[1], meta=json.loads(row[2])) if row else None

    def get_all_files(self, index: str | None = None, after: str = "") -> Iterator[Document]:
        last = after
        while True:
            with self._reading() as connection:
                n = schema.index_number(connection, index or self.index)
                rows = (
                    n
                    and connection.execute(
                        f"SELECT id, meta FROM files_{n} WHERE id > ? ORDER BY id LIMIT 1000", (last,)
                    ).fetchall()
                )
            if not rows:
                return
            for id, meta in rows:
                yield Document(id=id, content="", meta=json.loads(meta))
            last = rows[-1][0]

    def get_indexes(self) -> list[str]:
        with self._reading() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM indexes ORDER BY name")]


def upsert(connection: sqlite3.Connection, n: int, documents: Iterable[Document]) -> None:
    rows = [
        (
            document.id,
            document.meta.get("file_id"),
            document.content,
            as_json(document.meta),
            as_json(document.id_hash_keys),
        )
        for document in documents
    ]
    write_rows(
        connection,
        f"INSERT INTO documents_{n} ({schema.SEALED['documents']}, crc)",
        [(*row, schema.seal(*row)) for row in rows],
        "ON CONFLICT (id) DO UPDATE SET file_id = excluded.file_id, content = excluded.content,"
        " meta = excluded.meta, id_hash_keys = excluded.id_hash_keys, crc = excluded.crc",
    )
