"""FARMReader, with a model that is resolved and checked first, and answers that know their place in the file."""

from __future__ import annotations

import ctypes
import logging
import math
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from haystack.modeling.model.predictions import QAPred
from haystack.nodes import FARMReader
from haystack.schema import Answer, Document, MultiLabel

from qa_app.errors import InvalidRequestError, ModelError, QaAppError, SettingsError
from qa_app.reading import calibration
from qa_app.reading.calibration import Candidate, Pool
from qa_app.reading.choice import choose
from qa_app.reading.engines import TorchEngine, check_process
from qa_app.reading.inferencer import PassageInferencer
from qa_app.reading.model_files import fingerprint
from qa_app.reading.parts import check_parts
from qa_app.reading.places import placed
from qa_app.reading.resolution import resolve
from qa_app.settings import ENGINES, load

logger = logging.getLogger(__name__)

#: Candidates asked of FARMReader for every answer wanted, since overlapping passages give the same answer twice.
_CANDIDATES = 3
#: Tokens of a question that FARMReader reads, and of the marks around question and passage.
_QUESTION_TOKENS = 64
_SPECIAL_TOKENS = 4
# What every tokenizer keeps; texts without it are shown to the tokenizer.
_SURELY_READ = re.compile("[0-9A-Za-z]")

Batch = list[Document] | list[list[Document]]


class PassageReader(FARMReader):
    """Haystack's FARMReader over passages.

    What differs from it: ``model`` is resolved as :func:`qa_app.reading.resolution.resolve` says and checked before
    anything of it is loaded; ``content[start:end] == answer`` holds for every answer; an answer found in two
    overlapping passages of a file is given once; and each answer's metadata hold ``answer_start`` and ``answer_end`` in
    the file's text and ``answer_page`` where there are pages. "No answer" competes with the answers by default. Texts
    of which the tokenizer keeps nothing (control characters, joiners) are passed over, where FARMReader would fail or
    give one question the answers of another. Reading stops at the deadline of :mod:`qa_app.reading.deadline`, between
    two forward passes of ``batch_size`` windows, with DeadlineError.

    Confidence is one scale for answers and for "no answer", as :mod:`qa_app.reading.calibration` makes it of all
    passages' scores; its figures are the ones in the folder ``calibrations`` (that of the settings in force where none
    is given), else those that came with the model, else the usual ones. Answers less sure than those of which the share
    ``min_precision`` was right when they were made are left out.

    ``engine`` runs the forward pass, as :func:`qa_app.reading.choice.choose` says; what it is made of is kept in the
    folder ``engine_cache``, which is that of the settings in force where none is given. What FARMReader does with
    PyTorch's weights (training, saving, its own evaluation) needs ``engine="torch"``: other engines let go of them.

    ``calibration_path`` is the file that calibrates this very model, there or not, and ``calibrated_by`` says where the
    calibration in use comes from; ``notice`` says why another model than the wanted one is in use, or is None;
    ``limit`` is the number of tokens that the model takes at once. Raises ModelError, and SettingsError for windows
    that the model cannot take.
    """

    inferencer: PassageInferencer

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
        engine_cache: str | None = None,
        calibrations: str | None = None,
        min_precision: float = 0.0,
    ) -> None:
        check_process()
        if engine not in ENGINES:
            raise SettingsError(f"reader.engine = {engine!r} is not one of: {', '.join(ENGINES)}")
        if not 0 < doc_stride <= max_seq_len - _QUESTION_TOKENS - _SPECIAL_TOKENS:
            raise SettingsError(
                f"windows of {max_seq_len} tokens (max_seq_len, --window) have no room for a question and "
                f"doc_stride = {doc_stride} tokens of text"
            )
        self.resolved = resolve(model)
        self.notice = self.resolved.notice
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                limit = check_parts(self.resolved.folder)
                if max_seq_len > limit:
                    raise SettingsError(
                        f"windows of {max_seq_len} tokens (max_seq_len, --window) are more than the {limit} tokens "
                        "that the reader takes"
                    )
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
                self.inferencer.model.prediction_heads[0].use_confidence_scores_for_ranking = False
                cached = Path(engine_cache) if engine_cache else load().engine_cache_path
                chosen = choose(engine, self.resolved.folder, self.inferencer, cached)
                self.inferencer = PassageInferencer(self.inferencer, chosen)
                if not isinstance(chosen, TorchEngine):
                    self.inferencer.model.language_model.model.to("meta")  # its weights are not needed any more
                    _give_back()
        except QaAppError:
            raise
        except MemoryError as error:
            raise ModelError(f"there is not enough memory to load the reader {self.resolved.name}") from error
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"the reader in {self.resolved.folder} cannot be loaded: {reason}; copy the model again, "
                "or set reader.model to 'bundled'"
            ) from error
        self.limit = limit
        if not 0 <= min_precision <= 1:
            raise SettingsError(f"reader.min_precision = {min_precision} is not a share from 0 to 1")
        kept = Path(calibrations) if calibrations else load().calibrations_path
        self.calibration_path = kept / f"{fingerprint(self.resolved.folder)}.json"
        own = self.resolved.folder / calibration.NAME
        self.calibration, self.calibrated_by = calibration.USUAL, "the usual one, not fitted to this reader"
        for path, whose in ((self.calibration_path, "by qa-app calibrate"), (own, "the reader's own")):
            if fitted := calibration.load(path):
                self.calibration, self.calibrated_by = fitted, whose
                break
        self._threshold = self.calibration.threshold(min_precision) if min_precision else 0.0
        if math.isinf(self._threshold):
            logger.warning(
                "no confidence of this reader was right so often that %g of its answers were; nothing will be answered",
                min_precision,
            )

    @property
    def engine(self) -> str:
        """The engine in use, by its name."""
        return self.inferencer.engine.name

    def predict(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        """FARMReader's answers to one question, best first. Raises InvalidRequestError."""
        wanted = self._wanted(top_k)
        self._check_question(query)
        result: dict[str, Any] = super().predict(query, self._readable(documents), top_k=wanted * _CANDIDATES)
        result["answers"] = self._finished(result["answers"], documents)[:wanted]
        return result

    def predict_batch(
        self, queries: list[str], documents: Batch, top_k: int | None = None, batch_size: int | None = None
    ) -> dict[str, Any]:
        """FARMReader's answers to many questions, nested as it nests them. Raises InvalidRequestError.

        ``documents`` are a list for each question (or lists for the one question), answered each as a whole; or one
        list for all questions, answered document by document.
        """
        wanted = self._wanted(top_k)
        lists = [one if isinstance(one, list) else [one] for one in documents]
        each = any(not isinstance(one, list) for one in documents)
        asked = [query for query in queries for _ in lists] if each else queries
        given = lists * len(queries) if each else lists
        if len(asked) not in (1, len(given)):
            raise InvalidRequestError(f"{len(queries)} questions came with {len(given)} lists of documents")
        for query, some in zip(asked if len(asked) > 1 else asked * len(given), given):
            if some:  # a question without documents needs no reading, as in run
                self._check_question(query)
        result: dict[str, Any] = super().predict_batch(
            asked, [self._readable(some) for some in given], top_k=wanted * _CANDIDATES, batch_size=batch_size
        )
        answers = [self._finished(found, some)[:wanted] for found, some in zip(result["answers"], given)]
        if each and len(queries) > 1:
            answers = [answers[i : i + len(lists)] for i in range(0, len(answers), len(lists))]
        return {**result, "queries": queries, "answers": answers}

    def run_batch(
        self,
        queries: list[str],
        documents: Batch,
        top_k: int | None = None,
        batch_size: int | None = None,
        labels: list[MultiLabel] | None = None,
        add_isolated_node_eval: bool = False,
    ) -> tuple[dict[str, Any], str]:
        # BaseReader cannot take apart the answers to one question about each of many documents.
        lists = [[one] for one in documents if isinstance(one, Document)] if len(queries) == 1 else []
        output: tuple[dict[str, Any], str] = super().run_batch(
            queries, lists or documents, top_k, batch_size, labels, add_isolated_node_eval
        )
        return output

    def pool(self, query: str, documents: list[Document]) -> Pool:
        """What :meth:`predict` chooses from, as :mod:`qa_app.reading.calibration` weighs it. Raises as it does."""
        self._check_question(query)
        answers = super().predict(query, self._readable(documents), top_k=1)["answers"]
        return _pool(placed(answers, documents), documents)

    def _extract_answers_of_predictions(
        self, predictions: list[QAPred], top_k: int | None = None
    ) -> tuple[list[Answer], float]:
        """With confidence: all answers, by how far they exceed "no answer" in their passage; else as FARMReader."""
        if not self.use_confidence_scores:
            found: tuple[list[Answer], float] = super()._extract_answers_of_predictions(predictions, top_k)
            return found
        for prediction in predictions:
            spans = [one for one in prediction.prediction if not self._check_no_answer(one)]
            nothing = max((one.score for one in spans), default=0.0) - prediction.no_answer_gap
            for one in spans:
                one.confidence = one.score - nothing
        answers, gap = super()._extract_answers_of_predictions(predictions)
        return [answer for answer in answers if answer.document_ids], gap

    def _finished(self, answers: Sequence[Answer], documents: Sequence[Document]) -> list[Answer]:
        """The answers, each place once, with their places in files and their confidence, best first."""
        result = placed(answers, documents)
        if not self.use_confidence_scores:
            return result
        confidences, nothing = self.calibration.confidences(_pool(result, documents))
        for answer, confidence in zip(result, confidences):
            answer.score = confidence
        result = [answer for answer in result if answer.score >= self._threshold]
        if self.return_no_answers:
            none, _ = self._calc_no_answer([0.0], 0.0)
            none.score = nothing
            result.append(none)
        return sorted(result, key=lambda answer: -answer.score)

    def _wanted(self, top_k: int | None) -> int:
        wanted = self.top_k if top_k is None else top_k
        if not isinstance(wanted, int) or wanted < 1:
            raise InvalidRequestError(f"top_k = {wanted!r} of the reader is not a number of answers from 1 up")
        return wanted

    def _check_question(self, query: str) -> None:
        if not self.keeps(query):
            raise InvalidRequestError("the question holds nothing that the reader can read; ask something in words")

    def _readable(self, documents: Sequence[Document]) -> list[Document]:
        return [document for document in documents if self.keeps(document.content)]

    def keeps(self, text: str) -> bool:
        """Whether the tokenizer makes anything of ``text``."""
        if _SURELY_READ.search(text):
            return True
        tokenizer = self.inferencer.processor.tokenizer
        return bool(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _give_back() -> None:
    """Gives the system back what loading has freed, some 130 MB that glibc would keep."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # other C libraries have no such call
            ctypes.CDLL(None).malloc_trim(0)


def _pool(answers: Sequence[Answer], documents: Sequence[Document]) -> Pool:
    """The answers, whose scores are margins still, beside how well the passages were retrieved."""
    odds = {document.id: _log_odds(document.score) for document in documents}
    best = max(odds.values(), default=0.0)
    leads = {id: value - best for id, value in odds.items()}
    candidates = [Candidate(answer.answer, answer.score, leads[answer.document_ids[0]]) for answer in answers]
    return Pool(candidates, list(leads.values()))


def _log_odds(score: float | None) -> float:
    """What Haystack made a retriever's score of, where it lies between 0 and 1; 0 for passages without a score."""
    return math.log(score / (1 - score)) if score is not None and 0 < score < 1 else 0.0
