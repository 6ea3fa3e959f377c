"""The fit finds the figures that made the data, and measures on what it did not see."""

from __future__ import annotations

import numpy as np
import pytest

from qa_app.datasets.squad import Question
from qa_app.errors import InvalidRequestError
from qa_app.evaluation.calibrating import Asked, drawn, fit
from qa_app.reading.calibration import Calibration, Candidate, Pool

TRUE = Calibration(temperature=2.5, nothing=1.2, other=0.3, retriever=1.8, doubt=0.05)


def asked_of(calibration: Calibration, count: int) -> list[Asked]:
    """Questions whose truth is drawn with the shares that ``calibration`` gives."""
    chance = np.random.default_rng(4)
    made = []
    for number in range(count):
        width = int(chance.integers(1, 8))
        margins, leads = chance.normal(1, 4, width), np.minimum(0, chance.normal(-0.5, 0.5, width))
        leads[0] = 0
        true = int(chance.choice(width + 2, p=calibration.shares(margins, leads, leads)))
        candidates = [Candidate(f"t{n}", float(m), float(lead)) for n, (m, lead) in enumerate(zip(margins, leads))]
        pool = Pool(candidates, leads.tolist())
        made.append(Asked(f"g{number // 3}", pool, [n == true for n in range(width)], true != width))
    return made


def test_the_figures_are_found() -> None:
    """Of 6,000 questions the fit gives back the figures they were made with, and hardly an error of calibration."""
    found = fit(asked_of(TRUE, 6000))
    calibration = found.calibration
    assert (calibration.temperature, calibration.retriever) == pytest.approx((2.5, 1.8), rel=0.15)
    assert (calibration.nothing, calibration.other) == pytest.approx((1.2, 0.3), abs=0.2)
    assert calibration.doubt == pytest.approx(0.05, abs=0.03)
    assert found.error < 3
    assert found.questions == 6000


def test_precisions_hold_elsewhere() -> None:
    """Of new answers as sure as a precision's threshold at least that share is right, give or take."""
    calibration = fit(asked_of(TRUE, 4000)).calibration
    threshold = calibration.threshold(0.9)
    assert threshold < 1
    marks = []
    for one in asked_of(TRUE, 9000)[4000:]:
        confidences, nothing = calibration.confidences(one.pool)
        best = int(np.argmax(confidences))
        if confidences[best] >= max(threshold, nothing):
            marks.append(one.right[best])
    assert len(marks) > 50
    assert np.mean(marks) > 0.85
    shares = [share for _, share in calibration.precisions]
    assert shares == sorted(shares)
    assert [confidence for confidence, _ in calibration.precisions] == sorted(c for c, _ in calibration.precisions)


def test_too_few() -> None:
    """A handful of questions is refused."""
    with pytest.raises(InvalidRequestError, match="at least 100"):
        fit(asked_of(TRUE, 20))


def test_equal_confidences_come_together() -> None:
    """Of answers of one confidence, half of them right, none is said to be surely right."""
    pool = Pool([Candidate("t", 8.0, 0.0)], [0.0])
    asked = [Asked(f"g{number}", pool, [number % 2 == 0], there=True) for number in range(400)]
    assert all(share <= 0.6 for _, share in fit(asked).calibration.precisions)


@pytest.mark.parametrize("groups", [1, 9])
def test_too_few_contexts(groups: int) -> None:
    """Questions that are all about a few paragraphs are refused: a half of those says nothing of the other."""
    pool = Pool([Candidate("t", 1.0, 0.0)], [0.0])
    with pytest.raises(InvalidRequestError, match=f"questions on {groups} contexts"):
        fit([Asked(f"g{number % groups}", pool, [True], there=True) for number in range(200)])


def test_nothing_found() -> None:
    """Questions for which the reader finds no words are refused."""
    with pytest.raises(InvalidRequestError, match="finds no words"):
        fit([Asked(f"g{number}", Pool([], [0.0]), [], there=True) for number in range(200)])


def test_drawn() -> None:
    """The same questions each time, as many as wanted and there are."""
    questions = [Question(str(n), "Who?", "t", "It was Anna.", ()) for n in range(50)]
    assert drawn(questions, 7) == drawn(questions, 7)
    assert len(drawn(questions, 7)) == 7
    assert len(drawn(questions, None)) == len(drawn(questions, 99)) == 50
