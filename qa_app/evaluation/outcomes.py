"""What the outcomes of a pipeline add up to, and why each miss is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qa_app.evaluation.confidence import Bin, bins, calibration_error, is_right
from qa_app.evaluation.pipeline import Outcome
from qa_app.evaluation.retrieval import DEPTH, retrieval_metrics
from qa_app.evaluation.squad import best_over_golds, evaluate, exact_match, token_f1

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Miss:
    """A question whose first answer is not word for word a gold one; ``f1`` in percent says how much of it is.

    ``missed_by`` is ``retriever`` where no gold passage was among those read, else ``reader``; ``gold_rank`` is None
    where the passage is not among the first :data:`DEPTH`, or the question has no answer.
    """

    id: str
    question: str
    title: str
    expected: list[str]
    answer: str
    confidence: float
    f1: float
    missed_by: str
    gold_rank: int | None
    why: str


def marks(outcomes: Sequence[Outcome]) -> list[bool]:
    """Whether each first answer is right, as :func:`qa_app.evaluation.confidence.is_right` says."""
    return [is_right(outcome.question, outcome.answers[0]) for outcome in outcomes]


def metrics(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Every figure of quality, in percent, and the numbers of questions.

    The official keys are those of the first answers. ``top_k_*`` count the best of all answers; of a question without
    an answer the first alone, since "no answer" is always somewhere among them. ``no_answer_*`` are precision, recall
    and F1 of saying that there is none. ``ece`` is the expected calibration error of the first answers' confidence.
    """
    result = evaluate((o.question for o in outcomes), {o.question.id: o.answers[0] for o in outcomes})
    for name, measure in (("exact", exact_match), ("f1", token_f1)):
        best = [
            max(best_over_golds(measure, o.question, given) for given in o.answers[: None if o.question.answers else 1])
            for o in outcomes
        ]
        result[f"top_k_{name}"] = 100 * sum(best) / len(best)
    result |= _no_answer(outcomes)
    answerable = [outcome for outcome in outcomes if outcome.question.answers]
    result |= retrieval_metrics([o.marks for o in answerable], [o.gold for o in answerable])
    return {**result, "ece": calibration_error(reliability(outcomes))}


def reliability(outcomes: Sequence[Outcome]) -> list[Bin]:
    """The first answers by confidence, ten bins, with the share of each that is right."""
    return bins([outcome.confidence for outcome in outcomes], marks(outcomes))


def latency(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Percentiles of the time to an answer, in milliseconds."""
    found = np.percentile([1000 * outcome.seconds for outcome in outcomes], PERCENTILES)
    return {f"p{percent}": float(value) for percent, value in zip(PERCENTILES, found)}


def misses(outcomes: Sequence[Outcome]) -> list[Miss]:
    """The misses in the order of the file."""
    return [_miss(one) for one in outcomes if not best_over_golds(exact_match, one.question, one.answers[0])]


def _no_answer(outcomes: Sequence[Outcome]) -> dict[str, float]:
    there = sum(not outcome.question.answers for outcome in outcomes)
    if not there:
        return {}
    said = sum(not outcome.answers[0] for outcome in outcomes)
    both = sum(not outcome.question.answers and not outcome.answers[0] for outcome in outcomes)
    return {
        "no_answer_precision": 100 * both / said if said else 0.0,
        "no_answer_recall": 100 * both / there,
        "no_answer_f1": 200 * both / (said + there),
    }


def _miss(outcome: Outcome) -> Miss:
    question, answer = outcome.question, outcome.answers[0]
    f1 = 100 * best_over_golds(token_f1, question, answer)
    retrieved = outcome.gold_read or not question.answers
    return Miss(
        id=question.id,
        question=question.text,
        title=question.title,
        expected=list(dict.fromkeys(gold.text for gold in question.answers)),
        answer=answer,
        confidence=outcome.confidence,
        f1=f1,
        missed_by="reader" if retrieved else "retriever",
        gold_rank=outcome.gold_rank,
        why=_why(outcome, f1),
    )


def _why(outcome: Outcome, f1: float) -> str:
    rank, answer = outcome.gold_rank, outcome.answers[0]
    if not outcome.question.answers:
        return "the reader gave an answer, though the question's own context has none"
    if not outcome.gold_read:
        where = f"at rank {rank}" if rank else f"not among the first {DEPTH}"
        return f"the retriever has the passage with the answer {where}, and {outcome.read} were read"
    seen = f"the reader saw the passage with the answer, at rank {rank},"
    if not answer:
        return f"{seen} and said that there is no answer"
    return f"{seen} and marked {'other words' if not f1 else 'too many or too few words'}"
