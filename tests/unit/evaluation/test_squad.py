"""The metric is the official one, to the last digit."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qa_app.datasets.squad import GoldAnswer, Question, read_questions
from qa_app.errors import InvalidRequestError
from qa_app.evaluation.squad import evaluate, exact_match, normalised, token_f1
from tests.conftest import REPOSITORY
from tests.unit.evaluation.rules import official, words

CASES = 2000
#: What answers are made of: articles, marks, what lower case makes longer, digits, joined and blank characters.
PIECES = [
    *("a an the A AN The tha a. the-an an' a_b the_ Anna theatre".split()),
    *("1904 1,904 $5 50% U.S. don't C++ x² Ⅳ ٣ 五 İstanbul Straße ﬁn é e\u0301 a\u0301 the\u0301 naïve".split()),
    *("— … « » “the” ‘a’ ． ， _ __ - -- ... !? ( ) ' \"".split()),
    *(" ", "  ", "\t", "\n", "\u00a0", "\u2003", "\u200b", "\u200d", "\x1f", "\x85", ""),
]


Case = tuple[dict[str, Any], dict[str, str], "dict[str, float] | None", float]


def text(chance: random.Random) -> str:
    """A text of a few pieces, joined with or without blanks; one in four is empty."""
    if chance.random() < 0.25:
        return ""
    return chance.choice(["", " ", "  "]).join(chance.choices(PIECES, k=chance.randint(1, 6)))


def case(seed: int) -> Case:
    """A SQuAD file, predictions that are near its answers, scores for "no answer" or none, and a threshold."""
    chance = random.Random(seed)
    numbers = iter(range(1000))

    def asked() -> dict[str, Any]:
        answers = [{"text": text(chance), "answer_start": 0} for _ in range(chance.choice([0, 0, 1, 1, 1, 2, 3]))]
        return {"id": f"q{next(numbers)}", "question": "Who?", "answers": answers}

    paragraphs = [{"context": "c", "qas": [asked() for _ in range(chance.randint(1, 5))]} for _ in range(3)]
    all_asked = [qa for paragraph in paragraphs for qa in paragraph["qas"]]
    predictions = {}
    for qa in chance.sample(all_asked, len(all_asked)):
        near = chance.choice(qa["answers"])["text"] if qa["answers"] else ""
        predictions[qa["id"]] = chance.choice(
            [near, near.upper(), f"the {near}!", f"{near} {text(chance)}", text(chance)]
        )
    if chance.random() < 0.3:
        return {"data": [{"paragraphs": paragraphs}]}, predictions, None, 1.0
    # Few different scores, so that many are equal, and some of questions of another file.
    ids = chance.sample([*predictions, "other1", "other2"], len(predictions) + 2)
    values = [0, 0.0, 0.25, 0.5, 1, 1.5, -2.0, chance.random()]
    return (
        {"data": [{"paragraphs": paragraphs}]},
        predictions,
        {id: chance.choice(values) for id in ids},
        chance.choice([1.0, 0.5, 0.0]),
    )


def read(data: dict[str, Any], path: Path) -> list[Question]:
    path.write_text(json.dumps(data), encoding="utf-8")
    return read_questions(path)


def by_transformers(
    data: dict[str, Any], predictions: dict[str, str], scores: dict[str, float] | None, threshold: float
) -> dict[str, float]:
    """The same figures from the copy of the official script's parts that transformers carries."""
    from transformers.data.metrics import squad_metrics as theirs

    examples = [
        SimpleNamespace(qas_id=qa["id"], answers=qa["answers"])
        for article in data["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]
    answerable = {example.qas_id: bool(example.answers) for example in examples}
    raw = theirs.get_raw_scores(examples, predictions)
    likely = scores or dict.fromkeys(predictions, 0.0)
    counted = [theirs.apply_no_ans_threshold(one, likely, answerable, threshold) for one in raw]
    result = theirs.make_eval_dict(*counted)
    for prefix, wanted in (("HasAns", True), ("NoAns", False)):
        if ids := [id for id, known in answerable.items() if known is wanted]:
            theirs.merge_eval(result, theirs.make_eval_dict(*counted, qid_list=ids), prefix)
    if scores is not None:
        theirs.find_all_best_thresh(result, predictions, *raw, likely, answerable)
    return dict(result)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Case, dict[str, float]]]:
    """The cases with the figures of the application for them."""
    path = tmp_path_factory.mktemp("cases") / "data.json"
    made = [case(seed) for seed in range(CASES)]
    return [(one, evaluate(read(one[0], path), *one[1:])) for one in made]


def test_equal_on_edge_cases(cases: list[tuple[Case, dict[str, float]]]) -> None:
    """On 2,000 files of odd texts every figure and the order of keys equal an independent reading of the rules."""
    seen: Counter[str] = Counter()
    for given, ours in cases:
        assert list(ours.items()) == list(official(*given).items()), given
        seen.update(key for key, value in ours.items() if 0 < value < 100)
    # The cases are not all trivial: every figure took a value in between often.
    assert len(seen) == 13
    assert min(seen.values()) > CASES / 20, seen


def test_equal_to_the_copy_that_transformers_has(cases: list[tuple[Case, dict[str, float]]]) -> None:
    """On the same files the figures are printed letter for letter as from the official script's own functions."""
    for given, ours in cases:
        assert json.dumps(ours) == json.dumps(by_transformers(*given)), given


def test_equal_to_haystack_s_measures() -> None:
    """Exact match and F1 of two texts are those that Haystack counts with."""
    from haystack.modeling.evaluation.squad import compute_exact, compute_f1

    chance = random.Random(7)
    for _ in range(CASES):
        gold, given = text(chance), text(chance)
        assert exact_match(normalised(gold), normalised(given)) == compute_exact(gold, given)
        assert token_f1(normalised(gold), normalised(given)) == compute_f1(gold, given)
        assert normalised(gold).split() == words(gold)


def _shared() -> list[Path]:
    folder = Path(os.environ.get("QA_TEST_SQUAD_DATA", REPOSITORY.parent / "shared" / "data"))
    # Whoever requires the sets has the folder beside the repository; a copy of the repository alone has not.
    required = os.environ.get("QA_TEST_REQUIRE_SHARED_DATA") == "1" and folder.is_dir()
    found = [path for part in ("heldout", "train", "extra") for path in sorted((folder / part).glob("*.json.gz"))]
    assert found or not required, f"question answering sets are required, but {folder} holds none"
    return found


#: Questions of a set that are compared in usual runs, at least; long ones compare all.
_ENOUGH = 100


def _beginning(data: dict[str, Any]) -> dict[str, Any]:
    """The first articles of a set with questions enough."""
    kept: list[Any] = []
    asked = 0
    for article in data["data"]:
        if asked >= _ENOUGH:
            break
        kept.append(article)
        asked += sum(len(paragraph["qas"]) for paragraph in article["paragraphs"])
    return {**data, "data": kept}


def test_equal_on_real_questions(tmp_path: Path, long: bool) -> None:
    """On real sets, with predictions that are gold, near, of another question or empty, all figures are equal."""
    chance = random.Random(11)
    paths = _shared()
    if not paths:
        pytest.skip("no question answering sets; name their folder in QA_TEST_SQUAD_DATA")
    for path in paths:
        whole = json.loads(gzip.decompress(path.read_bytes()))
        data = whole if long else _beginning(whole)
        part = tmp_path / "part.json"
        part.write_text(json.dumps(data), encoding="utf-8")
        asked = [qa for article in data["data"] for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
        texts = [answer["text"] for qa in asked for answer in qa["answers"]] or [""]
        predictions = {}
        for qa in asked:
            golds = [answer["text"] for answer in qa["answers"]] or [""]
            gold = chance.choice(golds)
            predictions[qa["id"]] = chance.choice(
                [gold, f"the {gold}", gold[: len(gold) // 2], chance.choice(texts), ""]
            )
        scores = {id: round(chance.random(), 2) for id in predictions}
        for given in (None, scores):
            ours = json.dumps(evaluate(read_questions(part, places=True), predictions, given))
            assert ours == json.dumps(by_transformers(data, predictions, given, 1.0)), path.name
            assert json.loads(ours) == official(data, predictions, given), path.name


class TestRules:
    """Single rules, by hand."""

    def asked(self, *golds: str, id: str = "q") -> Question:
        return Question(id, "Who?", "", "", tuple(GoldAnswer(gold, None) for gold in golds))

    def test_texts(self) -> None:
        """Case, ASCII punctuation, articles and blanks do not count; marks that join words join them."""
        assert normalised("  The  Cat's—a U.S. an-hour the\u00a0END ") == "cats— us anhour end"

    def test_empty_golds(self) -> None:
        """Golds of which nothing is left are passed over; where none is left, only nothing is right."""
        assert evaluate([self.asked("the", "Anna")], {"q": ""})["exact"] == 0
        scored = evaluate([self.asked("the")], {"q": "a!"})
        assert scored["exact"] == scored["HasAns_exact"] == 100
        assert "NoAns_total" not in scored

    def test_missing_predictions(self) -> None:
        """Questions without a prediction are in no average; without any prediction there are no figures."""
        questions = [self.asked("Anna", id="1"), self.asked("Berg", id="2"), self.asked(id="3")]
        scored = evaluate(questions, {"1": "Anna"}, {"1": 0.1})
        assert scored["total"] == scored["HasAns_total"] == 1
        assert scored["best_exact"] == scored["exact"] == 100
        with pytest.raises(InvalidRequestError, match="none of the questions"):
            evaluate(questions, {"4": "Anna"})

    def test_missing_scores(self) -> None:
        """A prediction without a score for "no answer" is an error that names it."""
        with pytest.raises(InvalidRequestError, match="'q'"):
            evaluate([self.asked("Anna")], {"q": "Anna"}, {"other": 0.5})

    def test_best_threshold(self) -> None:
        """The threshold found is the one that makes most predictions right when all above it are emptied."""
        questions = [self.asked("Anna", id="1"), self.asked(id="2"), self.asked("Berg", id="3"), self.asked(id="4")]
        predictions, scores = dict(zip("1234", ("Anna", "x", "Berg", "y"))), dict(zip("1234", (0.1, 0.6, 0.4, 0.9)))
        scored = evaluate(questions, predictions, scores)
        assert (scored["exact"], scored["best_exact"], scored["best_exact_thresh"]) == (50, 100, 0.4)
        assert evaluate(questions, predictions, scores, scored["best_exact_thresh"])["exact"] == 100
        shares = [evaluate(questions, predictions, scores, t)["exact"] for t in itertools.chain([0.0], scores.values())]
        assert max(shares) == scored["best_exact"]
