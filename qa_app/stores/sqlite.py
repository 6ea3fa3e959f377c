"""The embedded store: one SQLite file, no server, every write a transaction.

For one machine and up to a few hundred thousand passages. Any number of processes may read and write it; writers wait
for each other.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from haystack.errors import DuplicateDocumentError
from haystack.schema import Document, Label

from qa_app.errors import InvalidRequestError, NotFoundError
from qa_app.stores import filters as filter_language
from qa_app.stores import sqlite_schema as schema
from qa_app.stores.filter_sql import compile_sql
from qa_app.stores.metadata import checked
from qa_app.stores.passage_store import PassageStore, check_text, check_top_k, scaled
from qa_app.stores.sqlite_search import Condition, Statistics, search

#: Bound parameters of one statement; old builds of SQLite take 999.
_PARAMETERS = 900
_COLUMNS = "id, content, meta, id_hash_keys"


class SQLiteDocumentStore(PassageStore):
    """A Haystack keyword document store in the file ``path``, made with its folder if it is not there.

    ``path=":memory:"`` is refused: threads would each see a database of their own.
    """

    def __init__(
        self,
        path: str,
        index: str = "documents",
        label_index: str = "labels",
        duplicate_documents: str = "overwrite",
    ) -> None:
        super().__init__()
        if path == ":memory:":
            raise InvalidRequestError("the embedded store lives in a file; give a path")
        self.path = Path(path)
        self.index = index
        self.label_index = label_index
        self.duplicate_documents = duplicate_documents
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            from qa_app.errors import StoreUnavailableError

            raise StoreUnavailableError(f"{self.path.parent} cannot be made: {error.strerror}") from error
        with self._reading():
            pass

    # -- connections ---------------------------------------------------------------------------------------------------

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

    # -- files ---------------------------------------------------------------------------------------------------------

    def write_files(self, files: Sequence[tuple[Document, Sequence[Document]]], index: str | None = None) -> list[str]:
        prepared = []
        for file, passages in files:
            check_text(file.content, f"file {file.id}")
            documents, _ = self._checked_documents(passages, "overwrite")
            meta = {**file.meta, "passages": len(documents)}
            prepared.append((file.id, json.dumps(meta, ensure_ascii=False), file.content, documents))
        with self._writing() as connection:
            n = schema.create_index(connection, index or self.index)
            for id, meta, text, documents in prepared:
                connection.execute(f"DELETE FROM documents_{n} WHERE file_id = ?", (id,))
                connection.execute(f"INSERT OR REPLACE INTO files_{n} (id, meta, text) VALUES (?, ?, ?)", (id, meta, text))
                self._upsert(connection, n, documents)
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

    def get_file(self, id: str, index: str | None = None) -> Document | None:
        with self._reading() as connection:
            n = schema.index_number(connection, index or self.index)
            row = n and connection.execute(f"SELECT id, text, meta FROM files_{n} WHERE id = ?", (id,)).fetchone()
            return Document(id=row[0], content=row[1], meta=json.loads(row[2])) if row else None

    def get_all_files(self, index: str | None = None) -> Iterator[Document]:
        last = ""
        while True:
            with self._reading() as connection:
                n = schema.index_number(connection, index or self.index)
                rows = n and connection.execute(
                    f"SELECT id, meta FROM files_{n} WHERE id > ? ORDER BY id LIMIT 1000", (last,)
                ).fetchall()
            if not rows:
                return
            for id, meta in rows:
                yield Document(id=id, content="", meta=json.loads(meta))
            last = rows[-1][0]

    def get_indexes(self) -> list[str]:
        with self._reading() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM indexes ORDER BY name")]

    # -- writing documents ---------------------------------------------------------------------------------------------

    def write_documents(
        self,
        documents: Sequence[Document | dict[str, Any]],
        index: str | None = None,
        batch_size: int = 10_000,
        duplicate_documents: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        given, mode = self._checked_documents(documents, duplicate_documents)
        with self._writing() as connection:
            n = schema.create_index(connection, index or self.index)
            if mode != "overwrite":
                present = {document.id for document in self._by_ids(connection, n, [d.id for d in given])}
                if present and mode == "fail":
                    raise DuplicateDocumentError(f"documents are there already: {', '.join(sorted(present)[:5])}")
                given = [document for document in given if document.id not in present]
            self._upsert(connection, n, given)

    @staticmethod
    def _upsert(connection: sqlite3.Connection, n: int, documents: Iterable[Document]) -> None:
        connection.executemany(
            f"INSERT INTO documents_{n} (id, file_id, content, meta, id_hash_keys) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET file_id = excluded.file_id, content = excluded.content,"
            " meta = excluded.meta, id_hash_keys = excluded.id_hash_keys",
            (
                (
                    document.id,
                    document.meta.get("file_id"),
                    document.content,
                    json.dumps(document.meta, ensure_ascii=False),
                    json.dumps(document.id_hash_keys),
                )
                for document in documents
            ),
        )

    def update_document_meta(
        self, id: str, meta: dict[str, Any], index: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        """Merges ``meta`` into the document's metadata; raises NotFoundError."""
        with self._writing() as connection:
            n = schema.index_number(connection, index or self.index)
            found = self._by_ids(connection, n, [id]) if n else []
            if not found:
                raise NotFoundError(f"there is no document {id} in index {index or self.index}")
            merged = checked({**found[0].meta, **meta})
            connection.execute(
                f"UPDATE documents_{n} SET meta = ? WHERE id = ?", (json.dumps(merged, ensure_ascii=False), id)
            )

    def delete_documents(
        self,
        index: str | None = None,
        ids: list[str] | None = None,
        filters: Any = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Removes the documents that have one of ``ids`` and match ``filters``, whichever are given.

        A file that loses all its passages goes with them; one that loses some is indexed anew by the next ingestion.
        """
        clause = self._deletion(ids, filters)
        condition, parameters = compile_sql(clause, "meta") if clause else ("1", [])
        with self._writing() as connection:
            n = schema.index_number(connection, index or self.index)
            if n is None:
                return
            files: set[str] = set()
            for some in [None] if ids is None else list(_batches(ids)):
                chosen = "1" if some is None else f"id IN ({', '.join('?' * len(some))})"
                rows = connection.execute(
                    f"DELETE FROM documents_{n} WHERE {chosen} AND {condition} RETURNING file_id",
                    (*(some or ()), *parameters),
                ).fetchall()
                files.update(file_id for (file_id,) in rows if file_id)
            for file_id in files:
                left = connection.execute(f"SELECT count(*) FROM documents_{n} WHERE file_id = ?", (file_id,)).fetchone()[0]
                if left:
                    connection.execute(
                        f"UPDATE files_{n} SET meta = json_set(meta, '$.version', '', '$.passages', ?) WHERE id = ?",
                        (left, file_id),
                    )
                else:
                    connection.execute(f"DELETE FROM files_{n} WHERE id = ?", (file_id,))

    def _delete_everything(self, index: str) -> None:
        with self._writing() as connection:
            if schema.index_number(connection, index) is not None:
                schema.drop_index(connection, index)
                schema.create_index(connection, index)

    def delete_index(self, index: str) -> None:
        with self._writing() as connection:
            schema.drop_index(connection, index)
            connection.execute("DELETE FROM labels WHERE index_name = ?", (index,))

    # -- reading documents ---------------------------------------------------------------------------------------------

    def get_documents_by_id(
        self, ids: list[str], index: str | None = None, batch_size: int = 10_000, headers: dict[str, str] | None = None
    ) -> list[Document]:
        with self._reading() as connection:
            n = schema.index_number(connection, index or self.index)
            return self._by_ids(connection, n, ids) if n else []

    @staticmethod
    def _by_ids(connection: sqlite3.Connection, n: int, ids: Sequence[str]) -> list[Document]:
        found = {}
        for some in _batches(list(ids)):
            places = ", ".join("?" * len(some))
            for row in connection.execute(f"SELECT {_COLUMNS} FROM documents_{n} WHERE id IN ({places})", some):
                found[row[0]] = _document(row)
        return [found[id] for id in dict.fromkeys(ids) if id in found]

    def get_all_documents_generator(
        self,
        index: str | None = None,
        filters: Any = None,
        return_embedding: bool | None = None,
        batch_size: int = 10_000,
        headers: dict[str, str] | None = None,
    ) -> Iterator[Document]:
        clause = filter_language.parse(filters)
        condition, parameters = compile_sql(clause, "meta") if clause else ("1", [])
        if isinstance(filters, dict) and isinstance(filters.get("file_id"), str):
            condition, parameters = f"file_id = ? AND {condition}", [filters["file_id"], *parameters]
        last = 0
        while True:
            with self._reading() as connection:
                n = schema.index_number(connection, index or self.index)
                rows = n and connection.execute(
                    f"SELECT {_COLUMNS}, number FROM documents_{n} WHERE number > ? AND {condition}"
                    " ORDER BY number LIMIT ?",
                    (last, *parameters, batch_size),
                ).fetchall()
            if not rows:
                return
            yield from map(_document, rows)
            last = rows[-1][4]

    def get_document_count(
        self,
        filters: Any = None,
        index: str | None = None,
        only_documents_without_embedding: bool = False,
        headers: dict[str, str] | None = None,
    ) -> int:
        clause = filter_language.parse(filters)
        condition, parameters = compile_sql(clause, "meta") if clause else ("1", [])
        with self._reading() as connection:
            n = schema.index_number(connection, index or self.index)
            row = n and connection.execute(f"SELECT count(*) FROM documents_{n} WHERE {condition}", parameters).fetchone()
            return int(row[0]) if row else 0

    def get_metadata_values_by_key(
        self,
        key: str,
        query: str | None = None,
        filters: Any = None,
        index: str | None = None,
        headers: dict[str, str] | None = None,
        batch_size: int = 10,
    ) -> list[dict[str, Any]]:
        """Values of a metadata field with their counts, ``[{"value": .., "count": ..}]``, the most frequent first."""
        counts: dict[tuple[type, Any], int] = {}
        if query is not None:
            documents: Iterable[Document] = self.query(query, filters=filters, top_k=10_000, index=index)
        else:
            documents = self.get_all_documents_generator(index=index, filters=filters)
        from qa_app.stores.metadata import filterable

        for document in documents:
            for value in set(filterable(document.meta.get(key))):
                counts[type(value), value] = counts.get((type(value), value), 0) + 1
        ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0][1])))
        return [{"value": value, "count": count} for (_, value), count in ordered]

    def query(
        self,
        query: str | None,
        filters: Any = None,
        top_k: int = 10,
        custom_query: str | None = None,
        index: str | None = None,
        headers: dict[str, str] | None = None,
        all_terms_must_match: bool = False,
        scale_score: bool = True,
    ) -> list[Document]:
        """The ``top_k`` documents that fit the query best by BM25, best first; without a query, those that match."""
        check_top_k(top_k)
        if custom_query is not None:
            raise InvalidRequestError("custom_query is in Elasticsearch's language; the embedded store does not take it")
        if query is None:
            found = self.get_all_documents_generator(index=index, filters=filters, batch_size=top_k)
            return [document for _, document in zip(range(top_k), found)]
        clause = filter_language.parse(filters)
        condition: Condition | None = compile_sql(clause, "d.meta") if clause else None
        with self._reading() as connection:
            n = schema.index_number(connection, index or self.index)
            if n is None:
                return []
            connection.execute("BEGIN")  # ranking and passages come from one state of the database
            try:
                ranked = search(connection, self._local.statistics, n, query, top_k, all_terms_must_match, condition)
                numbers = [number for number, _ in ranked]
                rows = {}
                for some in _batches(numbers):
                    places = ", ".join("?" * len(some))
                    sql = f"SELECT {_COLUMNS}, number FROM documents_{n} WHERE number IN ({places})"
                    rows.update({row[4]: row for row in connection.execute(sql, some)})
            finally:
                connection.execute("COMMIT")
        result = []
        for number, score in ranked:
            document = _document(rows[number])
            document.score = scaled(score) if scale_score else score
            result.append(document)
        return result

    # -- labels --------------------------------------------------------------------------------------------------------

    def write_labels(
        self,
        labels: Sequence[Label | dict[str, Any]],
        index: str | None = None,
        headers: dict[str, str] | None = None,
        batch_size: int = 10_000,
    ) -> None:
        name = index or self.label_index
        rows = [
            (name, label.id, label.to_json(), json.dumps(_label_fields(label), ensure_ascii=False))
            for label in self._checked_labels(labels)
        ]
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO labels (index_name, id, body, meta) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (index_name, id) DO UPDATE SET body = excluded.body, meta = excluded.meta",
                rows,
            )

    def get_all_labels(
        self, index: str | None = None, filters: Any = None, headers: dict[str, str] | None = None
    ) -> list[Label]:
        clause = filter_language.parse(filters)
        condition, parameters = compile_sql(clause, "meta") if clause else ("1", [])
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT body FROM labels WHERE index_name = ? AND {condition} ORDER BY sequence",
                (index or self.label_index, *parameters),
            ).fetchall()
        return [Label.from_json(body) for (body,) in rows]

    def get_label_count(self, index: str | None = None, headers: dict[str, str] | None = None) -> int:
        with self._reading() as connection:
            row = connection.execute("SELECT count(*) FROM labels WHERE index_name = ?", (index or self.label_index,))
            return int(row.fetchone()[0])

    def delete_labels(
        self,
        index: str | None = None,
        ids: list[str] | None = None,
        filters: Any = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Removes labels by ids and filters; without either, all labels of the index, as Haystack has it."""
        clause = None if filters is None else filter_language.parse_required(filters)
        condition, parameters = compile_sql(clause, "meta") if clause else ("1", [])
        with self._writing() as connection:
            for some in [None] if ids is None else list(_batches(ids)):
                chosen = "1" if some is None else f"id IN ({', '.join('?' * len(some))})"
                connection.execute(
                    f"DELETE FROM labels WHERE index_name = ? AND {chosen} AND {condition}",
                    (index or self.label_index, *(some or ()), *parameters),
                )


def _batches(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _PARAMETERS):
        yield values[start : start + _PARAMETERS]


def _document(row: Sequence[Any]) -> Document:
    return Document(id=row[0], content=row[1], meta=json.loads(row[2]), id_hash_keys=json.loads(row[3]))


def _label_fields(label: Label) -> dict[str, Any]:
    """What labels can be filtered by: their own fields and their metadata."""
    fields = {
        "id": label.id,
        "query": label.query,
        "origin": label.origin,
        "is_correct_answer": label.is_correct_answer,
        "is_correct_document": label.is_correct_document,
        "pipeline_id": label.pipeline_id,
        "created_at": label.created_at,
        "updated_at": label.updated_at,
        "document_id": label.document.id,
    }
    return {**(label.meta or {}), **{key: value for key, value in fields.items() if value is not None}}
