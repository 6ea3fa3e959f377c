"""Feedback over HTTP, as Haystack v1's clients send and fetch it, on both stores."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import Server

QUESTION = "Which river runs through Lyon?"


@pytest.fixture(scope="module")
def asked(api_server: Server) -> dict[str, Any]:
    """The best answer to a question and its passage, as a client has them when it judges."""
    result = httpx.post(f"{api_server.url}/query", json={"query": QUESTION}, timeout=60).json()
    answer = result["answers"][0]
    document = next(one for one in result["documents"] if one["id"] == answer["document_ids"][0])
    return {"query": QUESTION, "answer": answer, "document": document}


@pytest.fixture
def index(api_server: Server) -> Iterator[str]:
    """The name of an index of labels that is the test's own."""
    name = f"labels-{uuid.uuid4().hex[:12]}"
    yield name
    store = api_server.services.store
    store.delete_labels(index=name)
    store.delete_index(name)


def feedback(asked: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        **asked,
        "is_correct_answer": True,
        "is_correct_document": True,
        "origin": "user-feedback",
        **changes,
    }


def send(api: httpx.Client, body: dict[str, Any], index: str, key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return api.post("/feedback", params={"index": index}, json=body, headers=headers)


def labels(api: httpx.Client, index: str) -> list[dict[str, Any]]:
    answer = api.get("/feedback", params={"index": index})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an error, which has Haystack's keys too."""
    problem = answer.json()
    assert problem["errors"] == [problem["error"]["message"]]
    assert answer.status_code != 422 or {"loc", "msg", "type"} == set(problem["detail"][0])
    return answer.status_code, problem["error"]["code"]


def test_an_answer_is_judged_and_listed(api: httpx.Client, asked: dict[str, Any], index: str) -> None:
    """What /query gave can be sent as it is; the response is null, and the label has all of Haystack's fields."""
    answer = send(api, feedback(asked, pipeline_id="p", meta={"comment": "gut 👍"}), index)
    assert (answer.status_code, answer.json()) == (200, None)
    [kept] = labels(api, index)
    assert list(kept) == [
        "id",
        "query",
        "document",
        "is_correct_answer",
        "is_correct_document",
        "origin",
        "answer",
        "pipeline_id",
        "created_at",
        "updated_at",
        "meta",
        "filters",
    ]
    assert kept["query"] == QUESTION
    assert (kept["pipeline_id"], kept["meta"], kept["filters"]) == ("p", {"comment": "gut 👍"}, None)
    assert kept["answer"] == asked["answer"]
    assert kept["document"] == {**asked["document"], "score": None, "embedding": None}
    assert kept["created_at"] == kept["updated_at"] != ""


def test_the_default_index(api: httpx.Client, api_server: Server, asked: dict[str, Any]) -> None:
    """Without a name, the store's own index of labels is meant."""
    id = uuid.uuid4().hex
    assert api.post("/feedback", json=feedback(asked, id=id)).status_code == 200
    store = api_server.services.store
    assert id in {label["id"] for label in labels(api, store.label_index)}
    assert id in {label["id"] for label in api.get("/feedback").json()}
    store.delete_labels(ids=[id])


def test_haystacks_own_example(api: httpx.Client, asked: dict[str, Any], index: str) -> None:
    """Fields that only older clients send are taken: embedding, score, document_id, no_answer."""
    answer = {**asked["answer"], "document_id": asked["document"]["id"]}
    del answer["document_ids"]
    document = {**asked["document"], "embedding": [0.1, 0.2], "score": None}
    body = feedback({**asked, "answer": answer, "document": document}, no_answer=False, id="", created_at=None)
    assert send(api, body, index).status_code == 200
    [kept] = labels(api, index)
    assert kept["answer"]["document_ids"] == [asked["document"]["id"]]
    assert kept["document"]["embedding"] is None
    assert kept["id"]


@pytest.mark.case("B16")
def test_one_key_is_one_record(api: httpx.Client, asked: dict[str, Any], index: str) -> None:
    """Sent twice under one key there is one record; another label under it is 409 and changes nothing."""
    for _ in range(2):
        answer = send(api, feedback(asked), index, "c0ffee")
        assert (answer.status_code, answer.json()) == (200, None)
    assert code(send(api, feedback(asked, is_correct_answer=False), index, "c0ffee")) == (409, "conflict")
    assert [label["is_correct_answer"] for label in labels(api, index)] == [True]
    assert send(api, feedback(asked), index, "~" * 255).status_code == 200
    assert send(api, feedback(asked), index).status_code == 200
    assert len(labels(api, index)) == 3


@pytest.mark.case("B16", "U7")
def test_one_key_from_many_clients(api_server: Server, asked: dict[str, Any], index: str) -> None:
    """The same label from many connections at once under one key is one record, and nobody sees an error."""
    statuses = []

    def click() -> None:
        with httpx.Client(base_url=api_server.url, timeout=60) as api:
            statuses.append(send(api, feedback(asked), index, "click").status_code)

    threads = [threading.Thread(target=click) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 8
    assert api_server.services.store.get_label_count(index=index) == 1


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "é".encode(), b"\x7f"])
def test_keys_that_are_none(api: httpx.Client, asked: dict[str, Any], index: str, key: str | bytes) -> None:
    """A key is 1 to 255 visible ASCII characters, or the request is 422."""
    answer = api.post("/feedback", params={"index": index}, json=feedback(asked), headers=[("Idempotency-Key", key)])
    assert code(answer) == (422, "invalid_request")
    assert labels(api, index) == []


def test_a_key_and_an_id(api: httpx.Client, asked: dict[str, Any], index: str) -> None:
    """A label cannot be named by a key and by an id of its own; an id alone replaces, as in Haystack."""
    assert code(send(api, feedback(asked, id="mine"), index, "key")) == (422, "invalid_request")
    assert send(api, feedback(asked, id="mine"), index).status_code == 200
    assert send(api, feedback(asked, id="mine", is_correct_document=False), index).status_code == 200
    assert [(label["id"], label["is_correct_document"]) for label in labels(api, index)] == [("mine", False)]


@pytest.mark.case("B16")
def test_what_is_not_there_is_404(api: httpx.Client, asked: dict[str, Any], index: str) -> None:
    """An unknown document, and an answer from one, are 404 with the id."""
    for changes in (
        {"document": {**asked["document"], "id": "nobody"}},
        {"answer": {**asked["answer"], "document_ids": ["nobody"]}},
    ):
        answer = send(api, feedback(asked, **changes), index)
        assert code(answer) == (404, "not_found")
        assert "nobody" in answer.json()["error"]["message"]
    assert labels(api, index) == []


@pytest.mark.case("B16")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["origin"], ...),
        (["origin"], None),
        (["origin"], "somebody"),
        (["query"], ...),
        (["query"], ""),
        (["query"], " "),
        (["query"], "x" * 10_001),
        (["document"], ...),
        (["document"], None),
        (["document", "id"], ...),
        (["document", "id"], ""),
        (["document", "content"], [["table"]]),
        (["document", "extra"], 1),
        (["answer", "extra"], 1),
        (["answer", "answer"], None),
        (["answer", "type"], "guess"),
        (["answer", "offsets_in_document"], [{"start": 0, "end": 4, "extra": 1}]),
        (["answer", "offsets_in_document"], [{"row": 0, "col": 4}]),
        (["answer", "offsets_in_document"], [{"start": -1, "end": 4}]),
        (["answer", "offsets_in_document"], [{"start": 0, "end": 4}]),
        (["answer", "offsets_in_document"], [{"start": 0, "end": 2**53}]),
        (["answer", "offsets_in_document"], [{"start": 0, "end": 2**80}]),
        (["answer", "answer"], "x" * 100_001),
        (["answer", "meta"], {"comment": "x" * 100_000}),
        (["is_correct_answer"], ...),
        (["is_correct_answer"], "true"),
        (["is_correct_document"], 1),
        (["meta"], {"comment": "x" * 100_000}),
        (["meta"], {"comments": ["x" * 100_000]}),
        (["meta"], []),
        (["created_at"], "2024-11-12T09:30:00Z"),
        (["updated_at"], "now"),
        (["pipeline_id"], 7),
        (["pipeline_id"], "x" * 513),
        (["id"], "x" * 513),
        (["no_answer"], True),
        (["filters"], {"$bad": 1}),
        (["label"], 1),
    ],
)
def test_what_cannot_be_kept_is_422(
    api: httpx.Client, asked: dict[str, Any], index: str, path: list[str], value: Any
) -> None:
    """Fields that are missing, unknown, of the wrong kind, over their limit, or not so, are 422; none is kept."""
    body = json.loads(json.dumps(feedback(asked)))
    inner = body
    for name in path[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    answer = send(api, body, index)
    assert code(answer) == (422, "invalid_request")
    assert len(answer.text) < 2_000
    assert labels(api, index) == []


def test_bodies_that_are_none(api: httpx.Client, asked: dict[str, Any], index: str) -> None:
    """What is not JSON is 400, of another kind 415, too large 413, too deep an error of the client's; none is kept."""
    sending = {"url": "/feedback", "params": {"index": index}}
    as_json = {"Content-Type": "application/json"}
    assert code(api.post(**sending, content=b"{", headers=as_json)) == (400, "malformed")
    assert code(api.post(**sending, headers=as_json)) == (422, "invalid_request")
    text = json.dumps(feedback(asked))
    assert code(api.post(**sending, content=text, headers={"Content-Type": "text/plain"})) == (415, "media_type")
    assert code(api.post(**sending, json=feedback(asked, meta={"x": "x" * 2**21}))) == (413, "too_large")
    for depth in (100, 400, 900, 100_000):
        deep = text.replace('"origin"', '"meta": ' + '{"a": ' * depth + "1" + "}" * depth + ', "origin"')
        assert api.post(**sending, content=deep, headers=as_json).status_code in (400, 413, 422)
    assert labels(api, index) == []


@pytest.mark.parametrize("name", ["*", "_all", "a,b", "-labels", ".hidden", "a b", "a/b", "<a-{now}>", "", "x" * 201])
@pytest.mark.parametrize("operation", ["GET /feedback", "DELETE /feedback", "POST /eval-feedback"])
def test_a_pattern_is_no_index(api: httpx.Client, asked: dict[str, Any], index: str, operation: str, name: str) -> None:
    """What Elasticsearch would take for many indexes, or none, is 422 instead of everybody's labels."""
    assert send(api, feedback(asked), index).status_code == 200
    method, path = operation.split()
    assert code(api.request(method, path, params={"index": name})) == (422, "invalid_request")
    assert len(labels(api, index)) == 1


def test_an_index_that_was_never_written(api: httpx.Client, index: str) -> None:
    """An index without labels is empty for every operation."""
    assert labels(api, index) == []
    parameters = {"index": index}
    assert api.delete("/feedback", params=parameters).json() is None
    assert api.post("/eval-feedback", params=parameters).json()["n_feedback"] == 0
    assert api.get("/export-feedback", params=parameters).json() == {"data": []}


@pytest.mark.case("D9")
@pytest.mark.parametrize("people", [0, 2])
def test_gold_labels_survive(api: httpx.Client, asked: dict[str, Any], index: str, people: int) -> None:
    """DELETE /feedback is null and takes people's feedback alone, also where there is none."""
    for id in ("gold-1", "gold-2"):
        send(api, feedback(asked, id=id, origin="gold-label"), index)
    for _ in range(people):
        send(api, feedback(asked), index)
    answer = api.delete("/feedback", params={"index": index})
    assert (answer.status_code, answer.json()) == (200, None)
    assert [label["id"] for label in labels(api, index)] == ["gold-1", "gold-2"]


def test_accuracy(api: httpx.Client, asked: dict[str, Any], index: str) -> None:
    """Shares of people's labels, all of them without a filter, else those that match; null where there are none."""
    here = {"index": index}
    empty = {"answer_accuracy": None, "document_accuracy": None, "n_feedback": 0}
    assert api.post("/eval-feedback", params=here).json() == empty
    for n in range(4):
        send(api, feedback(asked, is_correct_answer=n > 0, pipeline_id=f"p{n % 2}", meta={"n": n}), index)
    send(api, feedback(asked, is_correct_answer=False, origin="gold-label"), index)
    whole = {"answer_accuracy": 0.75, "document_accuracy": 1.0, "n_feedback": 4}
    assert api.post("/eval-feedback", params=here).json() == whole
    for body in (None, {}, {"filters": None}):
        assert api.post("/eval-feedback", params=here, json=body).json() == whole
        raw = json.dumps(body)
        as_json = {"Content-Type": "application/json"}
        assert api.post("/eval-feedback", params=here, content=raw, headers=as_json).json() == whole

    def counted(filters: dict[str, Any]) -> int:
        found: int = api.post("/eval-feedback", params=here, json={"filters": filters}).json()["n_feedback"]
        return found

    assert counted({"pipeline_id": "p0"}) == 2
    assert counted({"$or": {"n": {"$gte": 3}, "$and": {"n": 0, "is_correct_answer": False}}}) == 2
    assert counted({"document_id": [asked["document"]["id"]]}) == 4
    assert counted({"origin": "gold-label"}) == 0


@pytest.mark.case("D5")
@pytest.mark.parametrize("filters", [{}, {"$or": []}, {"n": {"$foo": 1}}, {"n": {}}, [], "n", {"$and": {"$x": 1}}])
def test_filters_that_are_none(api: httpx.Client, index: str, filters: Any) -> None:
    """A filter that is empty or unknown is 422 and never means all feedback."""
    answer = api.post("/eval-feedback", params={"index": index}, json={"filters": filters})
    assert code(answer) == (422, "invalid_request")


def test_evaluation_takes_json_alone(api: httpx.Client) -> None:
    """A body of another kind is 415, one that is not JSON 400, an unknown field 422."""
    answer = api.post("/eval-feedback", content=b"{}", headers={"Content-Type": "text/plain"})
    assert code(answer) == (415, "media_type")
    answer = api.post("/eval-feedback", content=b"{", headers={"Content-Type": "application/json"})
    assert code(answer) == (400, "malformed")
    assert code(api.post("/eval-feedback", json={"filter": {"n": 1}})) == (422, "invalid_request")


@pytest.mark.case("D9")
def test_the_export_is_squad(
    api: httpx.Client, asked: dict[str, Any], index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry for each label that teaches something, every answer at its place, and no file beside it."""
    wrong = {"is_correct_answer": False}
    send(api, feedback(asked, id="right"), index)
    send(api, feedback(asked, id="impossible", is_correct_document=False, **wrong), index)
    send(api, feedback(asked, id="neither", **wrong), index)
    empty = {"answer": "", "offsets_in_document": [{"start": 0, "end": 0}]}
    send(api, feedback({**asked, "answer": empty}, id="none"), index)
    send(api, feedback({**asked, "answer": {"answer": "Rhône"}}, id="nowhere"), index)
    send(api, feedback(asked, id="gold", origin="gold-label"), index)
    monkeypatch.chdir(tmp_path)
    answer = api.get("/export-feedback", params={"index": index})
    assert answer.headers["x-skipped-labels"] == "1"
    assert list(tmp_path.iterdir()) == []
    words, [span] = asked["answer"]["answer"], asked["answer"]["offsets_in_document"]
    paragraphs = [paragraph for entry in answer.json()["data"] for paragraph in entry["paragraphs"]]
    assert {(one["context"], one["id"]) for one in paragraphs} == {
        (asked["document"]["content"], asked["document"]["id"])
    }
    found = [(q["id"], q["question"], q["is_impossible"], q["answers"]) for one in paragraphs for q in one["qas"]]
    assert found == [
        ("right", QUESTION, False, [{"text": words, "answer_start": span["start"]}]),
        ("impossible", QUESTION, True, []),
        ("none", QUESTION, True, []),
    ]
    positive = api.get("/export-feedback", params={"index": index, "only_positive_labels": True}).json()
    assert [entry["paragraphs"][0]["qas"][0]["id"] for entry in positive["data"]] == ["right", "none"]


@pytest.mark.parametrize("size", [1, 12, 30, 100_000])
def test_contexts_are_cut_on_demand(api: httpx.Client, asked: dict[str, Any], index: str, size: int) -> None:
    """context_size counts only without full_document_context, and the answer stays whole and in its place."""
    send(api, feedback(asked), index)
    content, words = asked["document"]["content"], asked["answer"]["answer"]
    for full in (True, False):
        parameters = {"index": index, "context_size": size, "full_document_context": full}
        [entry] = api.get("/export-feedback", params=parameters).json()["data"]
        [paragraph] = entry["paragraphs"]
        [answer] = paragraph["qas"][0]["answers"]
        start = answer["answer_start"]
        assert paragraph["context"][start : start + len(words)] == words == answer["text"]
        assert len(paragraph["context"]) == (len(content) if full else min(len(content), max(size, len(words))))


@pytest.mark.parametrize(
    "parameters", [{"context_size": 0}, {"context_size": "many"}, {"full_document_context": "maybe"}]
)
def test_an_export_of_nonsense(api: httpx.Client, parameters: dict[str, Any]) -> None:
    """A size that is none, or a truth value that is none, is 422."""
    assert code(api.get("/export-feedback", params=parameters)) == (422, "invalid_request")


def test_operations_are_described(api: httpx.Client) -> None:
    """Each operation has a summary, and an example of what is sent and of what comes back where that is not null."""
    description = api.get("/openapi.json").json()
    operations = {
        (path, method): operation
        for path, methods in description["paths"].items()
        if "feedback" in path
        for method, operation in methods.items()
    }
    assert len(operations) == 5
    assert all(operation["summary"] and operation["responses"]["422"] for operation in operations.values())
    assert operations["/eval-feedback", "post"]["requestBody"].get("required", False) is False
    assert operations["/feedback", "post"]["requestBody"]["content"]["application/json"]["schema"]["examples"]
    for operation in (("/feedback", "get"), ("/eval-feedback", "post")):
        assert operations[operation]["responses"]["200"]["content"]["application/json"]["examples"]
    assert "X-Skipped-Labels" in operations["/export-feedback", "get"]["responses"]["200"]["headers"]
    assert description["components"]["schemas"]["SquadBody"]["properties"]["data"]["examples"]
