"""Does confidence mean what it says, and is it right to answer the surest questions first?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from qa_app.datasets.squad import Question
from qa_app.evaluation.squad import best_over_golds, token_f1

BINS = 10
#: F1 from which on an answer counts as right: half of the words of the two are the same. Where a span is cut, after
#: "in" or before it, is no matter of right and wrong.
RIGHT = 0.5


def is_right(question: Question, answer: str) -> bool:
    """Whether ``answer`` says what a gold one says; empty, whether there is none."""
    return best_over_golds(token_f1, question, answer) >= RIGHT


@dataclass(frozen=True)
class Bin:
    """``questions`` answers of like confidence: its least, greatest and mean, and the share that is right, 0 to 1."""

    least: float
    greatest: float
    confidence: float
    right: float
    questions: int


def bins(confidences: Sequence[float], right: Sequence[bool], count: int = BINS) -> list[Bin]:
    """The answers in the order of their confidence, cut into ``count`` bins of like size, none of them empty."""
    order = sorted(zip(confidences, right), key=lambda answer: answer[0])
    cuts = [len(order) * number // count for number in range(count + 1)]
    parts = [order[start:end] for start, end in pairwise(cuts) if end > start]
    return [
        Bin(
            least=part[0][0],
            greatest=part[-1][0],
            confidence=sum(confidence for confidence, _ in part) / len(part),
            right=sum(mark for _, mark in part) / len(part),
            questions=len(part),
        )
        for part in parts
    ]


def calibration_error(parts: Sequence[Bin]) -> float:
    """The expected calibration error in percent: how far confidence is from the share that is right, on average.

    With bins of equal mass, which no empty or nearly empty bin distorts (Nguyen and O'Connor, 2015).
    """
    total = sum(part.questions for part in parts)
    return 100 * sum(part.questions * abs(part.right - part.confidence) for part in parts) / total


def risk_coverage(confidences: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float]]:
    """Points (coverage, risk), 0 to 1: the share of wrong answers where only the surest are given.

    Answers of equal confidence come and go together (El-Yaniv and Wiener, 2010).
    """
    order = sorted(zip(confidences, right), reverse=True)
    points, wrong = [], 0
    for number, (confidence, mark) in enumerate(order, 1):
        wrong += not mark
        if number == len(order) or order[number][0] != confidence:
            points.append((number / len(order), wrong / number))
    return points
