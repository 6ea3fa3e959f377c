"""FARMReader, with a model that is resolved and checked first, and answers that know their place in the file."""

from __future__ import annotations

import logging
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from haystack.nodes import FARMReader
from haystack.schema import Answer, Document, Span

from qa_app.errors import ModelError, SettingsError
from qa_app.reading.resolution import resolve

logger = logging.getLogger(__name__)

#: Candidates asked of FARMReader for every answer wanted, since overlapping passages give the same answer twice.
_CANDIDATES = 3


class PassageReader(FARMReader):
    """Haystack's FARMReader over passages.

    What differs from it: ``model`` is resolved as :func:`qa_app.reading.resolution.resolve` says and checked before
    anything of it is loaded; ``content[start:end] == answer`` holds for every answer; an answer found in two overlapping
    passages of a file is given once; and each answer's metadata hold ``answer_start`` and ``answer_end`` in the file's
    text and ``answer_page`` where there are pages. "No answer" competes with the answers by default.

    ``notice`` says why another model than the wanted one is in use, or is None. Raises ModelError.
    """

    def __init__(
        self,
        model: str = "deepset/minilm-uncased-squad2",
        engine: str = "auto",
        top_k: int = 3,
        context_window_size: int = 150,
        return_no_answer: bool = True,
        max_seq_len: int = 256,
        doc_stride: int = 128,
        batch_size: int = 50,
        use_gpu: bool = True,
    ) -> None:
        if engine not in ("auto", "torch"):
            raise SettingsError(f"reader.engine = {engine!r} is not one of: auto, torch")
        if not 0 < doc_stride < max_seq_len - 64:
            raise SettingsError(f"doc_stride = {doc_stride} leaves no room beside a question in {max_seq_len} tokens")
        self.resolved = resolve(model)
        self.notice = self.resolved.notice
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                super().__init__(
                    model_name_or_path=str(self.resolved.folder),
                    top_k=top_k,
                    context_window_size=context_window_size,
                    return_no_answer=return_no_answer,
                    max_seq_len=max_seq_len,
                    doc_stride=doc_stride,
                    batch_size=batch_size,
                    use_gpu=use_gpu,
                    progress_bar=False,
                    local_files_only=True,
                )
        except MemoryError as error:
            raise ModelError(f"there is not enough memory to load the reader {self.resolved.name}") from error
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"the reader in {self.resolved.folder} cannot be loaded: {reason}; copy the model again, "
                "or set reader.model to 'bundled'"
            ) from error
        self._check_loaded(max_seq_len)

    def _check_loaded(self, max_seq_len: int) -> None:
        config = self.inferencer.model.language_model.model.config
        vocabulary = len(self.inferencer.processor.tokenizer)
        if vocabulary > config.vocab_size:
            raise ModelError(
                f"the tokenizer in {self.resolved.folder} knows {vocabulary} words but the model {config.vocab_size}; "
                "they are of two models, copy the model again, whole"
            )
        limit = getattr(config, "max_position_embeddings", max_seq_len)
        if max_seq_len > limit:
            raise SettingsError(f"max_seq_len = {max_seq_len} is more than the {limit} tokens that the reader takes")

    def predict(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        wanted = self.top_k if top_k is None else top_k
        result: dict[str, Any] = super().predict(query, _readable(documents), top_k=wanted * _CANDIDATES)
        result["answers"] = _finished(result["answers"], documents, wanted)
        return result

    def predict_batch(
        self,
        queries: list[str],
        documents: Any,
        top_k: int | None = None,
        batch_size: int | None = None,
    ) -> dict[str, Any]:
        wanted = self.top_k if top_k is None else top_k
        result: dict[str, Any] = super().predict_batch(
            queries, documents, top_k=wanted * _CANDIDATES, batch_size=batch_size
        )
        known = [d for some in documents for d in (some if isinstance(some, list) else [some])]
        result["answers"] = [
            [_finished(one, known, wanted) for one in answers]
            if answers and isinstance(answers[0], list)
            else _finished(answers, known, wanted)
            for answers in result["answers"]
        ]
        return result


def _readable(documents: Sequence[Document]) -> list[Document]:
    return [document for document in documents if document.content.strip()]


def _finished(answers: Sequence[Answer], documents: Sequence[Document], top_k: int) -> list[Answer]:
    """The best ``top_k`` answers, each place once, with their places in files; keeps the order."""
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
    return result[:top_k]


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
    offset = document.meta.get("start", 0)
    place: dict[str, Any] = {"answer_start": offset + start, "answer_end": offset + end}
    if "page" in document.meta:
        place["answer_page"] = document.meta["page"] + bisect_right(document.meta.get("page_breaks", []), start)
    answer.meta = {**document.meta, **(answer.meta or {}), **place}
