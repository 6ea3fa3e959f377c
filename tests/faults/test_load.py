"""The server as a process: more questions than it can answer, thousands of them, and ingestion beside them."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.corpus import Corpus
from benchmarks.serving import Served, serving
from qa_app.reading.resolution import BUNDLED_FOLDER
from tests.conftest import ENGINES
from tests.faults.clients import (
    Reply,
    again_and_again,
    ask,
    client,
    figure_of,
    gauge,
    milliseconds,
    once,
    steadily,
    until_it_holds,
)
from tests.faults.table import Figure
from tests.ingesting import ingesting, settings_for
from tests.unit.reading.tiny import save_random_reader

pytestmark = [pytest.mark.reader, pytest.mark.slow]

READER = {"QA_READER_ENGINE": "openvino", "QA_READER_ENGINE_CACHE": str(ENGINES)}
#: The default length of the queue before the reader.
QUEUE = 16
#: So many passages that the reader is at them for seconds.
LONG_READING = {"Retriever": {"top_k": 200}}
ONE = {"Retriever": {"top_k": 1}}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus()


@pytest.fixture(scope="module")
def questions(corpus: Corpus) -> list[str]:
    return [corpus.question_about_file(number) for number in range(200)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus, long: bool) -> Path:
    """A data folder with some thousand passages, of which tests change nothing."""
    folder = tmp_path_factory.mktemp("load")
    documents = folder / "documents"
    documents.mkdir()
    for number in range(1500 if long else 200):
        (documents / f"{number}.txt").write_text(corpus.file(number), encoding="utf-8")
    with ingesting(settings_for(folder / "data")) as ingest:
        ingest(documents)
    return folder / "data"


@pytest.fixture(scope="module")
def served(data: Path) -> Iterator[Served]:
    """The server with the bundled reader and its defaults."""
    with serving(data, "bundled", **READER) as running:
        yield running


@pytest.fixture(scope="module")
def capacity(served: Served, questions: list[str], long: bool) -> float:
    """Questions a second that clients get answered who ask as fast as they can."""
    asyncio.run(again_and_again(served.url, questions, 2))  # warm
    seconds = 30 if long else 4
    replies = asyncio.run(again_and_again(served.url, questions, seconds))
    assert {reply.status for reply in replies} == {200}
    return len(replies) / seconds


@pytest.mark.case("L1")
@pytest.mark.parametrize(
    "share", [0.5, pytest.param(0.8, marks=pytest.mark.long), pytest.param(1.0, marks=pytest.mark.long)]
)
def test_what_can_be_answered_is_answered(
    served: Served, questions: list[str], capacity: float, long: bool, figure: Figure, share: float
) -> None:
    """At half of the capacity every question is answered; above it, those that are not are told to come again."""
    replies, health = asyncio.run(steadily(served.url, questions, capacity * share, 60 if long else 6))
    assert all(reply.is_answer or (share > 0.5 and reply.is_refusal) for reply in replies)
    assert {look.status for look in health} == {200}
    answered = [reply for reply in replies if reply.is_answer]
    figure(
        f"of {len(replies)} questions at {share:.0%} of {capacity:.1f} a second answered in {milliseconds(answered)}",
        len(answered),
    )


@pytest.mark.case("L2")
def test_what_is_too_much_is_turned_away_at_once(
    served: Served, questions: list[str], capacity: float, long: bool, figure: Figure
) -> None:
    """At three times the capacity the rest is refused with a time to wait, before those who wait are answered."""
    seconds = 60 if long else 6
    replies, health = asyncio.run(steadily(served.url, questions, capacity * 3, seconds))
    answered = [reply for reply in replies if reply.is_answer]
    refused = [reply for reply in replies if reply.is_refusal]
    assert len(answered) + len(refused) == len(replies)
    assert {look.status for look in health} == {200}
    # What was begun is not thrown away: nearly as many are answered as without the rush.
    assert len(answered) > QUEUE
    assert len(refused) > len(replies) / 4
    assert statistics.median(r.seconds for r in refused) < statistics.median(r.seconds for r in answered) / 2
    after = asyncio.run(again_and_again(served.url, questions, 2, clients=1))
    assert {reply.status for reply in after} == {200}
    figure(f"of {len(replies):,} questions answered in {milliseconds(answered)}", len(answered))
    figure(f"refused in {milliseconds(refused)}", len(refused))
    figure(f"answered right after it in {milliseconds(after)}", len(after))


@pytest.mark.case("L6", "B18")
def test_health_is_told_while_every_place_is_taken(served: Served, questions: list[str], figure: Figure) -> None:
    """With the reader busy and the queue full, everything but reading answers; clients who leave free their places."""

    async def main() -> list[float]:
        async with client(served.url) as many, client(served.url) as other:
            asking = [asyncio.create_task(ask(many, question, LONG_READING)) for question in questions[: QUEUE + 8]]
            # The reader's one and those that wait; the rest was turned away.
            while sum(task.done() for task in asking) < 7:
                await asyncio.sleep(0.02)
            taken = []
            for path in ("/live", "/ready", "/health", "/metrics", "/initialized", "/files", "/facets") * 3:
                began = time.perf_counter()
                response = await other.get(path)
                taken.append(time.perf_counter() - began)
                assert response.status_code == 200
                if path == "/metrics":
                    assert figure_of(response.text, "queue_waiting") >= QUEUE - 4
            found = await other.post("/search", json={"query": questions[0]})
            assert found.json()["documents"]
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return taken

    taken = asyncio.run(main())
    until_it_holds(lambda: gauge(served.url, "queue_waiting") == gauge(served.url, "queue_reading") == 0, "still busy")
    figure("ms at most for health and metrics, every place taken", f"{max(taken) * 1000:.0f}")


@pytest.mark.case("L4")
def test_a_deadline_frees_the_reader_and_the_queue(data: Path, questions: list[str], figure: Figure) -> None:
    """Questions that cannot be read in time are 504, those behind them too, and then the next is answered."""
    with serving(data, "bundled", **READER, QA_API_DEADLINE="0.5") as served:
        replies = asyncio.run(once(served.url, questions[:4], LONG_READING))
        assert [(reply.status, reply.body["error"]["code"]) for reply in replies] == [(504, "deadline")] * 4
        freed = until_it_holds(lambda: gauge(served.url, "queue_reading") == 0, "the reader goes on")
        assert gauge(served.url, "queue_waiting") == 0
        [after] = asyncio.run(once(served.url, questions[:1], ONE))
        assert after.is_answer
    figure("s at most for a deadline of 0.5 s", f"{max(reply.seconds for reply in replies):.2f}")
    figure("s until the reader had stopped", f"{freed:.2f}")


@pytest.mark.case("L3")
@pytest.mark.timeout(1800)
def test_thousands_of_questions_leave_nothing_behind(
    data: Path, questions: list[str], tmp_path: Path, long: bool, figure: Figure
) -> None:
    """Memory, files, sockets, threads and temporary files are after thousands of questions what they were before."""
    count = 10_000 if long else 400
    model = save_random_reader(tmp_path / "small", BUNDLED_FOLDER)
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def files() -> set[Path]:
        return {path for folder in (temporary, data) for path in folder.rglob("*") if path.is_file()}

    async def some(url: str, number: int) -> None:
        left = iter(range(number))
        async with client(url) as asking:

            async def go_on() -> None:
                for turn in left:
                    # Refusals, and clients that go away, are where leaks hide.
                    if turn % 10 == 7:
                        assert (await ask(asking, " ")).status == 422
                    elif turn % 50 == 9:
                        gone = asyncio.create_task(ask(asking, questions[0], LONG_READING))
                        await asyncio.sleep(0.01)
                        gone.cancel()
                        await asyncio.gather(gone, return_exceptions=True)
                    else:
                        assert (await ask(asking, questions[turn % len(questions)], ONE)).is_answer

            await asyncio.gather(*[go_on() for _ in range(8)])

    with serving(data, str(model), **READER, TMPDIR=str(temporary)) as served:
        process = served.process

        def idle() -> bool:
            return not [c for c in process.net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED]

        asyncio.run(some(served.url, max(200, count // 10)))  # warm
        until_it_holds(idle, "connections stay open")
        before = process.memory_info().rss, process.num_fds(), process.num_threads(), files()
        asyncio.run(some(served.url, count))
        until_it_holds(idle, "connections stay open")
        after = process.memory_info().rss, process.num_fds(), process.num_threads(), files()
        assert after[1] <= before[1] + 2
        assert after[2] <= before[2] + 8  # the store's threads are started as they are needed
        assert after[3] == before[3]
        # An answer is some kilobytes: one kept in a hundred would be seen.
        assert after[0] - before[0] < (count * 1024 if long else 20 * 2**20)
    figure("questions", count)
    figure("MB of memory more", f"{(after[0] - before[0]) / 2**20:+.1f}")
    figure("files and sockets, before and after", f"{before[1]} and {after[1]}")
    figure("threads, before and after", f"{before[2]} and {after[2]}")


@pytest.mark.case("L5")
@pytest.mark.timeout(1800)
def test_ingestion_does_not_stop_the_answers(
    served: Served, data: Path, corpus: Corpus, questions: list[str], tmp_path: Path, long: bool, figure: Figure
) -> None:
    """While another process indexes a hundred thousand passages, all questions are answered, and then with these."""
    documents = written(corpus, tmp_path / "more", 100_000 if long else 2_000)
    answering_beside_ingestion(served.url, questions, documents, {"QA_DATA_DIR": str(data)}, long, figure)


@pytest.mark.case("L5")
@pytest.mark.long
@pytest.mark.elasticsearch
@pytest.mark.timeout(1800)
def test_ingestion_into_elasticsearch_does_not_stop_the_answers(
    elasticsearch_url: str, corpus: Corpus, questions: list[str], tmp_path: Path, figure: Figure
) -> None:
    """The same on a server of its own."""
    where = {"QA_STORE": "elasticsearch", "QA_ELASTICSEARCH_URL": elasticsearch_url, "QA_INDEX": "load"}
    ingest(written(corpus, tmp_path / "first", 1_000), {"QA_DATA_DIR": str(tmp_path / "data"), **where}).wait(300)
    documents = written(corpus, tmp_path / "more", 100_000, 100)
    with serving(tmp_path / "data", "bundled", **READER, **where) as served:
        asyncio.run(again_and_again(served.url, questions, 2, clients=1))  # warm
        environment = {"QA_DATA_DIR": str(tmp_path / "data"), **where}
        answering_beside_ingestion(served.url, questions, documents, environment, True, figure)


def written(corpus: Corpus, folder: Path, passages: int, first: int = 0) -> Path:
    """A folder with files of so many passages in all, and one that answers a question."""
    folder.mkdir()
    for number in range(first, first + passages // 400):
        text = "\n\n".join(passage.text for passage in corpus.passages(number, 400))
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    keeper = "The keeper of the lighthouse at Quorm was called Isabel Marrow.\n"
    (folder / "last.txt").write_text(keeper, encoding="utf-8")
    return folder


def ingest(folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """``qa-app ingest`` as a process."""
    command = [sys.executable, "-m", "qa_app", "ingest", str(folder)]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)


def answering_beside_ingestion(
    url: str, questions: list[str], documents: Path, environment: dict[str, str], long: bool, figure: Figure
) -> None:
    before = gauge(url, "passages")
    idle = asyncio.run(again_and_again(url, questions, 20 if long else 2, clients=1))
    began = time.monotonic()
    indexing = ingest(documents, environment)
    beside: list[Reply] = []
    while indexing.poll() is None:
        beside += asyncio.run(again_and_again(url, questions, 1, clients=1))
    taken = time.monotonic() - began
    assert indexing.returncode == 0
    assert len(beside) > 1
    assert {reply.status for reply in (*idle, *beside)} == {200}
    [keeper] = asyncio.run(once(url, ["Who was the keeper of the lighthouse at Quorm?"]))
    assert keeper.body["answers"][0]["answer"] == "Isabel Marrow"
    until_it_holds(lambda: gauge(url, "passages") > before, "the passages are not counted")
    figure(f"passages indexed in {taken:.0f} s", int(gauge(url, "passages") - before))
    figure(f"answers meanwhile in {milliseconds(beside)}, without it in {milliseconds(idle)}", len(beside))
