"""The API over an Elasticsearch that freezes, fills up, restarts, or loses its index."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from elasticsearch import Elasticsearch

from qa_app import bootstrap
from qa_app.errors import StoreError, StoreUnavailableError
from qa_app.settings import Settings
from qa_app.stores.elasticsearch import ElasticsearchDocumentStore
from tests.contract.test_files_and_labels import file_of
from tests.elasticsearch_server import Node
from tests.faults import clients
from tests.faults.table import Figure
from tests.ingesting import ingesting, settings_for, write
from tests.serving import server, serving
from tests.uploading import eventually

pytestmark = pytest.mark.elasticsearch

TEXT = "The lighthouse keeper is called Ada."
SEARCH = {"query": "lighthouse"}


def ingest(settings: Settings, folder: Path) -> None:
    with ingesting(settings) as run:
        run(write(folder, {"a.txt": TEXT}))


@contextmanager
def without_reader(settings: Settings) -> Iterator[httpx.Client]:
    """A client of the API as soon as it has its store."""
    with serving(settings, ready=False) as api:
        eventually(lambda: api.get("/files").status_code == 200, "the store is open")
        yield api


def uploaded(api: httpx.Client, name: str, text: str, path: str = "/file-upload") -> httpx.Response:
    return api.post(path, files={"files": (name, text.encode())})


def found(api: httpx.Client, **question: Any) -> list[str]:
    answer = api.post("/search", json={**SEARCH, **question}).raise_for_status()
    return [document["content"] for document in answer.json()["documents"]]


async def fifty(url: str) -> tuple[list[tuple[int, float]], set[int]]:
    """What came of fifty searches at once, with the seconds each took, and what ``/live`` said meanwhile."""
    async with clients.client(url) as asking:

        async def search() -> tuple[int, float]:
            began = time.monotonic()
            return (await asking.post("/search", json=SEARCH)).status_code, time.monotonic() - began

        searching = asyncio.gather(*[search() for _ in range(50)])
        lives = set()
        while not searching.done():
            lives.add((await asking.get("/live", timeout=10)).status_code)
            await asyncio.sleep(0.1)
        return await searching, lives


@pytest.mark.case("E3")
@pytest.mark.reader
@pytest.mark.slow
def test_e3_a_frozen_server(elasticsearch_node: Node, tmp_path: Path, long: bool, figure: Figure) -> None:
    """While the server holds connections open without a word, all of fifty searches at once are given up in time and
    the process says that it lives; when the server goes on, the next question is answered."""
    settings = settings_for(
        tmp_path / "data",
        elasticsearch_node.url,
        index=f"e3-{os.getpid()}",
        elasticsearch_timeout=6.0,
        api_deadline=3.0,
    )
    ingest(settings, tmp_path / "documents")
    replies: list[tuple[int, float]] = []
    with server(settings) as running, httpx.Client(base_url=running.url, timeout=60) as api:
        assert found(api) == [TEXT]
        elasticsearch_node.pause()
        try:
            until = time.monotonic() + (60 if long else 0)
            while not replies or time.monotonic() < until:
                some, lives = asyncio.run(fifty(running.url))
                replies += some
                assert lives == {200}
        finally:
            elasticsearch_node.resume()
        assert {status for status, _ in replies} == {503, 504}
        # Of eight at a time, each for the store's timeout, the last would be told after seven times that.
        assert max(seconds for _, seconds in replies) < 20
        assert found(api) == [TEXT]
        answer = api.post("/query", json={"query": "Who keeps the lighthouse?"}).raise_for_status().json()
        assert answer["documents"][0]["content"] == TEXT
    figure("searches of a frozen server given up in time", len(replies))
    figure("s at most until told", f"{max(seconds for _, seconds in replies):.1f}")


@pytest.fixture
def direct(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    """The server as other programs use it."""
    with Elasticsearch(elasticsearch_url) as made:
        yield made


@pytest.fixture
def settings(direct: Elasticsearch, elasticsearch_url: str, tmp_path: Path) -> Iterator[Settings]:
    """Of an index with one file, and no reader, which searches do without; the index goes afterwards."""
    name = f"failing-{os.getpid()}"
    made = settings_for(tmp_path / "data", elasticsearch_url, index=name, reader_model=str(tmp_path / "nowhere"))
    ingest(made, tmp_path / "documents")
    yield made
    direct.indices.delete(index=list(direct.indices.get(index=f"{name}*")))


@pytest.mark.case("E5")
def test_e5_a_full_disk_through_the_api(settings: Settings, direct: Elasticsearch) -> None:
    """Uploads are told that the store is full, or wait for it, and go on by themselves when it is freed; questions are
    answered all along, and emptying the index is how to free it."""

    def block(blocked: bool | None) -> None:
        block = {"index.blocks.read_only_allow_delete": blocked}
        direct.indices.put_settings(index=f"{settings.index}*", settings=block)

    with without_reader(settings) as api:
        block(True)
        refused = uploaded(api, "b.txt", "A second lighthouse.")
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "store_full")
        job = uploaded(api, "c.txt", "A third lighthouse.", "/files").raise_for_status().json()["id"]
        eventually(lambda: api.get(f"/jobs/{job}").json()["status"] == "waiting", "the job waits")
        assert "flood-stage" in api.get(f"/jobs/{job}").json()["message"]
        # For Elasticsearch too, which under this block takes no deletion of documents, since that grows an index first,
        # but only of whole indexes.
        [file] = api.get("/files").json()["files"]
        assert api.delete(f"/files/{file['id']}").status_code == 507
        assert found(api) == [TEXT]
        block(None)
        eventually(lambda: api.get(f"/jobs/{job}").json()["status"] == "done", "the job goes on")
        assert uploaded(api, "b.txt", "A second lighthouse.").status_code == 200
        assert sorted(found(api)) == ["A second lighthouse.", "A third lighthouse.", TEXT]
        block(True)
        assert api.post("/documents/delete_all", json={"index": settings.index}).status_code == 200
        assert found(api) == []
        assert uploaded(api, "d.txt", "A fourth lighthouse.").status_code == 200


@pytest.mark.case("E10")
@pytest.mark.parametrize("parts", [("", ".files", ".journal"), ("",)], ids=["whole", "passages"])
@pytest.mark.parametrize("taken", [False, True], ids=["gone", "taken"])
def test_e10_an_index_lost_under_the_api(
    settings: Settings, direct: Elasticsearch, tmp_path: Path, parts: tuple[str, ...], taken: bool
) -> None:
    """Where somebody deleted the index, and even where another program's, of another mapping, took its name, questions
    and uploads are 503, nothing is made, and nothing of the other's is told; ingested anew, it is found at once."""
    with without_reader(settings) as api:
        assert found(api) == [TEXT]
        direct.indices.delete(index=[f"{settings.index}{part}-000001" for part in parts])
        if taken:  # Elasticsearch makes such an index, and guesses its mapping
            direct.index(index=settings.index, document={"id": "1", "content": "Their lighthouse."}, refresh=True)
        before = direct.indices.get(index=f"{settings.index}*").body
        for answer in (api.post("/search", json=SEARCH), uploaded(api, "b.txt", "A second lighthouse.")):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store"), answer.text
            assert int(answer.headers["retry-after"]) > 0
            assert "Their" not in answer.text
        assert direct.indices.get(index=f"{settings.index}*").body == before
        if before:
            direct.indices.delete(index=list(before))
        ingest(settings, tmp_path / "documents")
        assert found(api) == [TEXT]
        assert uploaded(api, "b.txt", "A second lighthouse.").status_code == 200


@pytest.mark.case("E10")
@pytest.mark.parametrize("part", ["", ".files", ".journal"])
def test_e10_what_is_left_of_an_index(settings: Settings, direct: Elasticsearch, tmp_path: Path, part: str) -> None:
    """An index that lost a part is not completed by an empty one, as if its files were there; emptied, it serves."""
    direct.indices.refresh(index=f"{settings.index}*")
    direct.indices.delete(index=f"{settings.index}{part}-000001")
    with pytest.raises(StoreError, match="a part of index"):
        ingest(settings, tmp_path / "documents")
    with bootstrap.open_store(settings) as store:
        store.delete_all_documents()
        ingest(settings, tmp_path / "documents")
        assert [passage.content for passage in store.query("lighthouse")] == [TEXT]


@pytest.mark.case("E11")
@pytest.mark.slow
def test_e11_a_list_across_a_restart(elasticsearch_node: Node) -> None:
    """A list that the server forgot when it restarted is begun anew, unseen; one of which some was given out already
    ends with an error, and is never taken for whole."""
    index = f"e11-{os.getpid()}"
    store = ElasticsearchDocumentStore(url=elasticsearch_node.url, index=index, label_index=f"{index}-labels", wait=60)
    texts = {f"Passage {number}." for number in range(30)}
    store.write_files([file_of(text, text) for text in texts])
    store.finish_writing()
    transport = store.client.transport
    send = transport.perform_request

    def restarting(method: str, target: str, **options: Any) -> Any:
        if target.startswith("/_search"):  # the first of a list that is open already
            transport.perform_request = send  # type: ignore[method-assign]
            elasticsearch_node.restart()
        return send(method, target, **options)

    transport.perform_request = restarting  # type: ignore[method-assign]
    assert {passage.content for passage in store.get_all_documents_generator(batch_size=10)} == texts
    assert transport.perform_request is not restarting
    begun = store.get_all_documents_generator(batch_size=10)
    next(begun)
    elasticsearch_node.restart()
    with pytest.raises(StoreUnavailableError, match="lost a search"):
        list(begun)
    store.close()
