"""The store for anything bigger than one machine's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from haystack.document_stores import ElasticsearchDocumentStore as HaystackStore
from haystack.schema import Document, Label

from qa_app.errors import InvalidRequestError, SettingsError
from qa_app.stores import filters as filter_language
from qa_app.stores.elasticsearch.checks import problem
from qa_app.stores.elasticsearch.connection import Connection
from qa_app.stores.elasticsearch.documents import SOURCE, document_of, match
from qa_app.stores.elasticsearch.files import Change, Files
from qa_app.stores.elasticsearch.filter_query import compile_query
from qa_app.stores.elasticsearch.journal import Journals
from qa_app.stores.elasticsearch.labels import Labels
from qa_app.stores.elasticsearch.mapping import Indexes
from qa_app.stores.elasticsearch.passages import Passages
from qa_app.stores.elasticsearch.records import Records
from qa_app.stores.elasticsearch.search import Search
from qa_app.stores.passage_store import DUPLICATES, PassageStore, check_text, check_top_k, scaled

Query = dict[str, Any]
_EVERYTHING: Query = {"match_all": {}}
_PAGE = 1000


# Haystack finds a pipeline's nodes by the bare names of their classes, and the class defined last has the name. Once
# this module is imported, a pipeline's YAML with ElasticsearchDocumentStore means this store; it is a subclass, so
# whatever asks for Haystack's gets it too.
class ElasticsearchDocumentStore(PassageStore, HaystackStore):
    """A Haystack keyword document store on an Elasticsearch server.

    Opening it waits up to ``wait`` seconds for a server that is down or starting. Raises StoreUnavailableError naming
    the server, and SettingsError for a wrong address, password, certificate or version. Indexes are made by the first
    write, with ``shards`` and ``replicas``. For any number of threads and processes.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:9200",
        username: str = "",
        password: str = "",
        api_key: str = "",
        ca_certs: str = "",
        index: str = "documents",
        label_index: str = "labels",
        duplicate_documents: str = "overwrite",
        shards: int = 1,
        replicas: int = 0,
        timeout: float = 30.0,
        wait: float = 10.0,
    ) -> None:
        # PassageStore's constructor is BaseComponent's: Haystack's store would make a client of its own.
        super().__init__()
        if duplicate_documents not in DUPLICATES:
            raise SettingsError(f"duplicate_documents is {duplicate_documents!r}; it is one of {', '.join(DUPLICATES)}")
        if index == label_index:
            raise SettingsError(f"index and label_index are both {index!r}; documents and labels need one each")
        self.index = index
        self.label_index = label_index
        self.duplicate_documents = duplicate_documents
        self._connection = Connection(url, username, password, api_key, ca_certs, timeout, wait)
        # What a pipeline is saved with is written to files and logs.
        for secret in ("password", "api_key"):
            self._component_config["params"].pop(secret, None)
        if "url" in self._component_config["params"]:
            self._component_config["params"]["url"] = self._connection.url
        self.url = self._connection.url
        # What Haystack's own methods look at.
        self.client = self._connection.client
        self.server_version = self._connection.version
        self.search_fields = ["content"]
        self.content_field, self.name_field, self.embedding_field = "content", "name", ""
        self.return_embedding = False
        self.batch_size = _PAGE

        patient = self._connection.patient()
        self._indexes = Indexes(patient, shards, replicas)
        self._journals = Journals(self._connection, self._indexes)
        self._search = Search(self._connection, self._journals)
        self._records = Records(self._connection)
        writing = Journals(patient, self._indexes)
        self._files = Files(patient, writing)
        self._passages = Passages(patient, writing, self._files)
        self._labels = Labels(patient, self._indexes)

    def close(self) -> None:
        self.client.close()

    def problem(self) -> str | None:
        """Shards that are missing, and files whose passages are not all there; seconds for a hundred thousand files."""
        found = (problem(self._connection, self._journals, index) for index in self._indexes.names())
        return next(filter(None, found), None)

    # -- files ---------------------------------------------------------------------------------------------------------

    def write_files(self, files: Sequence[tuple[Document, Sequence[Document]]], index: str | None = None) -> list[str]:
        """As :class:`PassageStore` says; new files are found from :meth:`finish_writing` on, changed ones at once."""
        changes: dict[str, Change] = {}
        for file, passages in files:
            check_text(file.content, f"file {file.id}")
            changes[file.id] = Change(file.id, file, self._checked_documents(passages, "overwrite")[0])
        return self._files.write(self._indexes.ensure(index or self.index), changes.values())[1]

    def finish_writing(self, index: str | None = None) -> None:
        if names := self._indexes.find(index or self.index):
            self._files.publish(names)

    def delete_files(self, ids: Sequence[str], index: str | None = None) -> int:
        names = self._indexes.find(index or self.index)
        if names is None:
            return 0
        return self._files.write(names, [Change(id, None, ()) for id in dict.fromkeys(ids)])[0]

    def get_file(self, id: str, index: str | None = None) -> Document | None:
        names = self._indexes.find(index or self.index)
        return names and self._records.whole(names, id)

    def get_all_files(self, index: str | None = None, after: str = "") -> Iterator[Document]:
        names = self._indexes.find(index or self.index)
        if names is None:
            return
        journal = self._journals.read(names)
        if journal.writes or journal.dead or journal.gone:
            # Somebody is writing; the list is of now, though searches are of the last refresh.
            self._connection.refresh(names.files)
        yield from self._records.all(names, after)

    def get_indexes(self) -> list[str]:
        return self._indexes.names()

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
        self._passages.write(self._indexes.ensure(index or self.index), given, mode)

    def update_document_meta(
        self, id: str, meta: dict[str, Any], index: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        """Merges ``meta`` into the document's metadata; raises NotFoundError."""
        self._passages.update_meta(self._indexes.ensure(index or self.index), id, meta)

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
        condition = compile_query(clause) if clause else _EVERYTHING
        names = self._indexes.find(index or self.index)
        if names is None:
            return
        for start in [None] if ids is None else range(0, len(ids), _PAGE):
            chosen = [] if start is None or ids is None else [{"terms": {"id": ids[start : start + _PAGE]}}]
            self._passages.delete(names, {"bool": {"filter": [condition, *chosen]}})

    def _delete_everything(self, index: str) -> None:
        self._indexes.find(index)  # raises where it is none of documents
        if self._indexes.delete(index):
            self._indexes.ensure(index)

    def delete_index(self, index: str) -> None:
        self._indexes.delete(index)

    # -- reading documents ---------------------------------------------------------------------------------------------

    def get_documents_by_id(
        self, ids: list[str], index: str | None = None, batch_size: int = 10_000, headers: dict[str, str] | None = None
    ) -> list[Document]:
        return self._search.by_ids(index or self.index, ids)

    def get_all_documents_generator(
        self,
        index: str | None = None,
        filters: Any = None,
        return_embedding: bool | None = None,
        batch_size: int = 10_000,
        headers: dict[str, str] | None = None,
    ) -> Iterator[Document]:
        query = _condition(filters)
        page = max(1, min(batch_size, _PAGE))
        for hit in self._search.scan(index or self.index, query, SOURCE, page):
            yield document_of(hit["_source"])

    def get_document_count(
        self,
        filters: Any = None,
        index: str | None = None,
        only_documents_without_embedding: bool = False,
        headers: dict[str, str] | None = None,
    ) -> int:
        return self._search.count(index or self.index, _condition(filters))

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
        conditions = [_condition(filters)]
        if query is not None:
            conditions.append(match(query, every_word=False))
        counts = self._search.values(index or self.index, key, {"bool": {"filter": conditions}})
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
            raise InvalidRequestError("custom_query would reach Elasticsearch unchecked; use query and filters")
        condition = _condition(filters)
        if query is None:
            hits = self._search.search(index or self.index, condition, top_k, [{"id": "asc"}])
            return [document_of(hit["_source"]) for hit in hits]
        check_text(query, "the question")
        found = {"bool": {"must": [match(query, all_terms_must_match)], "filter": [condition]}}
        # Equal scores come in the same order every time.
        hits = self._search.search(index or self.index, found, top_k, [{"_score": "desc"}, {"id": "asc"}])
        result = [document_of(hit["_source"]) for hit in hits]
        for document, hit in zip(result, hits):
            document.score = scaled(hit["_score"]) if scale_score else hit["_score"]
        return result

    # -- labels --------------------------------------------------------------------------------------------------------

    def write_labels(
        self,
        labels: Sequence[Label | dict[str, Any]],
        index: str | None = None,
        headers: dict[str, str] | None = None,
        batch_size: int = 10_000,
    ) -> None:
        self._labels.write(index or self.label_index, self._checked_labels(labels))

    def get_all_labels(
        self, index: str | None = None, filters: Any = None, headers: dict[str, str] | None = None
    ) -> list[Label]:
        return list(self._labels.read(index or self.label_index, _condition(filters)))

    def get_label_count(self, index: str | None = None, headers: dict[str, str] | None = None) -> int:
        return self._labels.count(index or self.label_index)

    def delete_labels(
        self,
        index: str | None = None,
        ids: list[str] | None = None,
        filters: Any = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Removes labels by ids and filters; without either, all labels of the index, as Haystack has it."""
        clause = None if filters is None else filter_language.parse_required(filters)
        self._labels.delete(index or self.label_index, ids, compile_query(clause) if clause else _EVERYTHING)

    # -- what Haystack's store has and this one has not ----------------------------------------------------------------

    def query_by_embedding_batch(self, *args: object, **kwargs: object) -> Any:
        raise InvalidRequestError("this store searches by words (BM25) and keeps no embeddings; use BM25Retriever")

    update_embeddings = query_by_embedding_batch
    get_embedding_count = query_by_embedding_batch


def _condition(filters: object) -> Query:
    clause = filter_language.parse(filters)
    return compile_query(clause) if clause else _EVERYTHING
