"""What both stores promise beyond Haystack's contract, and what they share of it.

A file is kept as a Haystack ``Document``: ``id`` is the file's id, ``content`` its extracted text, ``meta`` what is
known of it. A passage is a ``Document`` whose ``meta["file_id"]`` names its file.

Where Haystack's own stores differ: metadata never overwrite content, an empty or unknown filter is an error instead of
everything, ``delete_documents`` without ids and filters is refused (``delete_all_documents`` is the explicit verb), an
empty list of ids deletes nothing, and request headers are not passed on.
"""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from haystack.document_stores import KeywordDocumentStore
from haystack.errors import DuplicateDocumentError
from haystack.schema import Document, Label

from qa_app.errors import InvalidRequestError
from qa_app.stores import filters as filter_language
from qa_app.stores.metadata import checked

DUPLICATES = ("overwrite", "skip", "fail")
#: A question longer than this is cut by retrieval to its first words, as many as Lucene takes clauses.
MAX_QUERY_WORDS = 200
MAX_TOP_K = 10_000


class PassageStore(KeywordDocumentStore):
    """A Haystack keyword store that also keeps the files that its passages come from."""

    index: str
    label_index: str
    duplicate_documents: str
    similarity = None

    # -- files ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def write_files(self, files: Sequence[tuple[Document, Sequence[Document]]], index: str | None = None) -> list[str]:
        """Puts each file and its passages in place of what the store has of that file, in one step.

        Readers see a file's passages of before or of now, never both and never some. Returns the ids of files that
        another writer changed meanwhile and whose version stands; they are not written.
        """

    @abstractmethod
    def delete_files(self, ids: Sequence[str], index: str | None = None) -> int:
        """Removes files with their texts and passages; returns how many were there."""

    @abstractmethod
    def get_file(self, id: str, index: str | None = None) -> Document | None:
        """The file with its extracted text, or None."""

    @abstractmethod
    def get_all_files(self, index: str | None = None, after: str = "") -> Iterator[Document]:
        """Every file with an id greater than ``after``, in the order of ids, each with empty ``content``.

        Texts come from :meth:`get_file` alone.
        """

    @abstractmethod
    def get_indexes(self) -> list[str]:
        """The names of the document indexes."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of files and connections; the store is not used afterwards."""

    @abstractmethod
    def problem(self) -> str | None:
        """What is wrong with the stored data and what to do about it, looked for thoroughly; None where all is well."""

    def wipe_traces(self, index: str | None = None) -> None:
        """Takes what was deleted out of the store's files, where deleting alone leaves it to be reused."""

    def finish_writing(self, index: str | None = None) -> None:
        """Makes all that was written searchable; to be called once after the last of many writes."""

    # -- documents, as Haystack has them -----------------------------------------------------------------------------

    def get_document_by_id(
        self, id: str, index: str | None = None, headers: dict[str, str] | None = None
    ) -> Document | None:
        found = self.get_documents_by_id([id], index=index)
        return found[0] if found else None

    def get_all_documents(
        self,
        index: str | None = None,
        filters: Any = None,
        return_embedding: bool | None = None,
        batch_size: int = 10_000,
        headers: dict[str, str] | None = None,
    ) -> list[Document]:
        return list(self.get_all_documents_generator(index=index, filters=filters, batch_size=batch_size))

    def get_file_passages(self, id: str, index: str | None = None) -> list[Document]:
        """The passages of a file in the order of the text."""
        passages = self.get_all_documents(index=index, filters={"file_id": id})
        return sorted(passages, key=lambda passage: passage.meta.get("start", 0))

    def query_batch(
        self,
        queries: list[str],
        filters: Any = None,
        top_k: int = 10,
        custom_query: str | None = None,
        index: str | None = None,
        headers: dict[str, str] | None = None,
        all_terms_must_match: bool = False,
        scale_score: bool = True,
    ) -> list[list[Document]]:
        per_query = filters if isinstance(filters, list) else [filters] * len(queries)
        if len(per_query) != len(queries):
            raise InvalidRequestError(f"there are {len(queries)} queries but {len(per_query)} filters")
        return [
            self.query(
                query,
                filters=one,
                top_k=top_k,
                custom_query=custom_query,
                index=index,
                all_terms_must_match=all_terms_must_match,
                scale_score=scale_score,
            )
            for query, one in zip(queries, per_query)
        ]

    def query_by_embedding(self, *args: object, **kwargs: object) -> list[Document]:
        raise InvalidRequestError("this store searches by words (BM25) and keeps no embeddings; use BM25Retriever")

    def delete_all_documents(
        self,
        index: str | None = None,
        filters: Any = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Removes every document and file of the index; with ``filters``, the documents that match."""
        if filters is not None:
            self.delete_documents(index=index, filters=filters)
        else:
            self._delete_everything(index or self.index)

    @abstractmethod
    def _delete_everything(self, index: str) -> None: ...

    def _create_document_field_map(self) -> dict[str, str]:
        return {}

    # -- shared checks -------------------------------------------------------------------------------------------------

    def _checked_documents(
        self, documents: Sequence[Document | dict[str, Any]], duplicates: str | None
    ) -> tuple[list[Document], str]:
        """Documents of Haystack's type with checked metadata, each id once, and the way to treat duplicates."""
        mode = duplicates or self.duplicate_documents
        if mode not in DUPLICATES:
            raise InvalidRequestError(f"duplicate_documents is {mode!r}; it is one of {', '.join(DUPLICATES)}")
        by_id: dict[str, Document] = {}
        for given in documents:
            document = Document.from_dict(given) if isinstance(given, dict) else given
            if document.content_type != "text" or not isinstance(document.content, str):
                raise InvalidRequestError(f"document {document.id} is a {document.content_type}; this store keeps text")
            if document.embedding is not None:
                raise InvalidRequestError(
                    f"document {document.id} has an embedding; this store searches by words alone"
                )
            check_text(document.content, f"document {document.id}")
            checked(document.meta)
            if document.id in by_id and mode == "fail":
                raise DuplicateDocumentError(f"document {document.id} is given twice")
            if document.id not in by_id or mode == "overwrite":
                by_id[document.id] = document
        return list(by_id.values()), mode

    @staticmethod
    def _checked_labels(labels: Sequence[Label | dict[str, Any]]) -> list[Label]:
        """Labels of Haystack's type with both timestamps."""
        result = []
        for given in labels:
            label = Label.from_dict(given) if isinstance(given, dict) else given
            label.created_at = label.created_at or time.strftime("%Y-%m-%d %H:%M:%S")
            label.updated_at = label.updated_at or label.created_at
            result.append(label)
        return result

    @staticmethod
    def _deletion(ids: list[str] | None, filters: Any) -> filter_language.Clause | None:
        """The parsed filter of a deletion; raises where it would mean everything."""
        if ids is None and filters is None:
            raise InvalidRequestError(
                "nothing says what to delete; give ids or filters, or call delete_all_documents for everything"
            )
        return None if filters is None else filter_language.parse_required(filters)


def check_text(text: str, what: str) -> None:
    """Raises InvalidRequestError where ``text`` cannot be stored as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(f"{what} holds half of a surrogate pair, which is not text") from None


def check_top_k(top_k: object) -> int:
    """``top_k`` where it is a whole number from 1 to :data:`MAX_TOP_K`; raises InvalidRequestError."""
    if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= MAX_TOP_K:
        raise InvalidRequestError(f"top_k is {top_k!r}; give a whole number from 1 to {MAX_TOP_K}")
    return top_k


def scaled(score: float) -> float:
    """A BM25 score brought between 0 and 1 as Haystack does it: the logistic function of an eighth of it."""
    return 1 / (1 + math.exp(-score / 8))


def label_fields(label: Label) -> dict[str, Any]:
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
