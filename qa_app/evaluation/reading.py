"""The reader alone: every question with its own paragraph, as the official metric wants it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from haystack.schema import Document

from qa_app.datasets.squad import Question
from qa_app.errors import InvalidRequestError

if TYPE_CHECKING:
    from qa_app.reading.reader import PassageReader

#: Questions handed to the reader at once: memory, and how often progress is told.
_TOGETHER = 32
#: More than the spans that FARMReader gives of one document, so that "no answer" hides none.
_TOP_K = 10


@dataclass(frozen=True)
class Reading:
    """What the reader makes of one question: a span of its paragraph, empty where it finds none.

    ``no_answer`` is the probability that there is none, of the two possibilities "none" and "the best span".
    """

    id: str
    prediction: str
    no_answer: float


def read(reader: PassageReader, questions: Sequence[Question]) -> Iterator[Reading]:
    """Each question's reading, in order.

    A prediction is empty where the model scores "no answer" above every span, as model cards count, whatever place the
    reader's confidence gives it. Raises InvalidRequestError for questions of which the reader reads nothing, before the
    first is read.
    """
    check_readable(reader, questions)
    for start in range(0, len(questions), _TOGETHER):
        some = questions[start : start + _TOGETHER]
        # Two questions may share a paragraph, so a document's id is its question's.
        documents = [[Document(id=question.id, content=question.context)] for question in some]
        found = reader.predict_batch([question.text for question in some], documents, top_k=_TOP_K)
        for question, answers, gap in zip(some, found["answers"], found["no_ans_gaps"]):
            span = next((answer.answer for answer in answers if answer.answer), "")
            # The gap is how far the best span's score is above that of "no answer"; without a span it means nothing.
            yield Reading(question.id, span if gap > 0 else "", 1 / (1 + math.exp(gap)) if span else 1.0)


def check_readable(reader: PassageReader, questions: Sequence[Question]) -> None:
    """Raises InvalidRequestError where the reader's tokenizer keeps nothing of a question."""
    for question in questions:
        if not reader.keeps(question.text):
            raise InvalidRequestError(
                f"the question {question.id!r} holds nothing that the reader can read; leave it out"
            )
