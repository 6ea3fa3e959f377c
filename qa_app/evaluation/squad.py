"""The official metric of SQuAD 2.0, written from its published rules (Rajpurkar, Jia and Liang, 2018).

Texts are compared in lower case, without ASCII punctuation, without the words a, an and the, and with single spaces.
A question counts by the gold answer that fits best; gold answers of which nothing is left do not count, and where none
is left, the empty answer is the right one. All shares are percentages. Sums are taken in the order of the file, so that
figures equal those of the official script to the last digit.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from qa_app.datasets.squad import Question
from qa_app.errors import InvalidRequestError

Scores = dict[str, float]
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def normalised(text: str) -> str:
    """``text`` as answers are compared."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(gold: str, given: str) -> int:
    """1 where both texts, normalised before, are the same."""
    return int(gold == given)


def token_f1(gold: str, given: str) -> float:
    """The harmonic mean of precision and recall over the words of two texts, normalised before."""
    expected, found = gold.split(), given.split()
    if not expected or not found:
        return exact_match(gold, given)
    same = sum((Counter(expected) & Counter(found)).values())
    if not same:
        return 0
    precision, recall = same / len(found), same / len(expected)
    return 2 * precision * recall / (precision + recall)


def best_over_golds(measure: Callable[[str, str], float], question: Question, given: str) -> float:
    """:func:`exact_match` or :func:`token_f1` of an answer, by the gold answer that fits best."""
    golds = [gold for answer in question.answers if (gold := normalised(answer.text))]
    text = normalised(given)
    return max(measure(gold, text) for gold in golds or [""])


def evaluate(
    questions: Iterable[Question],
    predictions: Mapping[str, str],
    no_answer: Mapping[str, float] | None = None,
    threshold: float = 1.0,
) -> dict[str, float]:
    """The official script's figures, by its keys and in its order.

    Questions without a prediction are left out, where the official script fails. ``no_answer`` says how likely each
    question has no answer; above ``threshold`` its prediction counts as empty, and the best thresholds are looked for.
    Raises InvalidRequestError where nothing is left or a score is missing.
    """
    asked = [question for question in questions if question.id in predictions]
    if not asked:
        raise InvalidRequestError("the predictions are for none of the questions; they belong to another file")
    answerable = {question.id: bool(question.answers) for question in asked}
    if no_answer is not None and (missing := [id for id in answerable if id not in no_answer]):
        raise InvalidRequestError(f"{len(missing)} predictions have no score for 'no answer', {missing[0]!r} is one")
    exact, f1 = (
        {q.id: best_over_golds(measure, q, predictions[q.id]) for q in asked} for measure in (exact_match, token_f1)
    )
    decided = (_decided(scores, answerable, no_answer or {}, threshold) for scores in (exact, f1))
    counted = dict(zip(("exact", "f1"), decided))
    result = _averages(counted, list(answerable), "")
    for prefix, wanted in (("HasAns_", True), ("NoAns_", False)):
        if ids := [id for id, known in answerable.items() if known is wanted]:
            result |= _averages(counted, ids, prefix)
    if no_answer is not None:
        for name, scores in (("exact", exact), ("f1", f1)):
            best, where = _best_threshold(scores, predictions, no_answer, answerable)
            result |= {f"best_{name}": best, f"best_{name}_thresh": where}
    return result


def _decided(
    scores: Scores, answerable: Mapping[str, bool], no_answer: Mapping[str, float], threshold: float
) -> Scores:
    """The scores with predictions made empty above the threshold."""
    return {
        id: float(not answerable[id]) if id in no_answer and no_answer[id] > threshold else score
        for id, score in scores.items()
    }


def _averages(scores: Mapping[str, Scores], ids: Sequence[str], prefix: str) -> dict[str, float]:
    shares = {f"{prefix}{name}": 100.0 * sum(found[id] for id in ids) / len(ids) for name, found in scores.items()}
    return {**shares, f"{prefix}total": len(ids)}


def _best_threshold(
    scores: Scores, predictions: Mapping[str, str], no_answer: Mapping[str, float], answerable: Mapping[str, bool]
) -> tuple[float, float]:
    """The best share for any threshold, and the lowest threshold that reaches it.

    Begins with every prediction empty and gives them back from the likeliest answer on; equal scores come in the order
    of their file, one by one, and a prediction counts as an answer where there is anything in it, both as officially.
    """
    reached: float = sum(not known for known in answerable.values())
    best, where = reached, 0.0
    for id in sorted(no_answer, key=lambda id: no_answer[id]):
        if id not in scores:
            continue
        reached += scores[id] if answerable[id] else -bool(predictions[id])
        if reached > best:
            best, where = reached, no_answer[id]
    return 100.0 * best / len(scores), where
