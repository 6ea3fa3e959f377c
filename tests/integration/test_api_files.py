"""Files over the API: uploaded, waited for, listed, read, downloaded, replaced and deleted."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import Server

FILES = list[tuple[str, tuple[str, bytes]]]


def files(**contents: str | bytes) -> FILES:
    """The form's files, by name; ``__`` in a name is its dot."""
    return [
        ("files", (name.replace("__", "."), content.encode() if isinstance(content, str) else content))
        for name, content in contents.items()
    ]


@pytest.fixture
def index(api_server: Server) -> Iterator[str]:
    """The name of an index for one test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name
    api_server.services.store.delete_index(name)


def upload(
    api: httpx.Client, index: str, given: FILES, meta: dict[str, Any] | None = None, **query: Any
) -> httpx.Response:
    data = {"meta": json.dumps(meta)} if meta is not None else {}
    return api.post("/file-upload", files=given, data=data, params={"index": index, **query})


def listed(api: httpx.Client, index: str) -> dict[str, dict[str, Any]]:
    """The files of the index by name."""
    return {file["name"]: file for file in api.get("/files", params={"index": index}).json()["files"]}


@pytest.mark.case("D8")
def test_haystacks_upload(api: httpx.Client, index: str) -> None:
    """Files of several types in one upload are all indexed, each passage under its own file's name."""
    given = files(a__txt="Ada keeps the lighthouse.", b__md="# Bo\n\nBo keeps bees.", c__html="<p>Cy keeps cats.</p>")
    answer = upload(api, index, given, {"year": 2024, "draft": False})
    assert (answer.status_code, answer.json()) == (200, None)
    found = api.post("/documents/get_by_filters", json={"filters": {"year": 2024}}, params={"index": index}).json()
    assert {document["meta"]["name"]: document["content"] for document in found} == {
        "a.txt": "Ada keeps the lighthouse.",
        "b.md": "Bo\n\nBo keeps bees.",
        "c.html": "Cy keeps cats.",
    }
    params = {"index": index, "Reader": {"top_k": 1}}
    result = api.post("/query", json={"query": "Who keeps the lighthouse?", "params": params}).json()
    assert result["documents"][0]["meta"]["name"] == "a.txt"


def test_fields_of_haystacks_form(api: httpx.Client, index: str) -> None:
    """Haystack's other fields are taken, and those of no effect are named; an empty or null meta is none."""
    for meta in ("", "null", "{}"):
        fields = {"meta": meta, "split_length": "120", "clean_whitespace": "true", "additional_params": "{}"}
        answer = api.post(
            "/file-upload?keep_files=true", files=files(a__txt="Ada."), data=fields, params={"index": index}
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-ignored-fields"] == "additional_params, clean_whitespace, split_length"


@pytest.mark.case("F1", "F2", "F3", "F9")
@pytest.mark.parametrize(
    ("name", "content", "status", "code"),
    [
        ("empty.txt", b"", 422, "empty_file"),
        ("blank.txt", b" \n\n ", 422, "no_text"),
        ("program.pdf", b"MZ\x90\x00\x03" + bytes(range(256)) * 20, 415, "unsupported_type"),
        ("broken.pdf", b"%PDF-1.7\n1 0 obj\n<< /Type", 422, "corrupt"),
    ],
)
def test_a_file_that_cannot_be_had(
    api: httpx.Client, index: str, name: str, content: bytes, status: int, code: str
) -> None:
    """F1, F2, F3, F9: a rejected file is an error with its reason, and the others of the upload are indexed."""
    answer = upload(api, index, [("files", ("good.txt", b"Good text.")), ("files", (name, content))])
    problem = answer.json()
    assert (answer.status_code, problem["error"]["code"]) == (status, code)
    assert name in problem["error"]["message"]
    assert [(file["name"], file["status"]) for file in problem["files"]] == [
        ("good.txt", "indexed"),
        (name, "rejected"),
    ]
    assert list(listed(api, index)) == ["good.txt"]


def test_an_upload_as_a_job(api: httpx.Client, index: str) -> None:
    """POST /files answers at once with a job, whose address tells how each file ended."""
    given = files(a__txt="Ada keeps the lighthouse.", empty__txt=b"")
    answer = api.post("/files", files=given, data={"meta": '{"year": 2024}'}, params={"index": index})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"
    until = time.monotonic() + 60
    while (job := api.get(answer.headers["location"]).json())["status"] != "done":
        assert time.monotonic() < until, job
        time.sleep(0.05)
    good, empty = job["files"]
    assert (good["status"], good["passages"], good["reason"]) == ("indexed", 1, None)
    assert (empty["status"], empty["reason"], empty["file_id"]) == ("rejected", "empty_file", None)
    assert empty["message"]
    file = api.get(f"/files/{good['file_id']}", params={"index": index}).json()
    assert (file["name"], file["meta"], file["size"]) == ("a.txt", {"year": 2024}, 25)


def test_a_file_from_all_sides(api: httpx.Client, index: str) -> None:
    """A file's detail, text with its passages' places, and original bytes; then it is deleted, once."""
    content = "# Überschrift\r\n\r\n" + "Ein Satz mit 😀 und ß. " * 60
    upload(api, index, files(a__md=content))
    file = listed(api, index)["a.md"]
    address = f"/files/{file['id']}"
    assert api.get(address, params={"index": index}).json() == file
    text = api.get(f"{address}/text", params={"index": index}).json()
    assert len(text["passages"]) == file["passages"] > 1
    passages = api.post("/documents/get_by_filters", json={"filters": {"name": "a.md"}}, params={"index": index}).json()
    contents = {passage["id"]: passage["content"] for passage in passages}
    assert {p["id"]: text["text"][p["start"] : p["end"]] for p in text["passages"]} == contents
    original = api.get(f"{address}/original", params={"index": index})
    assert original.content == content.encode()
    assert original.headers["content-disposition"] == "attachment; filename*=UTF-8''a.md"
    assert original.headers["content-type"] == "application/octet-stream"
    assert int(original.headers["content-length"]) == len(content.encode())

    assert api.delete(address, params={"index": index}).json() == {"id": file["id"], "passages": file["passages"]}
    for gone in (api.delete(address, params={"index": index}), api.get(f"{address}/original", params={"index": index})):
        assert gone.status_code == 404
    assert listed(api, index) == {}


def test_the_original_of_an_ingested_file(api: httpx.Client, api_server: Server) -> None:
    """A file that was read from a folder is downloaded from there, and only as long as it is what was indexed."""
    file = listed(api, api_server.services.settings.index)["oslo.txt"]
    assert api.get(f"/files/{file['id']}/original").content.startswith(b"Oslo was founded")
    record = api_server.services.store.get_file(file["id"])
    assert record is not None
    source = Path(record.meta["source"])
    before = source.read_bytes()
    try:
        source.write_bytes(b"Oslo was never founded.")
        answer = api.get(f"/files/{file['id']}/original")
        assert answer.status_code == 404
        assert "changed" in answer.json()["error"]["message"]
    finally:
        source.write_bytes(before)


@pytest.mark.case("F21", "F22")
def test_the_same_file_again_and_others_of_its_name(api: httpx.Client, index: str) -> None:
    """F21, F22: the same upload changes nothing, another of its name stays beside it, two names of one text are two."""
    for _ in range(2):
        assert upload(api, index, files(a__txt="One.")).status_code == 200
    assert upload(api, index, files(a__txt="Two.", b__txt="One.")).status_code == 200
    found = api.get("/files", params={"index": index}).json()["files"]
    assert sorted(file["name"] for file in found) == ["a.txt", "a.txt", "b.txt"]
    [one] = [file for file in found if file["name"] == "b.txt"]
    api.delete(f"/files/{one['id']}", params={"index": index})
    documents = api.post("/search", json={"query": "One", "index": index}).json()["documents"]
    assert [document["meta"]["name"] for document in documents] == ["a.txt"]


def test_replacing(api: httpx.Client, index: str) -> None:
    """With replace, a file takes the place, and the id, of those uploaded under its name; the old words are gone."""
    upload(api, index, files(a__txt="Alpha words.", b__txt="Other words."))
    upload(api, index, files(a__txt="Beta words."))
    before = {
        file["id"] for file in api.get("/files", params={"index": index}).json()["files"] if file["name"] == "a.txt"
    }
    assert upload(api, index, files(a__txt="Gamma words."), replace=True).status_code == 200
    found = listed(api, index)
    assert sorted(found) == ["a.txt", "b.txt"]
    assert found["a.txt"]["id"] in before
    assert len(api.get("/files", params={"index": index}).json()["files"]) == 2
    contents = [d["content"] for d in api.post("/search", json={"query": "words", "index": index}).json()["documents"]]
    assert sorted(contents) == ["Gamma words.", "Other words."]
    assert upload(api, index, files(a__txt="Alpha words.")).status_code == 200
    assert len(api.get("/files", params={"index": index}).json()["files"]) == 3


@pytest.mark.case("F18")
@pytest.mark.parametrize(
    "name",
    [
        *("../../x.txt", "/etc/x.txt", "..\\..\\x.txt", "C:x.txt", "CON", "-rf", "<img src=x onerror=alert(1)>.txt"),
        *("a\nb.txt", "a\u202etxt.exe", "n" * 300 + ".md", "..", ".", " ", "a;b.txt", 'quote".txt', "emoji-😀.txt"),
    ],
)
def test_odd_names_stay_names(api: httpx.Client, api_server: Server, index: str, name: str) -> None:
    """F18: whatever a file is called, it is stored under a name of ours, and shown as one line of at most 255 bytes."""
    data = api_server.services.settings.data_path
    around = set(data.parent.iterdir())
    answer = upload(api, index, [("files", (name, b"Text of an odd file."))])
    assert answer.status_code == 200, answer.text
    [shown] = listed(api, index)
    assert "/" not in shown
    assert "\\" not in shown
    assert shown.isprintable()
    assert 0 < len(shown.encode()) <= 255
    assert set(data.parent.iterdir()) == around
    for path in data.rglob("*"):
        assert path.name.isascii()
        assert not any(character in path.name for character in "<>\\;\"'\n ")
    [file] = listed(api, index).values()
    assert api.get(f"/files/{file['id']}/original", params={"index": index}).content == b"Text of an odd file."


def test_paging(api: httpx.Client, index: str) -> None:
    """A list is paged by id, each file once."""
    upload(api, index, [("files", (f"{n}.txt", f"Number {n}.".encode())) for n in range(7)])
    seen, after = [], ""
    while after is not None:
        page = api.get("/files", params={"index": index, "limit": 3, "after": after}).json()
        seen += [file["id"] for file in page["files"]]
        after = page["next"]
    assert len(seen) == len(set(seen)) == 7
    assert seen == sorted(seen)


@pytest.mark.case("D4", "D5")
def test_deleting_by_filter_and_everything(api: httpx.Client, api_server: Server, index: str) -> None:
    """A filter deletes what matches, with files and originals; everything goes by its own call alone."""
    upload(api, index, files(a__txt="Alpha."), {"kind": "old"})
    upload(api, index, files(b__txt="Beta.", c__txt="Gamma."), {"kind": "new"})
    originals = api_server.services.settings.data_path / "originals" / index
    assert len(list(originals.iterdir())) == 3
    answer = api.post("/documents/delete_by_filters", json={"filters": {"kind": "old"}}, params={"index": index})
    assert answer.json() is True
    assert sorted(listed(api, index)) == ["b.txt", "c.txt"]
    assert len(list(originals.iterdir())) == 2
    assert api.post("/documents/delete_all", json={}).status_code == 422
    assert api.post("/documents/delete_all", json={"index": "nowhere"}).status_code == 404
    assert api.post("/documents/delete_all", json={"index": index}).json() is True
    assert listed(api, index) == {}
    assert not originals.exists()


def test_what_is_not_there(api: httpx.Client) -> None:
    """Unknown files, jobs and indexes are 404."""
    for address in (
        "/files/none",
        "/files/none/text",
        "/files/none/original",
        "/jobs/none",
        f"/jobs/{uuid.uuid4().hex}",
    ):
        assert api.get(address).status_code == 404
    assert api.delete("/files/none").status_code == 404
    assert api.get("/files", params={"index": "nowhere"}).status_code == 404


@pytest.mark.parametrize("name", ["../x", "*", "a,b", "_all", "-x", "A", "a b", "a.files", "x" * 200])
def test_names_of_indexes(api: httpx.Client, name: str) -> None:
    """An upload may begin a new index, under a plain name."""
    assert upload(api, name, files(a__txt="Text.")).status_code == 422
