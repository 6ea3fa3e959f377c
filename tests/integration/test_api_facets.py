"""What to filter by, lists of files in any order and stretches of their texts, on both stores."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from haystack.schema import Document

from tests.serving import Server


@pytest.fixture
def index(api_server: Server) -> Iterator[str]:
    """The name of an index for one test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name
    api_server.services.store.delete_index(name)


def upload(api: httpx.Client, index: str, name: str, text: str, meta: dict[str, Any] | None = None) -> None:
    files = [("files", (name, text.encode()))]
    answer = api.post("/file-upload", files=files, data={"meta": json.dumps(meta or {})}, params={"index": index})
    assert answer.status_code == 200, answer.text


def put(running: Server, index: str, name: str, meta: dict[str, Any]) -> None:
    """A file of two passages as other programs may write it: what is uploaded has no lists among its metadata."""
    own = {**meta, "name": name, "media_type": "text/plain"}
    file = Document(id=f"file-{name}", content="Ada keeps the lighthouse. Bo keeps bees.", meta=own)
    passages = [
        Document(
            id=f"{name}-{start}",
            content="Ada keeps the lighthouse. Bo keeps bees."[start:end],
            meta={**own, "file_id": file.id, "start": start, "end": end},
        )
        for start, end in ((0, 25), (26, 40))
    ]
    store = running.services.store
    store.write_files([(file, passages)], index)
    store.finish_writing(index)


def facets(api: httpx.Client, index: str) -> dict[str, dict[str, Any]]:
    """The facets by field."""
    answer = api.get("/facets", params={"index": index})
    assert answer.status_code == 200, answer.text
    return {one["field"]: one for one in answer.json()["facets"]}


def values(facet: dict[str, Any]) -> list[tuple[Any, int]]:
    return [(one["value"], one["count"]) for one in facet["values"]]


METADATA: list[dict[str, Any]] = [
    {"team": "north", "year": 2024, "draft": True, "tags": ["red", "blue"], "price": 1.5},
    {"team": "north", "year": 2024, "draft": False, "tags": ["red", "red"], "price": 1, "mixed": "1"},
    {"team": "North", "year": 2023, "draft": False, "tags": ["Größe 😀"], "price": 1.0, "mixed": 1},
    {"team": "nörth ' \" % _ \\ *", "year": -1, "draft": False, "tags": [], "mixed": True, "nested": {"a": 1}},
    {"team": "2024-01-31", "year": 2**53, "tags": ["red", 7, False], "mixed": 1.5, "none": None, "a.b": "dotted"},
]


def test_each_value_leaves_the_files_it_counts(api: httpx.Client, api_server: Server, index: str) -> None:
    """Every value that is listed, used as a filter, gives passages of exactly as many files as it says."""
    for n, meta in enumerate(METADATA):
        put(api_server, index, f"{n}.txt", meta)
    found = facets(api, index)
    assert {"team", "year", "draft", "tags", "price", "mixed", "a.b", "media_type"} <= set(found)
    assert not {"nested", "none", "name", "path", "file_id", "sha256", "size"} & set(found)
    listed = [(field, value, count) for field, facet in found.items() for value, count in values(facet)]
    assert len(listed) > 20
    for field, value, count in listed:
        passages = api.post(
            "/documents/get_by_filters", json={"filters": {field: value}}, params={"index": index}
        ).json()
        assert len(passages) == 2 * count, (field, value)
        assert len({passage["meta"]["file_id"] for passage in passages}) == count, (field, value)


def test_counts_and_kinds(api: httpx.Client, api_server: Server, index: str) -> None:
    """Files are counted, each element of a list once, the most frequent value first, with their kinds."""
    for n, meta in enumerate(METADATA):
        put(api_server, index, f"{n}.txt", meta)
    found = facets(api, index)
    assert api.get("/facets", params={"index": index}).json()["files"] == 5
    assert values(found["team"])[0] == ("north", 2)
    assert values(found["draft"]) == [(False, 3), (True, 1)]
    assert values(found["price"]) == [(1, 2), (1.5, 1)]
    assert dict(values(found["tags"]))["red"] == 3
    assert {field: found[field]["kind"] for field in ("team", "year", "draft", "price", "tags", "mixed")} == {
        "team": "text",
        "year": "number",
        "draft": "boolean",
        "price": "number",
        "tags": "mixed",
        "mixed": "mixed",
    }
    assert values(found["media_type"]) == [("text/plain", 5)]


def test_a_filter_made_of_a_facet_reaches_questions(api: httpx.Client, index: str) -> None:
    """A facet's value, as a filter of /query, is where the answer comes from."""
    upload(api, index, "a.txt", "The lighthouse keeper is Ada.", {"place": "Oslo"})
    upload(api, index, "b.txt", "The lighthouse keeper is Bo.", {"place": "Rome"})
    for one in facets(api, index)["place"]["values"]:
        params = {"index": index, "filters": {"place": one["value"]}}
        body = {"query": "Who is the lighthouse keeper?", "params": {"Retriever": params}}
        documents = api.post("/query", json=body).json()["documents"]
        assert [document["meta"]["place"] for document in documents] == [one["value"]]


def test_many_values_and_long_ones(api: httpx.Client, api_server: Server, index: str) -> None:
    """The most frequent 50 values are listed, the others counted; prose and what each file has its own is left out."""
    numbers = [f"label {n}" for n in range(70)]
    put(api_server, index, "a.txt", {"tags": numbers, "note": "x" * 201, "own": "a", "short": "y" * 200})
    put(api_server, index, "b.txt", {"tags": ["label 69"], "own": "b"})
    found = facets(api, index)
    assert (len(found["tags"]["values"]), found["tags"]["others"]) == (50, 20)
    assert values(found["tags"])[0] == ("label 69", 2)
    assert "note" not in found
    assert values(found["short"]) == [("y" * 200, 1)]
    for n in range(20):
        put(api_server, index, f"{n}.txt", {"own": str(n), "tags": ["label 1"]})
    found = facets(api, index)
    assert "own" not in found
    assert values(found["tags"])[0] == ("label 1", 21)


def test_facets_of_what_is_gone(api: httpx.Client, index: str) -> None:
    """A deleted file is no longer counted; an index that is not there is 404, an empty one has no facets."""
    upload(api, index, "a.txt", "Alpha.", {"team": "red"})
    upload(api, index, "b.txt", "Beta.", {"team": "blue"})
    files = api.get("/files", params={"index": index, "name": "a.txt"}).json()["files"]
    api.delete(f"/files/{files[0]['id']}", params={"index": index})
    assert values(facets(api, index)["team"]) == [("blue", 1)]
    api.post("/documents/delete_all", json={"index": index})
    answer = api.get("/facets", params={"index": index})
    assert answer.status_code == 404 or answer.json() == {"facets": [], "files": 0}
    assert api.get("/facets", params={"index": "nowhere"}).status_code == 404


# -- lists of files --------------------------------------------------------------------------------------------------


def names(api: httpx.Client, index: str, **query: Any) -> list[str]:
    answer = api.get("/files", params={"index": index, **query})
    assert answer.status_code == 200, answer.text
    return [file["name"] for file in answer.json()["files"]]


def test_files_by_name_and_age(api: httpx.Client, api_server: Server, index: str) -> None:
    """Files are listed by path without regard to case, or the last ingested first, in pages that miss none."""
    for name in ("beta.txt", "Alpha.txt", "gamma.txt", "Älpha.txt", "delta.txt"):
        upload(api, index, name, f"Text of {name}.")
    by_name = ["Alpha.txt", "beta.txt", "delta.txt", "gamma.txt", "Älpha.txt"]
    assert names(api, index, order="name") == by_name
    paged = [name for offset in (0, 2, 4, 6) for name in names(api, index, order="name", offset=offset, limit=2)]
    assert paged == by_name
    store = api_server.services.store
    for n, file in enumerate(sorted(store.get_all_files(index), key=lambda file: str(file.meta["name"]))):
        passages = store.get_file_passages(file.id, index)
        full = store.get_file(file.id, index)
        assert full is not None
        full.meta["ingested_at"] = f"2026-01-0{n + 1}T00:00:00Z"
        store.write_files([(full, passages)], index)
    store.finish_writing(index)
    assert names(api, index, order="newest") == sorted(by_name, reverse=True)
    assert names(api, index, order="newest", offset=1, limit=1) == [sorted(by_name, reverse=True)[1]]


def test_files_by_part_of_a_name(api: httpx.Client, api_server: Server, index: str) -> None:
    """A part of a name or path finds files in any case, with their number, and pages through them by either way."""
    for name in ("Report one.txt", "report two.txt", "Straße.txt", "100%.txt", "a_b.txt"):
        upload(api, index, name, f"Text of {name}.")
    assert sorted(names(api, index, name="REPORT")) == ["Report one.txt", "report two.txt"]
    for part, found in (("STRASSE", "Straße.txt"), ("%", "100%.txt"), ("_", "a_b.txt")):
        assert names(api, index, name=part) == [found]
    assert names(api, index, name="nothing") == []
    page = api.get("/files", params={"index": index, "name": "report", "limit": 1}).json()
    assert page["total"] == 2
    rest = api.get("/files", params={"index": index, "name": "report", "limit": 1, "after": page["next"]}).json()
    assert {file["name"] for file in page["files"] + rest["files"]} == {"Report one.txt", "report two.txt"}
    assert rest["next"] is None
    # Those that were read from a folder are found by its name, too.
    assert names(api, api_server.services.settings.index, name="notes/") == ["tea.txt"]


def test_how_many_files(api: httpx.Client, index: str) -> None:
    """The total is that of all files that fit, whatever the page; beyond the last there are none."""
    for n in range(4):
        upload(api, index, f"{n}.txt", f"Number {n}.")
    for order in ("id", "name", "newest"):
        page = api.get("/files", params={"index": index, "order": order, "limit": 1, "offset": 2}).json()
        assert (len(page["files"]), page["total"]) == (1, 4)
        page = api.get("/files", params={"index": index, "order": order, "offset": 9}).json()
        assert (page["files"], page["total"], page["next"]) == ([], 4, None)


@pytest.mark.parametrize("query", ["order=size", "offset=-1", "limit=0", "limit=1001", f"name={'x' * 201}"])
def test_odd_lists(api: httpx.Client, query: str) -> None:
    """What the description does not allow is refused."""
    assert api.get(f"/files?{query}").status_code == 422


# -- stretches of a text ---------------------------------------------------------------------------------------------


def test_a_stretch_of_a_text(api: httpx.Client, index: str) -> None:
    """A stretch is the text between two code points, with where it begins, the whole length, and what overlaps it."""
    text = "".join(f"Sentence {n} with 😀 and ß in it. " for n in range(400)).strip()
    upload(api, index, "long.txt", text)
    [file] = api.get("/files", params={"index": index}).json()["files"]
    address = f"/files/{file['id']}/text"
    whole = api.get(address, params={"index": index}).json()
    assert (whole["text"], whole["start"], whole["length"]) == (text, 0, len(text))
    assert len(whole["passages"]) == file["passages"] > 10
    middle = whole["passages"][5]
    for start, end in ((0, 10), (middle["start"], middle["end"]), (5000, 5001), (len(text) - 3, None), (0, 2**31)):
        query = {"index": index, "start": start, **({} if end is None else {"end": end})}
        window = api.get(address, params=query).json()
        last = len(text) if end is None else min(end, len(text))
        assert (window["text"], window["start"], window["length"]) == (text[start:last], start, len(text))
        assert window["passages"] == [p for p in whole["passages"] if p["start"] < last and p["end"] > start]


def test_a_stretch_beyond_the_text(api: httpx.Client, index: str) -> None:
    """Beyond the end, or with the end before the start, there is no text and no passage; below zero is refused."""
    upload(api, index, "a.txt", "Ada keeps the lighthouse.")
    [file] = api.get("/files", params={"index": index}).json()["files"]
    address = f"/files/{file['id']}/text"
    for start, end in ((100, 200), (25, 25), (10, 5)):
        window = api.get(address, params={"index": index, "start": start, "end": end}).json()
        assert (window["text"], window["length"]) == ("", 25)
        assert window["start"] <= 25
        assert window["passages"] == []
    for query in ({"start": -1}, {"end": -1}, {"start": "x"}):
        assert api.get(address, params={"index": index, **query}).status_code == 422
