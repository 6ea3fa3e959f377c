"""From a question to ten passages: BM25 in both stores, beside stock Haystack's store on the same server."""

from __future__ import annotations

import statistics
import tempfile

from benchmarks import child
from benchmarks.report import Cell, Plot, Table


def measure(passages: int, questions: int, url: str | None) -> list[Table]:
    """Searches ``passages`` passages with ``questions`` questions."""
    child.say(f"search: {questions} questions over {passages} passages")
    with tempfile.TemporaryDirectory() as folder:
        found = child.run(
            "benchmarks.searching", "in_all", folder=folder, passages=passages, questions=questions, url=url
        )
    stock = found["stores"].get("Haystack v1, Elasticsearch")
    rows: list[dict[str, Cell]] = []
    for name, store in found["stores"].items():
        middle = statistics.median(store["seconds"])
        rows.append(
            {
                "": name,
                "median, ms": middle * 1000,
                "95 % within, ms": _percentile(store["seconds"], 95) * 1000,
                "slowest, ms": max(store["seconds"]) * 1000,
                "first question, ms": store["first"] * 1000,
                "times as fast as Haystack": statistics.median(stock["seconds"]) / middle if stock else None,
                "asked passage first": store["first_hits"] / questions,
                "among ten": store["hits"] / questions,
            }
        )
    notes = [
        f"{questions} questions over {found['passages']:,} passages of about 100 words, ten passages a question, "
        "every store by turns. The first question is the first after opening a store and is not among the others.",
        "A question asks with words of one sentence of the asked passage, everyday words among them, so several "
        "passages may fit equally well.",
    ]
    agreement: list[dict[str, Cell]] = [
        {"": name, "same first passage": first, "same passages among ten": ten}
        for name, (first, ten) in found["agreement"].items()
    ]
    plot = Plot("median, ms", [(str(row[""]), float(row["median, ms"] or 0)) for row in rows])
    return [
        Table("search", "Search", rows, notes, plot),
        Table(
            "agreement",
            "Agreement",
            agreement,
            ["Exact scoring lets FTS5 score every passage that holds any word of the question but stop words."],
        ),
    ]


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else values[0]
