"""Do the engines give the same answers? Each over the same questions, beside PyTorch and beside the right answers."""

from __future__ import annotations

import gzip
import json
import random
import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import child
from benchmarks.corpus import SAMPLES
from benchmarks.report import Cell, Table

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
        for question, texts, _ in asked:
            documents = [Document(content=text, id=str(n)) for n, text in enumerate(texts)]
            answers = reader.predict(question, documents, top_k=2)["answers"]
            first = answers[0]
            place = first.offsets_in_document[0] if first.offsets_in_document else None
            firsts[engine].append(((first.document_ids, place and (place.start, place.end)), first.answer))
            bests[engine].append(next((answer.answer for answer in answers if answer.answer), ""))
    truths = [right for _, _, right in asked]
    return {
        "engines": {
            engine: {
                "same, %": 100 * _share(a[0] == b[0] for a, b in zip(firsts[engine], firsts["torch"])),
                "F1, all": 100 * _share(f1(a[1], right) for a, right in zip(firsts[engine], truths)),
                "F1, answerable, made to answer": 100
                * _share(f1(text, right) for text, right in zip(bests[engine], truths) if right),
            }
            for engine in firsts
        },
        "asked": len(asked),
        "answerable": sum(bool(right) for right in truths),
    }


def _questions(files: Sequence[Path], passages: int) -> Iterator[tuple[str, list[str], list[str]]]:
    """Questions, the paragraphs that they are asked about, and their right answers."""
    for path in files:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as file:
            articles = json.load(file)["data"]
        for article in articles:
            contexts = [paragraph["context"] for paragraph in article["paragraphs"]]
            for number, paragraph in enumerate(article["paragraphs"]):
                texts = (contexts[number:] + contexts[:number])[:passages]
                for entry in paragraph["qas"]:
                    yield entry["question"], texts, [answer["text"] for answer in entry["answers"]]


def _share(values: Iterable[float]) -> float:
    given = list(values)
    return sum(given) / len(given)


def f1(answer: str, right: Sequence[str]) -> float:
    """Overlap of words with the nearest of the right answers, as the SQuAD 2.0 evaluation counts it."""
    if not right:
        return float(not answer)
    best = 0.0
    for one in right:
        found, wanted = _words(answer), _words(one)
        shared = (Counter(found) & Counter(wanted)).total()
        best = max(best, 2 * shared / (len(found) + len(wanted)) if shared else 0.0)
    return best


def _words(text: str) -> list[str]:
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()
