"""From passages to answers: the bundled reader over ten passages of a hundred words."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

from benchmarks import child
from benchmarks.corpus import PASSAGE_WORDS, SAMPLES
from benchmarks.report import Cell, Table

_PASSAGES = 10
_ANSWERS = 3


def measure(questions: int) -> list[Table]:
    """Asks ``questions`` questions of PassageReader and of stock FARMReader, by turns."""
    child.say(f"reader: {questions} questions of either reader")
    found = child.run("benchmarks.reader", "with_both", questions=questions)
    stock = found["readers"]["FARMReader"]
    rows: list[dict[str, Cell]] = [
        {
            "": name,
            "questions a second": len(seconds) / sum(seconds),
            "median, ms": statistics.median(seconds) * 1000,
            "times FARMReader": sum(stock) / sum(seconds),
        }
        for name, seconds in found["readers"].items()
    ]
    notes = [
        f"{questions} questions of the samples, {_PASSAGES} passages of about {PASSAGE_WORDS} words each, the bundled "
        f"model, {_ANSWERS} answers, on {found['device']}; both readers by turns.",
        f"The first answer is the same for {found['same']} of {questions} questions.",
    ]
    return [Table("reader", "Reader", rows, notes)]


def with_both(questions: int) -> dict[str, Any]:
    """Seconds of every question with either reader, after one to warm up."""
    from haystack.nodes import FARMReader
    from haystack.schema import Document

    from qa_app.reading.reader import PassageReader

    ours = PassageReader(model="bundled", top_k=_ANSWERS)
    stock = FARMReader(
        model_name_or_path=str(ours.resolved.folder), top_k=_ANSWERS, return_no_answer=True, progress_bar=False
    )
    seconds: dict[str, list[float]] = {"PassageReader": [], "FARMReader": []}
    same = 0
    for number, (question, passages) in enumerate(_asked(questions + 1)):
        documents = [Document(content=text, id=f"{number}-{n}") for n, text in enumerate(passages)]
        firsts = []
        for name, reader in (("PassageReader", ours), ("FARMReader", stock)):
            started = time.perf_counter()
            answers = reader.predict(question, documents, top_k=_ANSWERS)["answers"]
            seconds[name].append(time.perf_counter() - started)
            firsts.append((answers[0].answer, answers[0].document_ids))
        same += number > 0 and firsts[0] == firsts[1]
    return {
        "readers": {name: some[1:] for name, some in seconds.items()},
        "same": same,
        "device": str(stock.inferencer.devices[0]),
    }


def _asked(count: int) -> list[tuple[str, list[str]]]:
    """Questions spread over all samples, each with passages of its own text and the texts after it.

    These texts are real: made-up words would be cut into more tokens than words of a language.
    """
    from qa_app.splitting.passages import split

    passages: list[str] = []
    asked: list[tuple[str, int]] = []
    for article in json.loads((SAMPLES / "questions.json").read_text(encoding="utf-8"))["data"]:
        asked += [
            (entry["question"], len(passages)) for paragraph in article["paragraphs"] for entry in paragraph["qas"]
        ]
        text = "\n\n".join(paragraph["context"] for paragraph in article["paragraphs"])
        passages += [text[span.start : span.end] for span in split(text, PASSAGE_WORDS, overlap=20)]
    chosen = [asked[number * len(asked) // count] for number in range(count)]
    return [(question, (passages + passages)[first : first + _PASSAGES]) for question, first in chosen]
