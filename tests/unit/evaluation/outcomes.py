"""Outcomes of questions, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from qa_app.datasets.squad import GoldAnswer, Question
from qa_app.evaluation.pipeline import Outcome
from qa_app.evaluation.retrieval import DEPTH


def outcome(
    *answers: str,
    right: Sequence[str] = (),
    rank: int | None = None,
    confidence: float = 0.5,
    read: int = 10,
    seconds: float = 0.1,
    question: str = "Who?",
    id: str = "q",
) -> Outcome:
    """A question with the answers given; its one gold passage is at ``rank``."""
    marks = tuple(place == rank for place in range(1, DEPTH + 1))
    asked = Question(id, question, "Title", "Context", tuple(GoldAnswer(text, 0) for text in right))
    seen = rank is not None and rank <= read
    return Outcome(asked, answers or ("",), confidence, marks, int(bool(right)), read, seen, seconds)
