"""Questions that the documents answer, for a visitor's first look, on both stores and with the real reader."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ingesting import ingesting, settings_for, write
from tests.serving import Server, client, server, serving

pytestmark = pytest.mark.reader

DOCUMENTS = {
    "vasa.txt": "Anders Franzén found the wreck of a ship. Ada Lovelace was born in London on 10 December 1815.",
    "piano.txt": "A piano has 88 keys, of which 52 are white. The piano was invented by Bartolomeo Cristofori.",
    "tower.txt": "Gustave Eiffel built the Eiffel Tower in 1889 for a fair. It is made of iron.",
    "lake.txt": "Lake Baikal lies in southern Siberia. It was measured by many. They found it very deep.",
    "machine.txt": "Herman Hollerith founded the Tabulating Machine Company in 1896. It made machines for the census.",
}


@pytest.fixture
def index(api_server: Server) -> Iterator[str]:
    """The name of an index for one test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name
    api_server.services.store.delete_index(name)


@pytest.fixture
def labels(api_server: Server) -> Iterator[None]:
    """What people judge in a test is forgotten after it."""
    yield
    api_server.services.store.delete_labels()


def upload(api: httpx.Client, index: str, documents: dict[str, str]) -> None:
    files = [("files", (name, text.encode())) for name, text in documents.items()]
    answer = api.post("/file-upload", files=files, params={"index": index})
    assert answer.status_code == 200, answer.text


def examples(api: httpx.Client, index: str | None, **query: Any) -> list[dict[str, str]]:
    answer = api.get("/example-questions", params={**({"index": index} if index else {}), **query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, str]] = answer.json()["questions"]
    return found


def ask(api: httpx.Client, index: str, query: str) -> dict[str, Any]:
    answer: dict[str, Any] = api.post("/query", json={"query": query, "params": {"Retriever": {"index": index}}}).json()
    return answer


def judge(api: httpx.Client, result: dict[str, Any], **changes: Any) -> None:
    """Feedback on the first answer with words of what /query gave."""
    best = next(one for one in result["answers"] if one["answer"])
    document = next(one for one in result["documents"] if one["id"] == best["document_ids"][0])
    body = {
        "query": result["query"],
        "answer": best,
        "document": document,
        "is_correct_answer": True,
        "is_correct_document": True,
        "origin": "gold-label",
        **changes,
    }
    answer = api.post("/feedback", json=body)
    assert answer.status_code == 200, answer.text


def test_each_is_answered_as_it_says(api: httpx.Client, index: str) -> None:
    """Every example's answer is the first that /query gives, in the file that it names, and stands in its text."""
    upload(api, index, DOCUMENTS)
    found = examples(api, index, limit=10)
    assert len(found) >= 3
    assert len({one["query"] for one in found}) == len(found)
    for one in found:
        best = ask(api, index, one["query"])["answers"][0]
        assert (best["answer"], best["meta"]["file_id"]) == (one["answer"], one["file_id"])
        assert one["answer"] in DOCUMENTS[one["name"]]
    assert "When did Herman Hollerith found the Tabulating Machine Company?" in {one["query"] for one in found}


def test_as_many_as_wanted(api: httpx.Client, index: str) -> None:
    """The first few are the same however many are wanted, in the same order each time."""
    upload(api, index, DOCUMENTS)
    two = examples(api, index, limit=2)
    more = examples(api, index, limit=10)
    assert len(two) == 2
    assert more[:2] == two
    assert examples(api, index, limit=10) == more
    assert examples(api, index) == more[:4]


def test_gold_labels_come_first(api: httpx.Client, index: str, labels: None) -> None:
    """Questions of gold labels are the first, the newest before all, each once; none judged wrong, and nobody's own."""
    upload(api, index, DOCUMENTS)
    older = ask(api, index, "Which company did Herman Hollerith found?")
    newer = ask(api, index, "How many keys are there on a piano?")
    wrong = ask(api, index, "Who built a tower of iron?")
    judge(api, older, created_at="2025-01-01 10:00:00")
    judge(api, newer, created_at="2025-02-01 10:00:00")
    judge(api, {**newer, "query": "how many  keys are THERE on a piano?"}, created_at="2025-01-15 10:00:00")
    mine = "Which company did my dear friend Hollerith found?"
    judge(api, {**older, "query": mine}, created_at="2025-04-01 10:00:00", origin="user-feedback")
    judge(api, wrong, created_at="2025-03-01 10:00:00", is_correct_answer=False)
    found = examples(api, index, limit=10)
    assert [one["query"] for one in found[:2]] == [newer["query"], older["query"]]
    assert [one["answer"] for one in found[:2]] == ["88", "Tabulating Machine Company"]
    assert len(found) > 2
    assert {wrong["query"], mine}.isdisjoint(one["query"] for one in found)


def test_documents_that_change(api: httpx.Client, index: str, labels: None) -> None:
    """When a file goes its questions go, those of gold labels too, and a new file's come."""
    upload(api, index, DOCUMENTS)
    judge(api, ask(api, index, "Which company did Herman Hollerith found?"))
    assert "machine.txt" in {one["name"] for one in examples(api, index, limit=10)}
    [file] = api.get("/files", params={"index": index, "name": "machine.txt"}).json()["files"]
    assert api.delete(f"/files/{file['id']}", params={"index": index}).status_code == 200
    assert "machine.txt" not in {one["name"] for one in examples(api, index, limit=10)}
    upload(api, index, {"snow.txt": "John Snow was born in York on 15 March 1813. He became a doctor in London."})
    assert "When was John Snow born?" in {one["query"] for one in examples(api, index, limit=10)}


def test_where_there_are_none(api: httpx.Client, index: str) -> None:
    """Documents in other languages, and ones without plain sentences, have no examples; an unknown index is 404."""
    other = {
        "de.txt": "Die Rhône fließt durch Lyon. Ada Lovelace wurde 1815 in London geboren. Sie war Mathematikerin.",
        "list.txt": "1, 2, 3\n\nTotal: 6\n\nIt was built in 1889 by him. This was founded in 1900.",
    }
    upload(api, index, other)
    assert examples(api, index) == []
    assert api.get("/example-questions", params={"index": "nowhere"}).status_code == 404


@pytest.mark.parametrize("limit", ["0", "11", "x", "-1"])
def test_odd_limits(api: httpx.Client, limit: str) -> None:
    """What the description does not allow is refused."""
    assert api.get("/example-questions", params={"limit": limit}).status_code == 422


def test_visitors_at_once(api: httpx.Client, index: str) -> None:
    """Many first visitors at the same time all get the same examples."""
    upload(api, index, DOCUMENTS)
    found: list[Any] = []
    visitors = [threading.Thread(target=lambda: found.append(examples(api, index))) for _ in range(6)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert len(found) == 6
    assert found[0]
    assert all(one == found[0] for one in found)


def test_without_its_reader(tmp_path: Path) -> None:
    """Where the reader is missing there are no made examples, and no error."""
    settings = settings_for(tmp_path / "data", reader_model=str(tmp_path / "nowhere"))
    with ingesting(settings) as ingest:
        ingest(write(tmp_path / "documents", dict(DOCUMENTS)))
    with serving(settings, ready=False) as api:
        until = time.monotonic() + 60
        while "store" in (missing := api.get("/ready").json()["missing"]) or "nowhere" not in str(missing):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert examples(api, None) == []


def test_a_reader_that_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While more wait for the reader than it takes, there are no examples and no error; later there are."""
    settings = settings_for(tmp_path / "data", api_queue=1)
    with ingesting(settings) as ingest:
        ingest(write(tmp_path / "documents", dict(DOCUMENTS)))
    with server(settings) as running, client(running.url) as api:
        go_on = threading.Event()
        work = running.services.queue._work

        def held(*arguments: Any) -> list[Any]:
            go_on.wait(120)
            return work(*arguments)

        monkeypatch.setattr(running.services.queue, "_work", held)
        asking = []
        # One is read and the other waits, which is all that may.
        for gauge in ("qa_app_queue_reading 1.0", "qa_app_queue_waiting 1.0"):
            asking.append(
                threading.Thread(
                    target=httpx.post,
                    args=(f"{running.url}/query",),
                    kwargs={"json": {"query": "Who?"}, "timeout": 120},
                )
            )
            asking[-1].start()
            until = time.monotonic() + 60
            while gauge not in api.get("/metrics").text:
                assert time.monotonic() < until
        assert examples(api, None) == []
        go_on.set()
        for one in asking:
            one.join()
        assert examples(api, None)
