"""From passages to answers: the bundled reader over ten passages of a hundred words."""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks import child
from benchmarks.report import Cell, Table

_PASSAGES = 10


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
        f"{questions} questions, {_PASSAGES} passages of about 100 words each, the bundled model, three answers, "
        f"on {found['device']}; both readers by turns.",
        f"The first answer is the same for {found['same']} of {questions} questions.",
    ]
    return [Table("reader", "Reader", rows, notes)]


def with_both(questions: int) -> dict[str, Any]:
    """Seconds of every question with either reader, after one to warm up."""
    from haystack.nodes import FARMReader
    from haystack.schema import Document

    import qa_app  # noqa: F401 - switches Haystack's telemetry off
    from benchmarks.corpus import Corpus
    from qa_app.reading.reader import PassageReader

    ours = PassageReader(model="bundled", top_k=3)
    stock = FARMReader(model_name_or_path=str(ours.resolved.folder), top_k=3, progress_bar=False)
    corpus = Corpus()
    seconds: dict[str, list[float]] = {"PassageReader": [], "FARMReader": []}
    same = 0
    for number in range(questions + 1):
        passages = corpus.passages(number, _PASSAGES)
        documents = [Document(content=passage.text, id=f"{number}-{n}") for n, passage in enumerate(passages)]
        question = corpus.question(passages[0], number)
        firsts = []
        for name, reader in (("PassageReader", ours), ("FARMReader", stock)):
            started = time.perf_counter()
            answers = reader.predict(question, documents, top_k=3)["answers"]
            seconds[name].append(time.perf_counter() - started)
            firsts.append((answers[0].answer, answers[0].document_ids))
        same += number > 0 and firsts[0] == firsts[1]
    return {
        "readers": {name: some[1:] for name, some in seconds.items()},
        "same": same,
        "device": str(stock.inferencer.devices[0]),
    }
