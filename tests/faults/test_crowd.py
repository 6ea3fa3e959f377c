"""Very many clients of one server at once, each with a document of its own."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.serving import serving
from qa_app import bootstrap
from tests.conftest import ENGINES
from tests.faults.clients import client, once
from tests.faults.table import Figure
from tests.ingesting import ingesting, settings_for, write

pytestmark = [pytest.mark.reader, pytest.mark.slow]

READER = {"QA_READER_ENGINE": "openvino", "QA_READER_ENGINE_CACHE": str(ENGINES)}
CANARY = re.compile(r"kelpie\d+")
#: Too many wait, or the same is being written.
BUSY = {409, 429}


class Guest:
    """Uploads, asks, searches, judges and deletes; sees nothing of what the others have."""

    def __init__(self, number: int, asking: httpx.AsyncClient, statuses: Counter[int]) -> None:
        self.name, self.canary = f"guest-{number}.txt", f"kelpie{number}"
        self.text = f"The password of guest number {number} is {self.canary}."
        self.question = f"What is the password of guest number {number}?"
        self._asking, self._statuses = asking, statuses

    async def stay(self) -> None:
        """All that a guest does; fails on a word of somebody else's and on any error but busyness."""
        await self._until_done("/file-upload", files={"files": (self.name, self.text.encode())})
        filters = {"filters": {"name": self.name}}
        answered = await self._until_done("/query", json={"query": self.question, "params": filters})
        [document] = answered["documents"]
        assert (answered["query"], document["content"]) == (self.question, self.text)
        best = answered["answers"][0]
        await self._until_done("/search", json={"query": self.canary})
        judgement = {
            "query": self.question,
            "answer": best,
            "document": document,
            "is_correct_answer": True,
            "is_correct_document": True,
            "origin": "user-feedback",
            "id": self.canary,
        }
        await self._until_done("/feedback", json=judgement)
        await self._until_done("/documents/delete_by_filters", json=filters)

    async def _until_done(self, path: str, **request: Any) -> Any:
        until = time.monotonic() + 240
        while True:
            answer = await self._asking.post(path, **request)
            self._statuses[answer.status_code] += 1
            assert answer.status_code in {200, *BUSY}, answer.text
            assert set(CANARY.findall(answer.text)) <= {self.canary}
            if answer.status_code == 200:
                return answer.json()
            assert time.monotonic() < until
            await asyncio.sleep(0.2)


@pytest.mark.case("B17")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "store", ["sqlite", pytest.param("elasticsearch", marks=[pytest.mark.elasticsearch, pytest.mark.long])]
)
def test_a_crowd_never_mixes(
    store: str, tmp_path: Path, request: pytest.FixtureRequest, long: bool, figure: Figure
) -> None:
    """Uploads, questions, searches, judgements and deletions at once: everybody has his own, and nothing is lost."""
    address = request.getfixturevalue("elasticsearch_url") if store == "elasticsearch" else None
    settings = settings_for(tmp_path / "data", address, index=f"crowd-{os.getpid()}")
    environment = {"QA_STORE": store, "QA_INDEX": settings.index, **READER}
    if address:
        environment["QA_ELASTICSEARCH_URL"] = address
    guests = 200 if long else 30
    statuses: Counter[int] = Counter()

    async def crowd(url: str) -> None:
        async with client(url) as asking:
            await asyncio.gather(*[Guest(number, asking, statuses).stay() for number in range(guests)])

    with serving(settings.data_path, "bundled", **environment) as served:
        asyncio.run(crowd(served.url))
        judged = [label["id"] for label in httpx.get(f"{served.url}/feedback", timeout=60).json()]
    figure(f"clients at once on {store}", guests)
    figure("requests", sum(statuses.values()))
    figure("turned away and come again", sum(count for status, count in statuses.items() if status in BUSY))
    assert sorted(judged) == sorted(f"kelpie{number}" for number in range(guests))
    with bootstrap.open_store(settings) as opened:
        assert list(opened.get_all_files()) == opened.get_all_documents() == []


@pytest.mark.case("M8")
def test_fifty_questions_at_once_all_end(tmp_path: Path, figure: Figure) -> None:
    """Each is answered with its own words, however many threads ask the reader at the same time."""
    texts = {f"{n}.txt": f"The keeper of lighthouse number {n} is called Keeper{n}." for n in range(50)}
    with ingesting(settings_for(tmp_path / "data")) as ingest:
        ingest(write(tmp_path / "documents", dict(texts)))
    questions = [f"Who is the keeper of lighthouse number {n}?" for n in range(50)]
    with serving(tmp_path / "data", "bundled", QA_API_QUEUE="50", **READER) as served:
        for _ in range(2):
            replies = asyncio.run(once(served.url, questions))
            assert [reply.status for reply in replies] == [200] * 50
            for number, reply in enumerate(replies):
                assert texts[f"{number}.txt"] in {document["content"] for document in reply.body["documents"]}
    figure("questions at once, all answered", 50)
