"""Confidence is one scale: shares of a whole, fitted to how often answers are right."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from haystack.schema import Document
from hypothesis import given
from hypothesis import strategies as st

from qa_app.errors import ModelError, SettingsError
from qa_app.reading.calibration import USUAL, Calibration, Candidate, Pool, load
from qa_app.reading.reader import PassageReader

FIGURES = Calibration(2.0, 1.0, 0.5, 1.5, precisions=((0.2, 0.6), (0.4, 0.8), (0.7, 0.95)))
TOWER = Document(content="The tower was built by Anna Berg in 1904.", id="t", score=0.9)
WALL = Document(content="The wall around the garden was built by Carl Lund.", id="w", score=0.6)
AGAIN = Document(content="Everybody knows that the tower was built by Anna Berg.", id="a", score=0.8)
QUESTION = "Who built the tower?"


def candidate(text: str, margin: float = 1.0, lead: float = 0.0) -> Candidate:
    return Candidate(text, margin, lead)


def confidences(*candidates: Candidate, passages: int = 1) -> tuple[list[float], float]:
    """Of candidates in ``passages`` passages of the same lead."""
    return FIGURES.confidences(Pool(list(candidates), [0.0] * passages))


class TestConfidences:
    @given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-50, 50), st.floats(-5, 0)), max_size=20))
    def test_a_whole(self, found: list[tuple[str, float, float]]) -> None:
        """Different texts and "no answer" never make more than one, and none is outside 0 to 1."""
        candidates = [candidate(*one) for one in found]
        each, nothing = FIGURES.confidences(Pool(candidates, [one.lead for one in candidates]))
        by_text = dict(zip((one.text for one in candidates), each))
        assert sum(by_text.values()) + nothing <= 1 + 1e-9
        assert all(0 <= confidence <= 1 for confidence in [*each, nothing])

    def test_what_makes_surer(self) -> None:
        """A higher margin, a better retrieved passage, and another passage that says the same."""
        [low, other], nothing = confidences(candidate("a", 1), candidate("b", 1))
        assert low == other
        assert confidences(candidate("a", 3), candidate("b", 1))[0][0] > low
        assert confidences(candidate("a", 1), candidate("b", 1, lead=-1))[0][0] > low
        [first, _, again], less = confidences(candidate("A  x"), candidate("b"), candidate("a x"))
        assert first == again > low
        assert less < nothing

    def test_what_makes_less_sure(self) -> None:
        """Each passage that says nothing of it, less where it was hardly retrieved."""
        alone = confidences(candidate("a"))[0][0]
        assert confidences(candidate("a"), passages=3)[0][0] < alone
        assert FIGURES.confidences(Pool([candidate("a")], [0.0, -9.0]))[0][0] == pytest.approx(alone, abs=0.001)

    def test_by_hand(self) -> None:
        """The share of exp(margin / temperature + retriever * lead) beside each passage's "nothing" and "other"."""
        [share], nothing = FIGURES.confidences(Pool([candidate("a", 3, -0.2)], [0.0, -0.2]))
        passages = 1 + math.exp(-1.5 * 0.2)
        weight = math.exp(3 / 2 - 1.5 * 0.2)
        total = weight + passages * (math.exp(1) + math.exp(0.5))
        assert (share, nothing) == pytest.approx((weight / total, passages * math.exp(1) / total))

    def test_doubt(self) -> None:
        """A doubt takes its share of the surest, too."""
        pool = Pool([candidate("a", 40), candidate("b", 1)], [0.0])
        assert FIGURES.confidences(pool)[0][0] > 0.99
        assert replace(FIGURES, doubt=0.25).confidences(pool)[0][0] == pytest.approx(1 / 1.25, abs=0.001)

    def test_nothing_found(self) -> None:
        """Where nothing was found it is sure that there is no answer."""
        assert FIGURES.confidences(Pool([], [0.0])) == ([], 1.0)


class TestThreshold:
    def test_least(self) -> None:
        """The least confidence from which on so many answers were right; beyond what was reached there is none."""
        assert [FIGURES.threshold(share) for share in (0.5, 0.8, 0.81, 0.96)] == [0.2, 0.4, 0.7, math.inf]

    def test_unknown(self) -> None:
        """Without held-out answers nobody knows, and the error says what to do."""
        with pytest.raises(ModelError, match="qa-app calibrate"):
            USUAL.threshold(0.9)


class TestFile:
    def test_round_trip(self, tmp_path: Path) -> None:
        """What was saved is loaded; without a file there is none."""
        path = tmp_path / "calibration.json"
        assert load(path) is None
        FIGURES.save(path)
        assert load(path) == FIGURES

    def test_from_before_doubt(self, tmp_path: Path) -> None:
        """Calibrations that were kept before there was a doubt have none."""
        path = tmp_path / "calibration.json"
        path.write_text('{"temperature": 2, "nothing": 1, "other": 0.5, "retriever": 1.5, "precisions": []}')
        assert load(path) == Calibration(2.0, 1.0, 0.5, 1.5, doubt=0.0)

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"precisions": 3}', '{"precisions": [], "temperature": "x"}'])
    def test_damaged(self, tmp_path: Path, content: str) -> None:
        """A file that is no calibration is named."""
        path = tmp_path / "calibration.json"
        path.write_text(content)
        with pytest.raises(ModelError, match=r"calibration\.json is no calibration"):
            load(path)


@pytest.mark.reader
class TestReader:
    @pytest.fixture
    def calibrated(self, tmp_path: Path) -> Path:
        """A folder of calibrations with one for the bundled reader."""
        path = PassageReader("bundled", calibrations=str(tmp_path)).calibration_path
        assert path.parent == tmp_path
        FIGURES.save(path)
        return tmp_path

    def test_it_is_used(self, calibrated: Path) -> None:
        """The reader's scores are the confidences of its candidates, alone and in a batch; padding plays no part."""
        reader = PassageReader("bundled", calibrations=str(calibrated), top_k=20)
        expected, nothing = FIGURES.confidences(reader.pool(QUESTION, [TOWER, WALL, AGAIN]))
        answers = reader.predict(QUESTION, [TOWER, WALL, AGAIN])["answers"]
        assert sorted(answer.score for answer in answers) == pytest.approx(sorted([*expected, nothing]))
        assert [answer.score for answer in answers] == sorted((answer.score for answer in answers), reverse=True)
        batch = reader.predict_batch([QUESTION], [[TOWER, WALL, AGAIN]])["answers"][0]
        assert [answer.score for answer in batch] == pytest.approx([answer.score for answer in answers], abs=0.02)
        anna = {answer.score for answer in answers if answer.answer == "Anna Berg"}
        assert len(anna) == 1, "both passages say it"
        assert anna.pop() > reader.predict(QUESTION, [TOWER, WALL])["answers"][0].score

    def test_min_precision(self, calibrated: Path, caplog: pytest.LogCaptureFixture) -> None:
        """What is less sure than such answers were is not given; where that is nothing at all, the log says so."""
        sure = PassageReader("bundled", calibrations=str(calibrated), min_precision=0.8)
        assert all(answer.score >= 0.4 for answer in sure.predict(QUESTION, [TOWER, WALL])["answers"] if answer.answer)
        assert not caplog.messages
        never = PassageReader("bundled", calibrations=str(calibrated), min_precision=0.99)
        assert "0.99" in caplog.text
        assert [answer.answer for answer in never.predict(QUESTION, [TOWER, WALL])["answers"]] == [""]

    def test_wrong_shares(self, calibrated: Path) -> None:
        """A share is from 0 to 1."""
        with pytest.raises(SettingsError, match="min_precision"):
            PassageReader("bundled", calibrations=str(calibrated), min_precision=90)

    def test_another_model(self, calibrated: Path, tmp_path: Path) -> None:
        """A calibration belongs to one model: its file is named by the model's weights."""
        [path] = calibrated.glob("*.json")
        path.rename(calibrated / f"{'0' * 32}.json")
        reader = PassageReader("bundled", calibrations=str(calibrated))
        assert json.loads((calibrated / f"{'0' * 32}.json").read_text())["temperature"] == 2.0
        assert reader.calibration != FIGURES
