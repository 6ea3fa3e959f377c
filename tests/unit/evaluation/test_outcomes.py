"""What outcomes add up to, compared with sums by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from qa_app.datasets.squad import GoldAnswer, Question
from qa_app.errors import InvalidRequestError
from qa_app.evaluation.comparison import EarlierRun, check_comparable, losses, read_earlier
from qa_app.evaluation.confidence import bins, calibration_error, risk_coverage
from qa_app.evaluation.outcomes import latency, metrics, misses
from qa_app.evaluation.retrieval import retrieval_metrics
from tests.unit.datasets.test_squad import save
from tests.unit.evaluation.outcomes import outcome


class TestRetrieval:
    """Ranks of gold passages."""

    def test_ranks(self) -> None:
        """Recall, MRR and nDCG are those of the ranks 1, 3 and none."""
        found = [[True], [False, False, True], [False] * 100]
        assert retrieval_metrics(found, [1, 1, 1]) == pytest.approx(
            {
                "recall@1": 100 / 3,
                "recall@5": 200 / 3,
                "recall@10": 200 / 3,
                "recall@20": 200 / 3,
                "mrr": 100 * (1 + 1 / 3) / 3,
                "ndcg@10": 100 * (1 + 1 / 2) / 3,
            }
        )

    def test_several_gold_passages(self) -> None:
        """Recall asks for one of several, nDCG for all of them at the top."""
        measured = retrieval_metrics([[True, False, True]], [2])
        assert measured["recall@1"] == 100
        assert measured["ndcg@10"] == pytest.approx(100 * (1 + 1 / 2) / (1 + 1 / math.log2(3)))

    def test_beyond_the_cut(self) -> None:
        """The eleventh passage counts for recall@20 and MRR, and for nothing that looks at ten."""
        measured = retrieval_metrics([[False] * 10 + [True]], [1])
        assert (measured["recall@10"], measured["ndcg@10"], measured["recall@20"]) == (0, 0, 100)
        assert measured["mrr"] == pytest.approx(100 / 11)


class TestConfidence:
    """Bins, calibration error and risk."""

    def test_bins(self) -> None:
        """Bins are of equal mass, and the error is the mean distance of confidence from what is right."""
        confidences = [0.1] * 5 + [0.9] * 5
        parts = bins(confidences, [False] * 5 + [True, True, True, False, False], count=2)
        assert [(part.confidence, part.right, part.questions) for part in parts] == [
            (pytest.approx(0.1), 0, 5),
            (pytest.approx(0.9), 0.6, 5),
        ]
        assert calibration_error(parts) == pytest.approx(100 * (0.1 + 0.3) / 2)

    def test_few(self) -> None:
        """Fewer answers than bins are a bin each, and none is lost."""
        parts = bins([0.2, 0.8, 0.5], [False, True, True])
        assert [part.questions for part in parts] == [1, 1, 1]
        assert calibration_error(parts) == pytest.approx(100 * (0.2 + 0.2 + 0.5) / 3)

    def test_perfect(self) -> None:
        """Confidence that is kept has no error."""
        assert calibration_error(bins([0.5] * 20, [True, False] * 10)) == 0

    def test_risk(self) -> None:
        """Risk is counted from the surest answer on; equal confidences come together."""
        points = risk_coverage([0.9, 0.2, 0.5, 0.5], [True, False, True, False])
        assert points == [(0.25, 0), (0.75, pytest.approx(1 / 3)), (1, 0.5)]


class TestMetrics:
    """Figures of a whole run."""

    def test_figures(self) -> None:
        """Official figures are of the first answer, top-k of the best, and "no answer" has precision and recall."""
        measured = metrics(
            [
                outcome("Anna", "Berg", right=["Anna"], rank=1, id="1"),
                outcome("Oslo", "Anna Berg", right=["Berg"], rank=3, id="2"),
                outcome("", "Berg", right=["Berg"], rank=1, id="3"),
                outcome("", "x", id="4"),
                outcome("x", "", id="5"),
            ]
        )
        assert (measured["exact"], measured["f1"], measured["total"]) == (40, 40, 5)
        assert measured["HasAns_exact"] == pytest.approx(100 / 3)
        assert measured["NoAns_exact"] == 50
        assert measured["top_k_exact"] == 60
        assert measured["top_k_f1"] == pytest.approx(100 * (1 + 2 / 3 + 1 + 1 + 0) / 5)
        assert measured["no_answer_precision"] == measured["no_answer_recall"] == measured["no_answer_f1"] == 50
        assert measured["recall@1"] == pytest.approx(200 / 3)
        assert measured["ece"] == 50

    def test_all_answerable(self) -> None:
        """Of a kind of question that is not there, with an answer or without, there are no figures."""
        assert not [name for name in metrics([outcome("A", right=["A"], rank=1)]) if name.lower().startswith("no")]
        assert not [name for name in metrics([outcome("")]) if name.startswith(("recall", "HasAns", "mrr", "ndcg"))]

    def test_latency(self) -> None:
        """Percentiles are of milliseconds."""
        measured = latency([outcome("", seconds=number / 1000) for number in range(1, 102)])
        assert measured == pytest.approx({"p50": 51, "p95": 96, "p99": 100})


class TestMisses:
    """Who missed what."""

    @pytest.mark.parametrize(
        ("missed", "by", "why"),
        [
            (outcome("x", right=["Anna"], rank=14), "retriever", "at rank 14, and 10 were read"),
            (outcome("", right=["Anna"]), "retriever", "not among the first 100, and 10 were read"),
            (outcome("", right=["Anna"], rank=2), "reader", "at rank 2, and said that there is no answer"),
            (outcome("x", right=["Anna"], rank=2), "reader", "at rank 2, and marked other words"),
            (outcome("Anna B", right=["Anna"], rank=2), "reader", "marked too many or too few words"),
            (outcome("x"), "reader", "gave an answer, though the question's own context has none"),
        ],
    )
    def test_reason(self, missed: object, by: str, why: str) -> None:
        """Each miss says whether the retriever or the reader missed it, and where the gold passage is."""
        [miss] = misses([missed])  # type: ignore[list-item]
        assert miss.missed_by == by
        assert why in miss.why

    def test_right_answers_are_none(self) -> None:
        """An answer that is right word for word, and "no answer" where there is none, are no misses."""
        assert misses([outcome("the Anna!", right=["anna"]), outcome("", "x")]) == []


class TestComparison:
    """A run beside an earlier one."""

    def test_losses(self) -> None:
        """What sank by more than the tolerance is named, and errors that rose; counts and thresholds are no quality."""
        earlier = {
            "exact": 80.0,
            "f1": 85.0,
            "ece": 3.0,
            "mrr": 70.0,
            "total": 9,
            "best_f1_thresh": 0.9,
            "HasAns_total": 5,
        }
        now = {"exact": 79.4, "f1": 86.0, "ece": 3.6, "mrr": 70.0, "total": 9, "best_f1_thresh": 0.1, "HasAns_total": 4}
        assert losses(earlier, now, 1.0) == []
        assert [line.split()[0] for line in losses(earlier, now, 0.5)] == ["exact", "ece"]
        assert losses(earlier, now, 0.5)[0] == "exact was 80.00 and is 79.40, worse by 0.60"

    def test_exactly_the_tolerance(self) -> None:
        """A loss of the tolerance itself passes, whatever binary fractions make of it."""
        assert losses({"f1": 0.3, "total": 1}, {"f1": 0.1, "total": 1}, 0.2) == []

    def test_missing(self) -> None:
        """A figure that is there no more is a loss."""
        assert losses({"best_f1": 50.0, "total": 1}, {"total": 1}, 99) == ["best_f1 was 50.00 and is missing now"]

    @pytest.mark.parametrize(
        ("figures", "options", "message"),
        [
            ({"total": 3}, {}, "was on 3 questions and this one is on 2"),
            ({"HasAns_total": 2}, {}, "was on 2 questions with an answer and this one is on 1"),
            ({"NoAns_total": 2}, {}, "was on 2 questions without an answer and this one is on 1"),
            ({}, {"pipeline": True}, "compare two of a kind"),
            ({"ece": 3.0}, {}, "compare two of a kind"),
            ({"best_f1": 90.0}, {"scored": False}, "--no-answer-scores"),
            ({"ece": 3.0}, {"pipeline": True, "sha256": "b" * 64}, "SHA-256 a{12}[.]{3}, .*b{12}"),
        ],
    )
    def test_of_another_kind(self, figures: dict[str, float], options: dict[str, Any], message: str) -> None:
        """Runs on other files, of the reader and the pipeline, or of which one has no scores, are not compared."""
        asked = [Question("1", "Who?", "", "", (GoldAnswer("Anna", None),)), Question("2", "Who?", "", "", ())]
        usual = {"exact": 50.0, "f1": 50.0, "total": 2}
        check_comparable(EarlierRun(usual), asked)
        check_comparable(EarlierRun({**usual, "ece": 3.0}, "a" * 64), asked, pipeline=True, sha256="a" * 64)
        with pytest.raises(InvalidRequestError, match=message):
            check_comparable(EarlierRun({**usual, **figures}, "a" * 64), asked, **options)

    def test_read(self, tmp_path: Path) -> None:
        """Figures are read from either form of --json, and nothing else is taken for them."""
        figures = {"exact": 50.0, "f1": 60.0, "total": 2}
        assert read_earlier(save(tmp_path / "1.json", figures)) == EarlierRun(figures)
        run = {"metrics": figures, "misses": [], "run": {"sha256": "a" * 64}}
        assert read_earlier(save(tmp_path / "2.json", run)) == EarlierRun(figures, "a" * 64)
        for wrong in (
            [],
            {},
            {"metrics": []},
            {"metrics": {"total": 2}},
            {**figures, "f1": "2"},
            {**figures, "f1": float("nan")},
        ):
            with pytest.raises(InvalidRequestError):
                read_earlier(save(tmp_path / "3.json", wrong))
