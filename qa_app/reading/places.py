"""Where answers stand: in their passage, in its file, on a page."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from haystack.schema import Answer, Document, Span

logger = logging.getLogger(__name__)


def placed(answers: Sequence[Answer], documents: Sequence[Document]) -> list[Answer]:
    """The answers, each place once, with their places in files; keeps the order."""
    by_id = {document.id: document for document in documents}
    seen: set[tuple[object, int, int]] = set()
    result: list[Answer] = []
    for answer in answers:
        if answer.document_ids:
            document = by_id[answer.document_ids[0]]
            _place(answer, document)
            meta = answer.meta
            place = (meta.get("file_id", document.id), meta["answer_start"], meta["answer_end"])
            if place in seen:
                continue
            seen.add(place)
        result.append(answer)
    return result


def _place(answer: Answer, document: Document) -> None:
    """Makes the answer the very words at its offsets, and says where in the file they stand."""
    span = answer.offsets_in_document[0]
    start, end = span.start, span.end
    content = document.content
    if content[start:end] != answer.answer:
        logger.debug("answer %r mended to the words at its offsets", answer.answer)
        answer.answer = content[start:end]
    before = answer.offsets_in_context[0].start
    begin = start - before
    answer.context = content[begin : begin + len(answer.context)]
    answer.offsets_in_context = [Span(start=before, end=before + end - start)]
    offset = document.meta.get("start")
    if not isinstance(offset, int):
        offset = 0  # A document that no splitter cut is its own file.
    place: dict[str, Any] = {"answer_start": offset + start, "answer_end": offset + end}
    if "page" in document.meta:
        place["answer_page"] = document.meta["page"] + bisect_right(document.meta.get("page_breaks", []), start)
    answer.meta = {**document.meta, **(answer.meta or {}), **place}
