"""The embedded store: one SQLite file, no server, every write a transaction.

For one machine and up to a few hundred thousand passages. Any number of processes may read and write it; writers wait
for each other.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from haystack.errors import DuplicateDocumentError
from haystack.schema import Document

from qa_app.errors import InvalidRequestError, NotFoundError
from qa_app.stores import filters as filter_language
from qa_app.stores import sqlite_schema as schema
from qa_app.stores.filter_sql import compile_sql
from qa_app.stores.metadata import checked, filterable
from qa_app.stores.passage_store import check_top_k, scaled
from qa_app.stores.sqlite_base import batches
from qa_app.stores.sqlite_files import SQLiteFiles, upsert
from qa_app.stores.sqlite_labels import SQLiteLabels
from qa_app.stores.sqlite_search import Condition, search

_COLUMNS = "id, content, meta, id_hash_keys"


class SQLiteDocumentStore(SQLiteFiles, SQLiteLabels):
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
        self.index = index
        self.label_index = label_index
        self.duplicate_documents = duplicate_documents
        self._open(path)

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
            upsert(connection, n, given)

    def update_document_meta(
        self, id: str, meta: dict[str, Any], index: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        """Merges ``meta`` into the document's metadata; raises NotFoundError."""
        with self._writing() as connection:
            n = schema.index_number(connection, index or self.index)
            found = self._by_ids(connection, n, [id]) if n else []
            if n is None or not found:
                raise NotFoundError(f"there is no document {id} in index {index or self.index}")
            merged = checked({**found[0].meta, **meta})
            connection.execute(
                f"UPDATE documents_{n} SET meta = ? WHERE id = ?", (json.dumps(merged, ensure_ascii=False), id)
            )
            schema.seal_row(connection, "documents", n, id)

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
            for some in [None] if ids is None else list(batches(ids)):
                chosen = "1" if some is None else f"id IN ({', '.join('?' * len(some))})"
                rows = connection.execute(
                    f"DELETE FROM documents_{n} WHERE {chosen} AND {condition} RETURNING file_id",
                    (*(some or ()), *parameters),
                ).fetchall()
                files.update(file_id for (file_id,) in rows if file_id)
            for file_id in files:
                left = connection.execute(
                    f"SELECT count(*) FROM documents_{n} WHERE file_id = ?", (file_id,)
                ).fetchone()[0]
                if left:
                    connection.execute(
                        f"UPDATE files_{n} SET meta = json_set(meta, '$.version', '', '$.passages', ?) WHERE id = ?",
                        (left, file_id),
                    )
                    schema.seal_row(connection, "files", n, file_id)
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
        for some in batches(list(ids)):
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
                rows = (
                    n
                    and connection.execute(
                        f"SELECT {_COLUMNS}, number FROM documents_{n} WHERE number > ? AND {condition}"
                        " ORDER BY number LIMIT ?",
                        (last, *parameters, batch_size),
                    ).fetchall()
                )
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
            row = (
                n and connection.execute(f"SELECT count(*) FROM documents_{n} WHERE {condition}", parameters).fetchone()
            )
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
            raise InvalidRequestError(
                "custom_query is in Elasticsearch's language; the embedded store does not take it"
            )
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
                for some in batches(numbers):
                    places = ", ".join("?" * len(some))
                    sql = f"SELECT {_COLUMNS}, number FROM documents_{n} WHERE number IN ({places})"
                    rows.update({row[4]: row for row in connection.execute(sql, some)})
            finally:
                connection.execute("COMMIT")
        result = []
        for number, score in ranked:
            if number not in rows:
                raise schema.damaged(self.path, "words are of a passage that is not there")
            document = _document(rows[number])
            document.score = scaled(score) if scale_score else score
            result.append(document)
        return result


def _document(row: Sequence[Any]) -> Document:
    return Document(id=row[0], content=row[1], meta=json.loads(row[2]), id_hash_keys=json.loads(row[3]))
