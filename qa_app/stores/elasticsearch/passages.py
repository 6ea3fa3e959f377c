"""Writing and deleting documents, passages of files or not."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from haystack.errors import DuplicateDocumentError
from haystack.schema import Document

from qa_app.errors import ConflictError, NotFoundError
from qa_app.stores.elasticsearch.bulk import delete, put, send
from qa_app.stores.elasticsearch.connection import Connection
from qa_app.stores.elasticsearch.documents import key_of, source_of
from qa_app.stores.elasticsearch.files import LOOSE, Files
from qa_app.stores.elasticsearch.journal import Journal, Journals
from qa_app.stores.elasticsearch.mapping import Names
from qa_app.stores.elasticsearch.records import Record
from qa_app.stores.elasticsearch.search import IDS, PAGE, Query, Search
from qa_app.stores.elasticsearch.tokens import tokens_of
from qa_app.stores.metadata import checked


class Passages:
    """The documents of a server's indexes, to be changed."""

    def __init__(self, connection: Connection, journals: Journals, files: Files) -> None:
        self._connection = connection
        self._journals = journals
        self._files = files
        self._search = Search(connection, journals)

    def write(self, names: Names, documents: Sequence[Document], mode: str) -> None:
        """Writes documents with distinct ids; ``mode`` is one of passage_store.DUPLICATES."""
        journal = self._journals.read(names)
        if not journal.loose:
            journal = self._journals.change(names, _loosen)
        for start in range(0, len(documents), IDS):
            self._write(names, documents[start : start + IDS], mode, journal)
        self._connection.refresh(names.documents)

    def _write(self, names: Names, documents: Sequence[Document], mode: str, journal: Journal) -> None:
        there: dict[str, Mapping[str, Any]] = {}
        if mode != "overwrite" or journal.next > 1:
            # A passage of a file lies under a key of its own, which only a search finds.
            self._files.publish(names)
            query = {"terms": {"id": [document.id for document in documents]}}
            hits = self._search.scan(names.index, query, ["id", "file_id", "version"], PAGE)
            there = {hit["_source"]["id"]: {**hit["_source"], "_id": hit["_id"]} for hit in hits}
        if there and mode == "fail":
            raise DuplicateDocumentError(f"documents are there already: {', '.join(sorted(there)[:5])}")
        if mode != "overwrite":
            documents = [document for document in documents if document.id not in there]
        mine = f"{LOOSE}{secrets.token_hex(8)}"
        operations, leaving = [], []
        for document in documents:
            key, version = key_of(document.id), (LOOSE, mine)
            old = there.get(document.id)
            if old is not None and old["_id"] != key:
                if old.get("file_id") == document.meta.get("file_id"):
                    # It stays its file's passage, and goes when the file is replaced.
                    key, version = old["_id"], tuple(old["version"])
                else:
                    leaving.append(delete(old["_id"]))
            operations.append(put(key, source_of(document, version), f"document {document.id}", mode != "overwrite"))
        conflicts = send(self._connection, names.writing(names.documents), [*operations, *leaving])
        beaten = [key for key in conflicts if mine not in self._version(names, key)]
        if beaten and mode == "fail":
            raise DuplicateDocumentError(f"another process wrote {len(beaten)} of the documents just now")

    def update_meta(self, names: Names, id: str, meta: Mapping[str, Any]) -> None:
        """Merges ``meta`` into the document's; raises NotFoundError."""
        for _ in range(20):
            hits = list(self._search.scan(names.index, {"term": {"id": id}}, ["id"], 10))
            if not hits:
                break
            key = hits[0]["_id"]
            client = self._connection.client.options(ignore_status=(404, 409))
            now = self._connection.call(client.get, index=names.writing(names.documents), id=key).body
            if not now.get("found"):
                break
            source = now["_source"]
            merged = checked({**source["meta"], **meta})
            answer = self._connection.call(
                client.index,
                index=names.writing(names.documents),
                id=key,
                document={**source, "meta": merged, "fields": tokens_of(merged)},
                if_seq_no=now["_seq_no"],
                if_primary_term=now["_primary_term"],
                require_alias=True,
            ).body
            if "error" not in answer:
                self._connection.refresh(names.documents)
                return
        else:
            raise ConflictError(f"others keep changing document {id} of index {names.index}; try again")
        raise NotFoundError(f"there is no document {id} in index {names.index}")

    def delete(self, names: Names, query: Query) -> None:
        """Removes the documents that match; files that lose passages lose their version first, and go with the last."""
        self._files.publish(names)
        touched: set[str] = set()
        page: list[str] = []
        files: set[str] = set()

        def clear() -> None:
            # In this order a killed deletion leaves no file that claims to be complete.
            self._files.records.change_meta(names, files - touched, lambda record: {"version": ""})
            touched.update(files)
            send(self._connection, names.writing(names.documents), map(delete, page))
            page.clear()
            files.clear()

        for hit in self._search.scan(names.index, query, ["file_id"], PAGE):
            page.append(hit["_id"])
            if "file_id" in hit["_source"]:
                files.add(hit["_source"]["file_id"])
            if len(page) >= PAGE:
                clear()
        clear()
        self._connection.refresh(names.documents)

        def recount(record: Record) -> dict[str, Any] | None:
            left = self._search.count(names.index, {"term": {"file_id": record.id}})
            return {"version": "", "passages": left} if left else None

        self._files.records.change_meta(names, touched, recount)
        if touched:
            self._connection.refresh(names.files)

    def _version(self, names: Names, key: str) -> list[str]:
        client = self._connection.client.options(ignore_status=404)
        now = self._connection.call(
            client.get, index=names.writing(names.documents), id=key, source_includes=["version"]
        ).body
        return list(now["_source"]["version"]) if now.get("found") else []


def _loosen(journal: Journal) -> None:
    journal.loose = True
