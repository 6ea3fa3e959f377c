"""The Haystack node that cuts files into passages."""

from __future__ import annotations

import copy
import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import partial
from typing import Any

from haystack.nodes import BasePreProcessor
from haystack.schema import Document

from qa_app.splitting.passages import split

#: What describes the whole file and is not repeated in every passage.
_FILE_ONLY = (
    "page_starts",
    "headings",
    "size",
    "mtime_ns",
    "encoding",
    "version",
    "source",
    "fingerprint",
    "ingested_at",
)

# Passages are copies of it: Haystack's constructor checks each field's type, which takes ten times as long.
_BLANK = Document(content="", content_type="text", id="")

#: Characters of a heading that a passage repeats; a mistaken one may be a whole paragraph.
_HEADING = 200


def passage_id(file_id: str, start: int, content: str) -> str:
    """The same for the same passage of the same file, different for equal texts in two files; 32 hex digits."""
    return hashlib.blake2b(f"{file_id}\n{start}\n{content}".encode(errors="surrogatepass"), digest_size=16).hexdigest()


class PassageSplitter(BasePreProcessor):
    """Cuts each document into passages of about ``words`` words, about ``overlap`` of them shared with the one before.

    In: whole files, as the converters give them, with ``page_starts`` and ``headings`` in their metadata where the
    format has any. Out: a ``Document`` a passage with ``start`` and ``end`` in the file's text, ``page`` (1-based),
    ``heading`` and the file's own metadata. A passage that runs over a page break has ``page_breaks``, the offsets in
    its content where a new page begins.
    """

    def __init__(self, words: int = 100, overlap: int = 20) -> None:
        super().__init__()
        self.words = words
        self.overlap = overlap

    def process(self, documents: Any, **_: object) -> list[Document]:
        """The passages of one document or of many, each a ``Document`` or its dictionary."""
        return [passage for document in _documents(documents) for passage in self._passages(document)]

    def run(self, documents: Any) -> tuple[dict[str, Any], str]:
        """The passages as ``documents``, and the whole ``files`` beside them."""
        files = _documents(documents)
        return {"documents": self.process(files), "files": files}, "output_1"

    def run_batch(self, documents: Any) -> tuple[dict[str, Any], str]:
        if isinstance(documents, list) and documents and isinstance(documents[0], list):
            return {"documents": [self.process(some) for some in documents]}, "output_1"
        return self.run(documents)

    def _dispatch_run_general(self, run_method: Any, **inputs: Any) -> tuple[dict[str, Any], str]:
        # Haystack copies a node's whole input; the files of a batch are large, and nothing here changes them.
        documents = inputs.pop("documents", [])
        result: tuple[dict[str, Any], str] = super()._dispatch_run_general(partial(run_method, documents), **inputs)
        return result

    def clean(self, document: Any, *_: object, **__: object) -> Document:
        """The document as it is: cleaning would move the offsets, converters clean while they extract."""
        return _documents(document)[0]

    def split(self, document: Any, *_: object, **__: object) -> list[Document]:
        return self.process(document)

    def _passages(self, document: Document) -> list[Document]:
        text = document.content
        headings: list[Sequence[Any]] = document.meta.get("headings") or []
        page_starts: list[int] = document.meta.get("page_starts") or []
        file_id = document.meta.get("file_id") or document.id
        shared = {key: value for key, value in document.meta.items() if key not in _FILE_ONLY}
        shared["file_id"] = file_id
        result: list[Document] = []
        for span in split(text, self.words, self.overlap, [heading[0] for heading in headings]):
            meta = {**shared, "start": span.start, "end": span.end}
            if page_starts:
                page = max(bisect_right(page_starts, span.start), 1)
                meta["page"] = page
                breaks = [at - span.start for at in page_starts[page : bisect_left(page_starts, span.end)]]
                if breaks:
                    meta["page_breaks"] = breaks
            if span.heading is not None:
                meta["heading"] = headings[span.heading][2][:_HEADING]
            content = text[span.start : span.end]
            passage = copy.copy(_BLANK)
            passage.id, passage.content = passage_id(file_id, span.start, content), content
            passage.meta, passage.id_hash_keys = meta, list(_BLANK.id_hash_keys)
            result.append(passage)
        return result


def _documents(given: Any) -> list[Document]:
    return [
        Document.from_dict(one) if isinstance(one, dict) else one
        for one in (given if isinstance(given, list) else [given])
    ]
