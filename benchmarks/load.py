"""The API under load: its capacity, its latency below and above it, and its memory over thousands of questions."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import child
from benchmarks.corpus import Corpus
from benchmarks.report import Cell, Table
from benchmarks.serving import serving

#: Passages of three to five a file.
_FILES = 1250
_CLIENTS = 16
#: Thousands of questions are about what stays behind, not about how long they take.
_ONE = {"Retriever": {"top_k": 1}}
_SHARES = (0.5, 0.8, 1.0, 3.0)
_MB = 2**20


def measure(questions: int, seconds: float) -> list[Table]:
    """Loads a server with the bundled reader for ``seconds`` a step, and one with a small reader with ``questions``."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        child.say("load: indexing")
        passages = child.run("benchmarks.load", "prepare", folder=str(folder))["passages"]
        rows: list[dict[str, Cell]] = []
        memory: list[dict[str, Cell]] = []
        for reader, model in (("bundled", "bundled"), ("small", str(folder / "small"))):
            with serving(folder / "data", model) as served:
                rows += asyncio.run(_steps(served.url, reader, seconds))
                if reader == "small":
                    memory += asyncio.run(_endurance(served.url, served.process, questions))
    notes = [
        f"SQLite, {passages:,} passages, ten passages read for a question, three answers; the server has its defaults "
        "(16 wait, one is read at a time) and shares the machine with the clients.",
        f"Capacity is what {_CLIENTS} clients get who ask again as soon as they are answered. Then questions come at a "
        f"steady pace, whether others are answered or not, for {seconds:.0f} s a step.",
        "The small reader has two layers of random weights: what is left is the cost of everything but the model.",
        "/live is asked ten times a second meanwhile.",
    ]
    return [
        Table("load", "API under load", rows, notes),
        Table(
            "endurance",
            f"Memory over {questions:,} questions",
            memory,
            ["The process of the server; small reader, one passage a question."],
        ),
    ]


def prepare(folder: str) -> dict[str, Any]:
    """Indexes the files and makes the small reader, in a process of its own."""
    from qa_app import bootstrap
    from qa_app.pipelines.walking import Walk
    from qa_app.reading.resolution import BUNDLED_FOLDER
    from qa_app.settings import load
    from tests.unit.reading.tiny import save_random_reader

    base = Path(folder)
    corpus = Corpus()
    documents = base / "documents"
    documents.mkdir()
    for number in range(_FILES):
        (documents / f"{number}.txt").write_text(corpus.file(number), encoding="utf-8")
    settings = load({"data_dir": str(base / "data")}, environment={})
    with (
        bootstrap.open_store(settings) as store,
        bootstrap.open_ingestion(
            settings, store, meta={}, walk=Walk(), prune=False, on_done=lambda result: None
        ) as ingestion,
    ):
        passages = ingestion.run([documents]).passages
    save_random_reader(base / "small", BUNDLED_FOLDER)
    return {"passages": passages}


@dataclass
class Seen:
    """What clients saw: seconds of answers, of refusals and of ``/live``, and how often anything else came."""

    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    live: list[float] = field(default_factory=list)
    errors: int = 0


async def _steps(url: str, reader: str, seconds: float) -> list[dict[str, Cell]]:
    child.say(f"load: {reader} reader, capacity")
    questions = _questions()
    await _closed(url, questions, lambda seen, started: time.monotonic() - started < 5)  # warm
    seen, taken = await _closed(url, questions, lambda seen, started: time.monotonic() - started < seconds)
    capacity = len(seen.answered) / taken
    rows = [_row(reader, "capacity", None, seen, taken)]
    for share in _SHARES:
        child.say(f"load: {reader} reader, {share:.0%} of {capacity:.1f} questions a second")
        seen, taken = await _open(url, questions, capacity * share, seconds)
        rows.append(_row(reader, f"{share:.0%}", capacity * share, seen, taken))
        await asyncio.sleep(2)
    return rows


async def _endurance(url: str, process: psutil.Process, questions: int) -> list[dict[str, Cell]]:
    rows: list[dict[str, Cell]] = []
    texts = _questions()

    def note(done: int) -> None:
        rows.append(
            {
                "questions": done,
                "memory, MB": process.memory_info().rss / _MB,
                "files and sockets": process.num_fds(),
                "threads": process.num_threads(),
            }
        )

    await _closed(url, texts, lambda seen, _: len(seen.answered) < questions // 10, _ONE)  # warm
    note(0)
    child.say(f"load: {questions} questions for memory")
    for part in range(1, 5):
        await _closed(url, texts, lambda seen, _: len(seen.answered) < questions // 4, _ONE)
        note(questions * part // 4)
    return rows


def _questions() -> list[str]:
    corpus = Corpus()
    return [corpus.question(corpus.passages(number, 4)[0], number) for number in range(400)]


async def _closed(
    url: str, questions: Sequence[str], go_on: Callable[[Seen, float], bool], params: dict[str, Any] | None = None
) -> tuple[Seen, float]:
    """Clients that ask again when they are answered, as long as ``go_on`` says so."""
    seen, started, number = Seen(), time.monotonic(), 0
    async with _client(url) as client:

        async def ask() -> None:
            nonlocal number
            while go_on(seen, started):
                number += 1
                await _ask(client, questions[number % len(questions)], seen, params)

        await asyncio.gather(*[ask() for _ in range(_CLIENTS)])
    return seen, time.monotonic() - started


async def _open(url: str, questions: Sequence[str], rate: float, seconds: float) -> tuple[Seen, float]:
    """Questions at a steady rate, whether answered or not, with ``/live`` beside them."""
    seen, started = Seen(), time.monotonic()
    async with _client(url) as client:
        running: list[asyncio.Task[None]] = []

        async def look() -> None:
            while True:
                before = time.perf_counter()
                await client.get("/live")
                seen.live.append(time.perf_counter() - before)
                await asyncio.sleep(0.1)

        looking = asyncio.create_task(look())
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
            running.append(asyncio.create_task(_ask(client, questions[number % len(questions)], seen)))
        await asyncio.gather(*running)
        looking.cancel()
    return seen, time.monotonic() - started


def _client(url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.AsyncClient(base_url=url, timeout=120, limits=limits)


async def _ask(client: httpx.AsyncClient, question: str, seen: Seen, params: dict[str, Any] | None = None) -> None:
    before = time.perf_counter()
    try:
        status = (await client.post("/query", json={"query": question, "params": params})).status_code
    except httpx.TransportError:
        status = 0
    taken = time.perf_counter() - before
    if status == 200:
        seen.answered.append(taken)
    elif status == 429:
        seen.refused.append(taken)
    else:
        seen.errors += 1


def _row(reader: str, load: str, offered: float | None, seen: Seen, taken: float) -> dict[str, Cell]:
    return {
        "reader": reader,
        "load": load,
        "offered a second": offered,
        "answered a second": len(seen.answered) / taken,
        "p50, ms": _percentile(seen.answered, 50),
        "p95, ms": _percentile(seen.answered, 95),
        "p99, ms": _percentile(seen.answered, 99),
        "turned away (429)": len(seen.refused),
        "429 p99, ms": _percentile(seen.refused, 99),
        "/live p99, ms": _percentile(seen.live, 99),
        "errors": seen.errors,
    }


def _percentile(seconds: Sequence[float], percent: int) -> float | None:
    if len(seconds) < 2:
        return seconds[0] * 1000 if seconds else None
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1000
