"""Fits a reader's confidence to how often it is right, on questions whose answers are known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from qa_app.datasets.squad import Question
from qa_app.errors import InvalidRequestError
from qa_app.evaluation.confidence import bins, calibration_error, is_right
from qa_app.evaluation.pipeline import PipelineEvaluation
from qa_app.reading.calibration import USUAL, Calibration, Pool

#: The share of the questions whose passages are taken away: folders do not hold the answer to every question.
_TAKEN = 1 / 3
#: Fewer answers than these say nothing about how many of their like are right.
_LEAST = 30
#: Questions below which a fit is not worth its name.
FEWEST = 100
#: Contexts below which a half of them says nothing of the other.
_CONTEXTS = 10
#: Divisions into halves to measure by: of one alone the error is off by a point or two.
_DIVISIONS = 5
_SEED = 7


@dataclass(frozen=True)
class Asked:
    """What the reader found for a question, what of it is right, and whether the answer was in the passages read."""

    group: str
    pool: Pool
    right: list[bool]
    there: bool


@dataclass(frozen=True)
class Fit:
    """A calibration and how it does on documents that it was not fitted to.

    ``error`` is the expected calibration error of first answers in percent, ``answered`` and ``right`` the shares of
    the ``questions`` that got an answer, and of those answers that were right.
    """

    calibration: Calibration
    questions: int
    error: float
    answered: float
    right: float


def drawn(questions: Sequence[Question], count: int | None) -> list[Question]:
    """``count`` of ``questions`` or all, in a random order that is always the same."""
    return random.Random(_SEED).sample(questions, min(count or len(questions), len(questions)))  # noqa: S311


def check_enough(contexts: Iterable[str]) -> None:
    """Raises InvalidRequestError for too few questions, given the context of each, or too few contexts."""
    each = list(contexts)
    if len(each) < FEWEST:
        raise InvalidRequestError(f"{len(each)} questions are too few to calibrate with; give at least {FEWEST}")
    if (different := len(set(each))) < _CONTEXTS:
        raise InvalidRequestError(
            f"questions on {different} contexts are too few to calibrate with; give some on at least {_CONTEXTS}"
        )


def gather(evaluation: PipelineEvaluation, questions: Sequence[Question]) -> Iterator[Asked | None]:
    """What the reader finds for each question in the passages retrieved; None where nothing can be learnt of it."""
    chance = random.Random(_SEED)  # noqa: S311 - a draw, no secret
    for question in questions:
        passages = evaluation.retrieve(question.text)
        taken = chance.random() < _TAKEN
        if taken:
            gold = evaluation.gold(question)
            passages = [passage for passage in passages if passage.id not in gold]
        pool = evaluation.reader.pool(question.text, passages)
        right = [is_right(question, one.text) for one in pool.candidates]
        # Said elsewhere too, so whether the passages hold the answer is not known.
        known = not (taken and any(right))
        yield Asked(question.context, pool, right, bool(question.answers) and not taken) if known else None


def fit(asked: Sequence[Asked]) -> Fit:
    """Fits on all, and measures on each half of the contexts what was fitted on the other, by several divisions.

    Raises InvalidRequestError for too few questions or contexts, and where nothing was found for them.
    """
    check_enough(one.group for one in asked)
    runs = [_told(asked, number) for number in range(_DIVISIONS)]
    given = [(one.confidence, one.right) for run in runs for one in run if one.answers]
    errors = [calibration_error(bins([one.confidence for one in run], [one.right for one in run])) for run in runs]
    return Fit(
        calibration=replace(_fitted(asked), precisions=_precisions(given, _DIVISIONS * _LEAST)),
        questions=len(asked),
        error=sum(errors) / len(errors),
        answered=len(given) / (_DIVISIONS * len(asked)),
        right=sum(mark for _, mark in given) / len(given) if given else 0.0,
    )


@dataclass(frozen=True)
class _Told:
    """What is said first to a question, and whether it is right; ``answers`` unless it is "no answer"."""

    confidence: float
    right: bool
    answers: bool


def _told(asked: Sequence[Asked], division: int) -> list[_Told]:
    """What is said to each half of the contexts when the other half was fitted to."""
    groups = sorted({one.group for one in asked})
    random.Random(_SEED + division).shuffle(groups)  # noqa: S311
    chosen = set(groups[: len(groups) // 2])
    halves = [[one for one in asked if (one.group in chosen) is side] for side in (True, False)]
    told: list[_Told] = []
    for other, held_out in (halves, halves[::-1]):
        calibration = _fitted(other)
        for one in held_out:
            found, nothing = calibration.confidences(one.pool)
            best = max(range(len(found)), key=found.__getitem__, default=None)
            if best is not None and found[best] > nothing:
                told.append(_Told(found[best], one.right[best], answers=True))
            else:
                told.append(_Told(nothing, not one.there, answers=False))
    return told


def _fitted(asked: Sequence[Asked]) -> Calibration:
    """The calibration under which what is true of ``asked`` is likeliest."""
    loss = _loss(asked)
    start = (1 / USUAL.temperature, USUAL.nothing, USUAL.other, USUAL.retriever, USUAL.doubt)
    bounds = [(1e-3, None), (None, None), (None, None), (1e-6, None), (0, None)]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    return _calibration(found.x)


def _calibration(values: Sequence[float]) -> Calibration:
    sharpness, nothing, other, retriever, doubt = map(float, values)
    return Calibration(1 / sharpness, nothing, other, retriever, doubt)


def _loss(asked: Sequence[Asked]) -> Callable[[Sequence[float]], float]:
    """The mean negative log-likelihood as a function of a calibration's five figures."""
    asked = [one for one in asked if one.pool.candidates]  # of the others it is sure what to say
    if not asked:
        raise InvalidRequestError("the reader finds no words for these questions; give others to calibrate with")
    width = max(len(one.pool.candidates) for one in asked)
    margins = np.full((len(asked), width), -np.inf)
    leads = np.zeros((len(asked), width))
    passages = np.full((len(asked), max(len(one.pool.leads) for one in asked)), -np.inf)
    true = np.zeros((len(asked), width + 2), dtype=bool)
    for row, one in enumerate(asked):
        count = len(one.pool.candidates)
        margins[row, :count] = [candidate.margin for candidate in one.pool.candidates]
        leads[row, :count] = [candidate.lead for candidate in one.pool.candidates]
        passages[row, : len(one.pool.leads)] = one.pool.leads
        true[row, :count] = one.right
        if not any(one.right):
            true[row, width + int(one.there)] = True

    def loss(values: Sequence[float]) -> float:
        shares = _calibration(values).shares(margins, leads, passages)
        return float(-np.log(np.maximum((shares * true).sum(axis=1), 1e-12)).mean())

    return loss


def _precisions(given: Sequence[tuple[float, bool]], least: int) -> tuple[tuple[float, float], ...]:
    """For every whole percent of right answers that ``least`` reached, the least confidence from which on it was."""
    # Rounded down, so that those at the threshold are among them; equal ones come and go together.
    order = sorted(((math.floor(1e4 * confidence) / 1e4, mark) for confidence, mark in given), reverse=True)
    marks: NDArray[np.float64] = np.cumsum([mark for _, mark in order]) / np.arange(1, len(order) + 1)
    found: list[tuple[float, float]] = []
    for number in range(len(order) - 1, least - 2, -1):
        confidence, share = order[number][0], math.floor(100 * marks[number]) / 100
        last = number == len(order) - 1 or order[number + 1][0] != confidence
        if last and (not found or share > found[-1][1]):
            found.append((confidence, share))
    return tuple(found)
