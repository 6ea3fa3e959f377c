"""Elasticsearch killed, and its answers lost, while a folder is ingested through a proxy that counts bulk requests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from qa_app import bootstrap
from qa_app.errors import StoreUnavailableError
from qa_app.pipelines import ingestion
from qa_app.stores.passage_store import PassageStore
from tests import elasticsearch_server
from tests.elasticsearch_proxy import ElasticsearchProxy
from tests.faults.table import Figure
from tests.ingesting import ends, half, ingesting, settings_for, snapshot, write

FILES = 120

pytestmark = [pytest.mark.elasticsearch, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of a few passages each, which take a dozen batches."""
    monkeypatch.setattr(ingestion, "BATCH_FILES", 10)
    texts = {n: "\n\n".join(f"Sentence {k} of file {n} is here." * 9 for k in range(9)) for n in range(FILES)}
    return write(tmp_path / "papers", {f"{n:03}.txt": text for n, text in texts.items()})


def clean(folder: Path, data: Path) -> list[tuple[str, str, str]]:
    """What an undisturbed run stores."""
    with ingesting(settings_for(data)) as ingest:
        ingest(folder)
        return snapshot(ingest.store)


def stored(store: PassageStore) -> dict[str, str]:
    """The hash of each file whose passages are found, by its path."""
    return {passage.meta["path"]: passage.meta["sha256"] for passage in store.get_all_documents()}


@pytest.mark.case("E2")
@pytest.mark.timeout(1500)
def test_e2_killed_at_random_bulks(
    elasticsearch_node: elasticsearch_server.Node, folder: Path, tmp_path: Path, long: bool, figure: Figure
) -> None:
    """Whichever bulk request kills the server, all acknowledged files are there and none is half there; with patience
    the ingestion goes on, without it the next one ends with what a clean run stores."""
    dice, kills = random.Random(2), 30 if long else 1
    texts = [path.read_text() for path in folder.iterdir()]
    bulks, doomed, acknowledged, outlived = FILES // 10, 0, 0, 0
    killing: threading.Timer | None = None

    def kill(patient: bool) -> None:
        elasticsearch_node.kill()
        if patient:
            elasticsearch_node.restart()

    def losing(number: int) -> str:
        nonlocal killing
        if number == doomed:  # before, while or after the server does its work
            killing = threading.Timer(dice.choice([0, dice.uniform(0, 0.1)]), kill, [patient])
            killing.start()
        return ""

    with ElasticsearchProxy(elasticsearch_node.url, losing) as proxy:
        for number in range(kills):
            patient = number % 3 == 1
            settings = settings_for(
                tmp_path / "data", proxy.url, index=f"e2-{os.getpid()}", elasticsearch_wait=60 if patient else 0.5
            )
            for path in dice.sample(sorted(folder.iterdir()), FILES * 2 // 3):
                texts.append(f"{path.read_text()}\n\nChange {number} of {path.name}.")
                path.write_text(texts[-1])
            doomed = proxy.bulks + dice.randint(1, bulks)
            with contextlib.suppress(StoreUnavailableError), ingesting(settings) as ingest:
                ingest(folder)
                outlived += 1
            assert killing is not None
            killing.join()
            killing = None
            elasticsearch_node.restart()
            done = [result.path for result in ingest.seen if result.status in {"indexed", "unchanged"}]
            acknowledged += len(done)
            with bootstrap.open_store(settings) as store:
                assert half(store, texts) == ""
                store.finish_writing()  # new files are found when a writer, this or the next one, comes to its end
                assert half(store, texts) == ""
                there = stored(store)
                assert {path: there[path] for path in done} == {
                    path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in done
                }
        figure("kills of Elasticsearch", kills)
        figure("files acknowledged and found", acknowledged)
        assert outlived >= kills // 3
        assert acknowledged > (kills - 1) * FILES / 4
        with ingesting(settings) as ingest:
            ingest(folder)
            assert snapshot(ingest.store) == clean(folder, tmp_path / "clean")
            assert ingest.store.problem() is None
            assert set(ends(ingest(folder)).values()) == {"unchanged"}


@pytest.mark.case("E7")
def test_e7_lost_answers(
    elasticsearch_node: elasticsearch_server.Node, folder: Path, tmp_path: Path, figure: Figure
) -> None:
    """Where the line breaks before or after the server did its work, files arrive once, as in a clean run."""
    dice, fates = random.Random(7), Counter[str]()

    def losing(number: int) -> str:
        fate = dice.choice(["", "request", "answer"])
        fates[fate] += 1
        return fate

    with ElasticsearchProxy(elasticsearch_node.url, losing) as proxy:
        settings = settings_for(tmp_path / "data", proxy.url, index=f"e7-{os.getpid()}", elasticsearch_wait=120)
        with ingesting(settings) as ingest:
            assert set(ends(ingest(folder)).values()) == {"indexed"}
        for path in folder.iterdir():
            path.write_text(f"{path.read_text()}\n\nA change.")
        with ingesting(settings) as ingest:
            assert set(ends(ingest(folder)).values()) == {"indexed"}
            assert proxy.bulks > 2 * FILES // 10 + 4, "hardly a request was lost"
            assert snapshot(ingest.store) == clean(folder, tmp_path / "clean")
            assert ingest.store.problem() is None
    figure("bulk requests lost", fates["request"])
    figure("answers to bulk requests lost", fates["answer"])
