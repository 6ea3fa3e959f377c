"""The whole way from a question to answers, over an index of the questions' own contexts."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from haystack.schema import Document

from qa_app.datasets.squad import Question
from qa_app.evaluation.reading import check_readable
from qa_app.evaluation.retrieval import DEPTH, first_rank

if TYPE_CHECKING:
    from qa_app.reading.reader import PassageReader
    from qa_app.splitting.splitter import PassageSplitter
    from qa_app.stores.passage_store import PassageStore

#: Contexts that are split and written at once.
_TOGETHER = 500
_TITLE = 200


@dataclass(frozen=True)
class Outcome:
    """What became of one question.

    ``answers`` best first, each empty where it says that there is none; ``confidence`` of the first, 0 to 1. ``marks``
    says of the first passages, best first, whether they hold a gold answer, ``gold`` how many of all do. ``read``
    passages were read, and ``gold_read`` says whether one of them was gold. ``seconds`` is how long the answer took.
    """

    question: Question
    answers: tuple[str, ...]
    confidence: float
    marks: tuple[bool, ...]
    gold: int
    read: int
    gold_read: bool
    seconds: float

    @property
    def gold_rank(self) -> int | None:
        """The rank of the first gold passage; None where it is not among the first :data:`DEPTH`, or there is none."""
        return first_rank(self.marks)


class PipelineEvaluation:
    """Asks questions of an answering pipeline over ``store``, which is empty and belongs to nobody else.

    ``ask`` gives Haystack's answer to a query, ``retrieve`` the best passages for one, as many as wanted. Every context
    becomes a document once, however many articles have it, so that no passage competes with its own copy.
    """

    def __init__(
        self,
        ask: Callable[[str], dict[str, Any]],
        retrieve: Callable[..., list[Document]],
        reader: PassageReader,
        splitter: PassageSplitter,
        store: PassageStore,
    ) -> None:
        self._ask = ask
        self.retrieve = retrieve
        self._splitter = splitter
        self._store = store
        self._passages: defaultdict[str, list[tuple[str, int, int]]] = defaultdict(list)
        self.reader = reader

    @property
    def contexts(self) -> int:
        """How many contexts are indexed."""
        return len(self._passages)

    @property
    def passages(self) -> int:
        """How many passages they were cut into."""
        return sum(map(len, self._passages.values()))

    def index(self, questions: Sequence[Question]) -> None:
        """Indexes the contexts of ``questions``, cut into passages as documents are."""
        titles = {question.context: question.title for question in reversed(questions)}
        documents = [
            Document(id=_context_id(context), content=context, meta={"name": title[:_TITLE]} if title else {})
            for context, title in titles.items()
        ]
        for start in range(0, len(documents), _TOGETHER):
            passages = self._splitter.process(documents[start : start + _TOGETHER])
            for passage in passages:
                place = (passage.id, passage.meta["start"], passage.meta["end"])
                self._passages[passage.meta["file_id"]].append(place)
            self._store.write_documents(passages)
        self._store.finish_writing()

    def run(self, questions: Sequence[Question]) -> Iterator[Outcome]:
        """The outcome of each question, in order; raises InvalidRequestError for one that cannot be read, at once."""
        check_readable(self.reader, questions)
        self._ask(questions[0].text)  # the first answer of a process is slower than any other
        for question in questions:
            yield self._outcome(question)

    def _outcome(self, question: Question) -> Outcome:
        started = time.perf_counter()
        result = self._ask(question.text)
        seconds = time.perf_counter() - started
        answers, gold = result["answers"], self.gold(question)
        return Outcome(
            question=question,
            answers=tuple(answer.answer for answer in answers) or ("",),
            confidence=answers[0].score if answers else 1.0,
            marks=tuple(found.id in gold for found in self.retrieve(question.text, top_k=DEPTH)),
            gold=len(gold),
            read=len(result["documents"]),
            gold_read=any(document.id in gold for document in result["documents"]),
            seconds=seconds,
        )

    def gold(self, question: Question) -> set[str]:
        """The passages of the question's context that hold some of a gold answer."""
        spans = [(answer.start or 0, (answer.start or 0) + len(answer.text)) for answer in question.answers]
        return {
            id
            for id, start, end in self._passages[_context_id(question.context)]
            if any(start < last and first < end for first, last in spans)
        }


def _context_id(context: str) -> str:
    return hashlib.blake2b(context.encode(), digest_size=16).hexdigest()
