"""People's judgements of answers: kept as Haystack labels, counted, and exported as SQuAD to train from.

Haystack's REST API has the same verbs, but believes what it is sent. Here a label's document is the store's own under
that id, whatever text came with it, so that an export never trains on forged words; an answer stands where its offsets
say; and what does not is left out of an export instead of logged and exported all the same.
"""

from __future__ import annotations

import copy
import json
import logging
import threading
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from haystack.schema import Answer, Document, Label, Span

from qa_app.errors import ConflictError, InvalidRequestError, NotFoundError
from qa_app.pipelines.questions import check_question
from qa_app.stores import filters as filter_language
from qa_app.stores.metadata import check_scalar, checked
from qa_app.stores.passage_store import PassageStore

logger = logging.getLogger("qa_app.feedback")

#: Beyond it, metadata could not be copied: Python copies by recursion.
MAX_DEPTH = 16
_BY_PEOPLE = {"origin": "user-feedback"}
_TIME = "%Y-%m-%d %H:%M:%S"
_KEYS = uuid.uuid5(uuid.NAMESPACE_URL, "qa_app:feedback")
# The stores overwrite, so looking for a key's label and writing it must not be interrupted by the same key. This holds
# within a process; two servers on one Elasticsearch that get different labels under one key at once keep the last.
_LOCKS = [threading.Lock() for _ in range(64)]


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers and right documents in ``n_feedback`` labels, 0 to 1; None where there are none."""

    answer_accuracy: float | None
    document_accuracy: float | None
    n_feedback: int


@dataclass(frozen=True)
class Export:
    """SQuAD, and the ids of the labels that were left out because their answer is not where they say."""

    squad: dict[str, Any]
    skipped: list[str]


def label_of(sent: Mapping[str, Any]) -> Label:
    """Haystack's label of the fields that its REST API takes; of the document the id alone, see :func:`keep`.

    ``no_answer`` without an answer becomes the empty answer, and the ``document_id`` of an older client's answer its
    ``document_ids`` where there are none. Raises InvalidRequestError where ``no_answer`` and the answer disagree.
    """
    answer = None if sent.get("answer") is None else dict(sent["answer"])
    empty = sent.get("no_answer")
    if empty is not None and empty == bool(answer and answer["answer"].strip()):
        raise InvalidRequestError(f"no_answer is {str(empty).lower()}, but the answer says otherwise; leave it out")
    if answer is None and empty:
        answer = {"answer": ""}
    if answer is not None and (old := answer.pop("document_id", None)) is not None:
        answer["document_ids"] = answer.get("document_ids") or [old]
    fields = {name: value for name, value in sent.items() if name != "no_answer"}
    document = Document(id=sent["document"]["id"], content="")
    return Label(**{**fields, "document": document, "answer": None if answer is None else Answer(**answer)})


def keep(store: PassageStore, label: Label, *, key: str | None = None, index: str | None = None) -> None:
    """Writes a label on the store's own document; over the label with its id, where there is one.

    With ``key`` the label's id is made of the key, and the same label once more changes nothing. Raises NotFoundError
    for documents that are in no index, ConflictError where the key came with another label, and InvalidRequestError.
    """
    _check(label)
    if key is None:
        store.write_labels([_grounded(store, label)], index=index)
        return
    label = copy.copy(label)
    made = uuid.uuid5(_KEYS, key)
    label.id = str(made)
    with _LOCKS[made.int % len(_LOCKS)]:
        kept = store.get_all_labels(index=index, filters={"id": label.id})
        if not kept:
            store.write_labels([_grounded(store, label)], index=index)
        elif _told(kept[0]) != _told(label):
            raise ConflictError("this idempotency key came with other feedback before; make a new key for each label")


def forget(store: PassageStore, index: str | None = None) -> None:
    """Removes what people sent; gold labels stay."""
    store.delete_labels(index=index, filters=_BY_PEOPLE)


def evaluate(store: PassageStore, filters: Mapping[str, Any] | None = None, index: str | None = None) -> Accuracy:
    """How often people found answers and documents right, among the labels that match; raises InvalidRequestError."""
    wanted: dict[str, Any] = _BY_PEOPLE
    if filters is not None:
        if not filters:
            raise InvalidRequestError("filters is empty; leave it out to count all feedback, or name a field")
        wanted = {"$and": [filters, _BY_PEOPLE]}
    labels = store.get_all_labels(index=index, filters=wanted)
    if not labels:
        return Accuracy(None, None, 0)
    return Accuracy(
        sum(label.is_correct_answer for label in labels) / len(labels),
        sum(label.is_correct_document for label in labels) / len(labels),
        len(labels),
    )


def export(
    store: PassageStore, *, context_size: int | None = None, only_positive: bool = False, index: str | None = None
) -> Export:
    """What people sent as SQuAD 2.0, an entry for each label in the order of their writing, titled by its file's id.

    A right answer is an example, a wrong answer from a wrong document an impossible question, and so is a right "no
    answer"; a wrong answer from the right document is neither. ``context_size`` cuts contexts to as many code points
    around the answer, or to the answer where that is longer.
    """
    wanted = {**_BY_PEOPLE, "is_correct_answer": True} if only_positive else _BY_PEOPLE
    entries, skipped = [], []
    for label in store.get_all_labels(index=index, filters=wanted):
        if label.is_correct_document and not label.is_correct_answer:
            continue
        entry = _entry(label, context_size)
        if entry is None:
            skipped.append(label.id)
        else:
            entries.append(entry)
    if skipped:
        logger.warning("%d labels were not exported, their answers are not at their offsets: %r", len(skipped), skipped)
    return Export({"data": entries}, skipped)


# -- what is taken -----------------------------------------------------------------------------------------------------


def _check(label: Label) -> None:
    check_question(label.query)
    for name, time in (("created_at", label.created_at), ("updated_at", label.updated_at)):
        if time is not None and not _is_time(time):
            raise InvalidRequestError(f"{name} is {time[:40]!r}; write it as 2024-11-12 09:30:00")
    _check_meta(label.meta or {})
    filter_language.parse(label.filters)


def _is_time(text: str) -> bool:
    try:
        return datetime.strptime(text, _TIME).strftime(_TIME) == text
    except ValueError:
        return False


def _check_meta(meta: Mapping[str, Any]) -> None:
    """Raises InvalidRequestError where ``meta``, or a text anywhere in it, is over the limits."""
    checked(meta)
    level: list[Any] = [meta]
    for _ in range(MAX_DEPTH):
        inner = [value for one in level for value in (one.values() if isinstance(one, dict) else one)]
        level = [value for value in inner if isinstance(value, (dict, list))]
        for value in inner:
            if value is not None and not isinstance(value, (dict, list)):
                check_scalar(value, "a value within metadata")
        if not level:
            return
    raise InvalidRequestError(f"metadata is nested more than {MAX_DEPTH} deep")


def _grounded(store: PassageStore, label: Label) -> Label:
    """The label on the store's document; raises NotFoundError and InvalidRequestError."""
    answer = label.answer
    wanted = [label.document.id, *((answer.document_ids or ()) if answer else ())]
    found = _documents(store, wanted)
    for id in wanted:
        if id not in found:
            raise NotFoundError(
                f"there is no document {id[:80]!r} in any index; judge an answer from what is there now"
            )
    document = found[label.document.id]
    if answer is not None:
        for span in answer.offsets_in_document or ():
            if not _stands(answer, span, document):
                raise InvalidRequestError(
                    f"the answer does not stand at its offsets in document {document.id[:80]!r}; "
                    "send both as /query gave them, or ask again where the document has changed"
                )
        # What the answer has of its document was within the limits when the document was written.
        own = document.meta
        _check_meta({k: v for k, v in (answer.meta or {}).items() if k not in own or own[k] != v})
    label = copy.copy(label)
    label.document = document
    return label


def _documents(store: PassageStore, ids: Iterable[str]) -> dict[str, Document]:
    """The documents by id, from whichever index has them, the default one first."""
    wanted = list(dict.fromkeys(ids))
    found = {document.id: document for document in store.get_documents_by_id(wanted)}
    if len(found) < len(wanted):
        for name in store.get_indexes():
            missing = [id for id in wanted if id not in found]
            if not missing:
                break
            found |= {document.id: document for document in store.get_documents_by_id(missing, index=name)}
    return found


def _told(label: Label) -> str:
    """What a label says, as text: of its document the id alone, for the rest is the store's, and no times."""
    fields = label.to_dict()
    fields["document"] = label.document.id
    del fields["created_at"], fields["updated_at"]
    return json.dumps(fields, sort_keys=True)


# -- what is exported --------------------------------------------------------------------------------------------------


def _stands(answer: Answer, span: object, document: Document) -> bool:
    """Whether the answer's words are what the span marks in the document, in code points."""
    return (
        isinstance(span, Span)
        and isinstance(document.content, str)
        and span.start >= 0
        and span.end - span.start == len(answer.answer)
        and document.content[span.start : span.end] == answer.answer
    )


def _entry(label: Label, context_size: int | None) -> dict[str, Any] | None:
    """The label as SQuAD has it; None where its answer is not where it says."""
    document, answer = label.document, label.answer
    spans = answer.offsets_in_document if answer else None
    place = spans[0] if spans and _stands(answer, spans[0], document) else None
    impossible = bool(label.no_answer) or not label.is_correct_answer
    if not isinstance(document.content, str) or not (place or impossible):
        return None
    start, end = (place.start, place.end) if place else (0, 0)
    first, last = _window(len(document.content), start, end, context_size)
    examples = [] if impossible else [{"text": answer.answer, "answer_start": start - first}]
    asked = {"question": label.query, "id": label.id, "is_impossible": impossible, "answers": examples}
    # Passages of a file overlap, so who divides what is exported has to know the file.
    title = str(document.meta.get("file_id") or document.id)
    return {
        "title": title,
        "paragraphs": [{"context": document.content[first:last], "id": document.id, "qas": [asked]}],
    }


def _window(length: int, start: int, end: int, size: int | None) -> tuple[int, int]:
    """Where to cut a text of ``length`` to ``size`` around a span; room that one side lacks goes to the other."""
    size = length if size is None else min(length, max(size, end - start))
    first = min(max(0, start - (size - (end - start)) // 2), length - size)
    return first, first + size
