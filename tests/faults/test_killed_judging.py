"""The server as a process, killed while people judge answers."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.serving import serving
from qa_app.datasets.squad import read_questions
from qa_app.reading.resolution import BUNDLED_FOLDER
from tests.faults.table import Figure
from tests.ingesting import ingesting, settings_for, write
from tests.unit.reading.tiny import save_random_reader

TEXT = "The ferry to Skarvik leaves at nine. It carries forty cars and the post."


class Judges:
    """Several at once; one that hears nothing sends the same judgement again to the next server."""

    def __init__(self, document: str) -> None:
        self.document = document
        self.kept: list[str] = []
        self._open: list[str] = []
        self._number = 0
        self._lock = threading.Lock()

    def judge(self, url: str) -> None:
        """Until the server is gone."""
        threads = [threading.Thread(target=self._judge, args=(url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _judge(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while True:
                id = self._next()
                try:
                    answer = client.post("/feedback", json=self._label(id))
                except httpx.TransportError:
                    self._open.append(id)
                    return
                assert answer.status_code == 200, answer.text
                self.kept.append(id)

    def _next(self) -> str:
        with self._lock:
            if self._open:
                return self._open.pop()
            self._number += 1
            return f"judgement-{self._number}"

    def _label(self, id: str) -> dict[str, Any]:
        start = TEXT.index("nine")
        place = {"start": start, "end": start + 4}
        return {
            "id": id,
            "query": f"When does the ferry leave, asks {id}?",
            "document": {"id": self.document},
            "answer": {"answer": "nine", "document_ids": [self.document], "offsets_in_document": [place]},
            "is_correct_answer": True,
            "is_correct_document": True,
            "origin": "user-feedback",
        }


@pytest.mark.case("E19")
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "store", ["sqlite", pytest.param("elasticsearch", marks=[pytest.mark.elasticsearch, pytest.mark.long])]
)
def test_e19_acknowledged_judgements_are_kept_once(
    store: str, tmp_path: Path, request: pytest.FixtureRequest, long: bool, figure: Figure
) -> None:
    """Whenever the server is killed, each judgement that it answered for is there once, and the export is SQuAD."""
    dice, kills = random.Random(19), 100 if long else 2
    address = request.getfixturevalue("elasticsearch_url") if store == "elasticsearch" else None
    settings = settings_for(tmp_path / "data", address, index=f"judged-{os.getpid()}")
    environment = {"QA_INDEX": settings.index, "QA_STORE": store, "QA_READER_ENGINE": "torch"}
    if address:
        environment["QA_ELASTICSEARCH_URL"] = address
    with ingesting(settings) as ingest:
        ingest(write(tmp_path / "documents", {"ferry.txt": TEXT}))
        [document] = ingest.store.get_all_documents()
    model = str(save_random_reader(tmp_path / "reader", BUNDLED_FOLDER))
    judges = Judges(document.id)
    for _ in range(kills):
        with serving(settings.data_path, model, **environment) as served:
            judging = threading.Thread(target=judges.judge, args=(served.url,))
            judging.start()
            time.sleep(dice.uniform(0.1, 0.6))
            served.process.kill()
            judging.join()
    with serving(settings.data_path, model, **environment) as served:
        found = [label["id"] for label in httpx.get(f"{served.url}/feedback", timeout=60).json()]
        (tmp_path / "export.json").write_bytes(httpx.get(f"{served.url}/export-feedback", timeout=60).content)
    figure(f"kills of a server in mid-judgement on {store}", kills)
    figure("judgements acknowledged and found once", len(judges.kept))
    assert len(judges.kept) > kills
    assert len(found) == len(set(found))
    assert set(judges.kept) <= set(found)
    exported = read_questions(tmp_path / "export.json", places=True)
    assert {question.id for question in exported} == set(found)
    assert {answer.text for question in exported for answer in question.answers} == {"nine"}
