"""From ten thousand passages to a million: does ingestion stay linear, and what does a question then cost?"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import child
from benchmarks.ingesting import A_FILE, warm_up
from benchmarks.report import Cell, Lines, Table

_QUESTIONS = 100
#: Sizes, as parts of the largest.
_PARTS = (100, 10, 1)
_MODULE = "benchmarks.ingesting"


def measure(passages: int, url: str | None) -> list[Table]:
    """Ingests a hundredth, a tenth and all of ``passages`` passages into either store, and searches each."""
    stores = {"SQLite": None, **({"Elasticsearch": url} if url else {})}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in stores}
    notes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if url:
            notes.append(warm_up(folder / "warm", passages, url))
        made, smallest = 0, max(passages // _PARTS[0] // A_FILE, 1)
        for part in _PARTS:
            files = max(passages // part // A_FILE, 1)
            child.say(f"growth: making {files - made:,} files more")
            child.run(_MODULE, "make_files", folder=str(folder / "texts"), files=files, first=made)
            made = files
            for store, address in stores.items():
                child.say(f"growth: {files:,} files into {store}")
                data = folder / "data"
                found[store].append(
                    child.run(
                        _MODULE,
                        "with_qa_app",
                        folder=str(folder / "texts"),
                        data=str(data),
                        url=address,
                        questions=_QUESTIONS,
                        among=smallest,
                    )
                )
                shutil.rmtree(data, ignore_errors=True)
    return [_ingestion(found, notes), _search(found)]


def _ingestion(found: dict[str, list[dict[str, Any]]], notes: list[str]) -> Table:
    rows: list[dict[str, Cell]] = []
    lines: dict[str, list[tuple[float, float]]] = {}
    for store, sizes in found.items():
        rates = [size["passages"] / size["seconds"] for size in sizes]
        lines[store] = [(size["passages"], rate) for size, rate in zip(sizes, rates)]
        rows += [
            {
                "": store,
                "passages": size["passages"],
                "files": size["files"],
                "seconds": size["seconds"],
                "passages a second": rate,
                "times the smallest's rate": rate / rates[0],
                "CPU seconds": size["cpu"],
                "peak memory, MB": size["peak_mb"],
                "at 25/50/75/100 %, MB": " / ".join(map(str, size["quarters_mb"])),
            }
            for size, rate in zip(sizes, rates)
        ]
    notes = [
        "Plain text into an empty store. Where ingestion is linear, passages a second stay as they are.",
        "Memory is the ingesting process's own; a list of all files is kept.",
        *notes,
    ]
    return Table("growth", "Growth of ingestion", rows, notes, Lines("passages a second", "passages", lines))


def _search(found: dict[str, list[dict[str, Any]]]) -> Table:
    rows: list[dict[str, Cell]] = []
    lines: dict[str, list[tuple[float, float]]] = {}
    for store, sizes in found.items():
        medians = [statistics.median(size["question_seconds"]) * 1000 for size in sizes]
        lines[store] = [(size["passages"], median) for size, median in zip(sizes, medians)]
        rows += [
            {
                "": store,
                "passages": size["passages"],
                "median, ms": median,
                "95 % within, ms": statistics.quantiles(size["question_seconds"], n=100)[94] * 1000,
                "slowest, ms": max(size["question_seconds"]) * 1000,
                "times the smallest's median": median / medians[0],
            }
            for size, median in zip(sizes, medians)
        ]
    notes = [
        f"The same {_QUESTIONS} questions at every size, about files that all sizes hold; BM25, ten passages a "
        "question, each store opened anew, one question before to warm up, no merge running.",
    ]
    return Table("growth-search", "Growth of search", rows, notes, Lines("median, ms", "passages", lines))
