"""Do the engines give the same answers? Each over the same questions, beside PyTorch and beside the right answers."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import child
from benchmarks.corpus import SAMPLES
from benchmarks.report import Cell, Table

if TYPE_CHECKING:
    from qa_app.datasets.squad import Question

_SEED = 11


def measure(questions: int, passages: int, files: Sequence[Path]) -> list[Table]:
    """Asks every engine ``questions`` of SQuAD ``files``, each about ``passages`` paragraphs of its article."""
    given = list(files) or [SAMPLES / "questions.json"]
    child.say(f"answers: {questions} questions of every engine")
    found = child.run(
        "benchmarks.answers", "with_all", questions=questions, passages=passages, files=[str(path) for path in given]
    )
    rows: list[dict[str, Cell]] = [{"": name, **row} for name, row in found["engines"].items()]
    notes = [
        f"{found['asked']} questions ({found['answerable']} with an answer) drawn from {len(given)} files, "
        f"{passages} paragraphs each, one of them the question's own; the bundled model, raw scores.",
        "'same' is the share of questions whose first answer is the very span that the torch engine gives; the tests "
        "compare that engine with stock FARMReader.",
        "F1 of the first answer against the right one, as SQuAD 2.0 counts it, in percent.",
    ]
    return [Table("answers", "Sameness of answers", rows, notes)]


def with_all(questions: int, passages: int, files: Sequence[str]) -> dict[str, Any]:
    """For each engine the share of answers that are PyTorch's, and F1 with and without "no answer"."""
    from haystack.schema import Document

    from benchmarks.reader import engines
    from qa_app.evaluation.squad import best_over_golds, token_f1
    from qa_app.reading.reader import PassageReader

    asked = list(_questions([Path(name) for name in files], passages))
    random.Random(_SEED).shuffle(asked)
    asked = asked[:questions]
    firsts: dict[str, list[tuple[Any, str]]] = {}
    bests: dict[str, list[str]] = {}
    for engine in engines():
        child.say(f"answers: {engine}")
        reader = PassageReader("bundled", engine=engine)
        reader.use_confidence_scores = False
        reader.inferencer.model.prediction_heads[0].use_confidence_scores_for_ranking = False
        firsts[engine], bests[engine] = [], []
        for question, texts in asked:
            documents = [Document(content=text, id=str(n)) for n, text in enumerate(texts)]
            answers = reader.predict(question.text, documents, top_k=2)["answers"]
            first = answers[0]
            place = first.offsets_in_document[0] if first.offsets_in_document else None
            firsts[engine].append(((first.document_ids, place and (place.start, place.end)), first.answer))
            bests[engine].append(next((answer.answer for answer in answers if answer.answer), ""))

    def share_of_words(texts: Iterable[str], *, answerable: bool) -> float:
        kept = [(one, text) for (one, _), text in zip(asked, texts) if one.answers or not answerable]
        return 100 * _share(best_over_golds(token_f1, question, text) for question, text in kept)

    return {
        "engines": {
            engine: {
                "same, %": 100 * _share(a[0] == b[0] for a, b in zip(firsts[engine], firsts["torch"])),
                "F1, all": share_of_words((text for _, text in firsts[engine]), answerable=False),
                "F1, answerable, made to answer": share_of_words(bests[engine], answerable=True),
            }
            for engine in firsts
        },
        "asked": len(asked),
        "answerable": sum(bool(question.answers) for question, _ in asked),
    }


def _questions(files: Sequence[Path], passages: int) -> Iterator[tuple[Question, list[str]]]:
    """Questions, and as many paragraphs of their articles, their own first."""
    from qa_app.datasets.squad import read_questions

    for path in files:
        asked = read_questions(path)
        articles: dict[str, dict[str, None]] = defaultdict(dict)
        for question in asked:
            articles[question.title][question.context] = None
        for question in asked:
            contexts = list(articles[question.title])
            own = contexts.index(question.context)
            yield question, (contexts[own:] + contexts[:own])[:passages]


def _share(values: Iterable[float]) -> float:
    given = list(values)
    return sum(given) / len(given)
