"""Haystack v1's clients find what they expect: addresses, fields, defaults, statuses."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.serving import Server

QUESTION = "Which river runs through Lyon?"


def ask(api: httpx.Client, question: str = QUESTION, **body: Any) -> dict[str, Any]:
    answer = api.post("/query", json={"query": question, **body})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def test_status_addresses(api: httpx.Client) -> None:
    """/initialized, /hs_version and /health have Haystack's bodies."""
    assert api.get("/initialized").json() is True
    assert api.get("/hs_version").json()["hs_version"].startswith("1.26.4")
    health = api.get("/health").json()
    assert set(health) == {"version", "cpu", "memory", "gpus"}
    assert health["memory"]["used"] > 0
    assert health["gpus"] == []


def test_an_answer_has_haystacks_fields(api: httpx.Client) -> None:
    """The answer is words of the passage at the offsets it names, with the file's name, and nothing is null."""
    result = ask(api)
    assert set(result) == {"query", "answers", "documents"}
    answer = result["answers"][0]
    assert "Rhône" in answer["answer"]
    assert answer["type"] == "extractive"
    assert 0 < answer["score"] <= 1
    document = next(d for d in result["documents"] if d["id"] == answer["document_ids"][0])
    [span] = answer["offsets_in_document"]
    assert document["content"][span["start"] : span["end"]] == answer["answer"]
    [span] = answer["offsets_in_context"]
    assert answer["context"][span["start"] : span["end"]] == answer["answer"]
    assert answer["meta"]["name"] == "lyon.md"
    assert document["content_type"] == "text"
    assert document["id_hash_keys"] == ["content"]
    assert None not in answer.values()
    assert None not in document.values()


def test_no_answer_is_an_empty_one(api: httpx.Client) -> None:
    """Where the documents hold no answer, the empty one is among the answers, at 0 to 0."""
    answers = ask(api, "What is the airspeed of an unladen swallow?")["answers"]
    [empty] = [answer for answer in answers if answer["answer"] == ""]
    assert empty["offsets_in_document"] == [{"start": 0, "end": 0}]
    assert empty["offsets_in_context"] == [{"start": 0, "end": 0}]


def test_params_reach_their_nodes(api: httpx.Client) -> None:
    """top_k of each node and filters do what they say."""
    result = ask(api, "city tea founded runs", params={"Retriever": {"top_k": 2}, "Reader": {"top_k": 1}})
    assert (len(result["answers"]), len(result["documents"])) == (1, 2)
    result = ask(api, params={"filters": {"name": ["oslo.txt", "tea.txt"]}})
    assert "lyon.md" not in {document["meta"]["name"] for document in result["documents"]}
    result = ask(api, params={"Retriever": {"filters": {"$not": {"name": "lyon.md"}}}})
    assert "lyon.md" not in {document["meta"]["name"] for document in result["documents"]}


def test_debug_shows_each_node(api: httpx.Client) -> None:
    """With debug, in the body or in params, _debug holds input, output and time of every node."""
    for body in ({"debug": True}, {"params": {"debug": True}}):
        debug = ask(api, **body)["_debug"]
        assert set(debug) == {"Query", "Retriever", "Reader"}
        assert set(debug["Reader"]) >= {"input", "output", "exec_time_ms"}
        assert debug["Retriever"]["output"]["documents"][0]["id"]
    assert "_debug" not in ask(api, debug=False)


def test_an_unknown_index_is_not_an_empty_one(api: httpx.Client) -> None:
    """A question to an index that is not there is 404."""
    answer = api.post("/query", json={"query": QUESTION, "params": {"index": "nowhere"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": None},
        {"query": ["Who?"]},
        {"query": ""},
        {"query": " \n"},
        {"query": "a" * 10_001},
        {"query": "Who?", "unknown": 1},
        {"query": "Who?", "params": {"Nobody": {}}},
        {"query": "Who?", "params": {"Reader": {"top_k": 0}}},
    ],
)
def test_what_cannot_be_asked_is_422(api: httpx.Client, body: dict[str, Any]) -> None:
    """An invalid question has Haystack's detail list, and our error with code, message and the request's id."""
    answer = api.post("/query", json=body)
    assert answer.status_code == 422
    problem = answer.json()
    assert {"loc", "msg", "type"} == set(problem["detail"][0])
    assert problem["errors"] == [problem["error"]["message"]]
    assert problem["error"]["request_id"] == answer.headers["x-request-id"]


@pytest.mark.case("B6")
def test_questions_of_no_words_are_answered_with_nothing(api: httpx.Client) -> None:
    """Punctuation and single characters find nothing and are no error."""
    for question in ("?!", "x", "e", "\u0000 who"):
        answer = api.post("/query", json={"query": question})
        assert answer.status_code == 200, answer.text


@pytest.mark.case("B13", "B14")
def test_literal_text_stays_literal(api: httpx.Client) -> None:
    """Templates, markup and query language in a question come back as they are, as JSON."""
    for question in ("{{7*7}}", "${query}", "!!python/object x", '{"match_all": {}}', "<img src=x onerror=alert(1)>"):
        answer = api.post("/query", json={"query": question})
        assert answer.json()["query"] == question
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_documents_by_filter(api: httpx.Client) -> None:
    """/documents/get_by_filters gives whole documents without null fields, for nested and typed filters too."""
    found = api.post("/documents/get_by_filters", json={"filters": {"name": ["lyon.md"]}}).json()
    assert [document["meta"]["name"] for document in found] == ["lyon.md"]
    assert "embedding" not in found[0]
    assert "score" not in found[0]
    nested = {"$or": [{"name": {"$eq": "oslo.txt"}}, {"$and": {"end": {"$gt": 1}, "path": {"$in": ["notes/tea.txt"]}}}]}
    found = api.post("/documents/get_by_filters", json={"filters": nested}).json()
    assert {document["meta"]["name"] for document in found} == {"oslo.txt", "tea.txt"}
    assert api.post("/documents/get_by_filters", json={"filters": {"start": "0"}}).json() == []
    assert len(api.post("/documents/get_by_filters", json={"filters": {"start": 0}}).json()) == 3


@pytest.mark.case("D5")
@pytest.mark.parametrize("address", ["/documents/get_by_filters", "/documents/delete_by_filters"])
@pytest.mark.parametrize(
    "body", [{}, {"filters": None}, {"filters": {}}, {"filters": {"name": {}}}, {"filters": {"name": {"$foo": 1}}}]
)
def test_an_empty_or_unknown_filter_never_means_everything(
    api: httpx.Client, address: str, body: dict[str, Any]
) -> None:
    """Where Haystack would give or delete the whole store, it is 422 and nothing has changed."""
    assert api.post(address, json=body).status_code == 422
    names = {"filters": {"name": ["lyon.md", "oslo.txt", "tea.txt"]}}
    assert len(api.post("/documents/get_by_filters", json=names).json()) == 3


def test_search_finds_without_reading(api: httpx.Client) -> None:
    """/search gives passages best first, within top_k and filters."""
    answer = api.post("/search", json={"query": "river Lyon Oslo", "top_k": 1})
    [document] = answer.json()["documents"]
    assert document["meta"]["name"] == "lyon.md"
    answer = api.post("/search", json={"query": "river Lyon Oslo", "filters": {"name": "oslo.txt"}})
    assert [document["meta"]["name"] for document in answer.json()["documents"]] == ["oslo.txt"]


def test_a_batch_is_as_many_single_questions(api: httpx.Client) -> None:
    """/query-batch answers each question as /query does, in order."""
    questions = [QUESTION, "When was Oslo founded?", "How hot should water for tea be?", "Who?", "When did Oslo burn?"]
    params = {"Retriever": {"top_k": 3}, "Reader": {"top_k": 1}}
    results = api.post("/query-batch", json={"queries": questions, "params": params}).json()["results"]
    assert [result["query"] for result in results] == questions
    for question, result in zip(questions, results):
        single = ask(api, question, params=params)
        assert [a["answer"] for a in result["answers"]] == [a["answer"] for a in single["answers"]]
        assert [d["id"] for d in result["documents"]] == [d["id"] for d in single["documents"]]
        assert result["answers"][0]["score"] == pytest.approx(single["answers"][0]["score"], abs=1e-5)


def test_a_batch_names_the_question_that_is_none(api: httpx.Client) -> None:
    """One empty question among many is named by its place."""
    answer = api.post("/query-batch", json={"queries": ["Who?", " "]})
    assert answer.status_code == 422
    assert "queries[1]" in answer.json()["error"]["message"]


def test_the_model_cards_example(api: httpx.Client) -> None:
    """/predict answers pairs as the Transformers pipeline does: one span for each, at its place."""
    inputs = {
        "question": ["What is my name?", "Where do I live?"],
        "context": ["My name is John.", "My name is John and I live in Hyderabad."],
    }
    answers = api.post("/predict", json={"inputs": inputs}).json()
    assert [(a["answer"], a["start"], a["end"]) for a in answers] == [("John", 11, 15), ("Hyderabad", 30, 39)]
    assert all(0 < a["score"] <= 1 for a in answers)


def test_pairs_of_one_and_many(api: httpx.Client) -> None:
    """A single question with a single context gives one object; one side may stand for all of the other."""
    one = api.post("/predict", json={"inputs": {"question": "Who?", "context": "My name is John."}}).json()
    assert set(one) == {"score", "start", "end", "answer"}
    many = {"question": "Who?", "context": ["My name is John.", "I am called Ada."]}
    assert len(api.post("/predict", json={"inputs": many}).json()) == 2


def test_the_empty_answer_is_given_only_where_allowed(api: httpx.Client) -> None:
    """The best span is always given, unless handle_impossible_answer lets the empty one win."""
    inputs = {"question": ["What is the capital of Peru?"], "context": ["Tea should be drunk hot, said the old man."]}
    [spoken] = api.post("/predict", json={"inputs": inputs}).json()
    assert spoken["answer"]
    allowed = {"handle_impossible_answer": True}
    [silent] = api.post("/predict", json={"inputs": inputs, "parameters": allowed}).json()
    assert (silent["answer"], silent["start"], silent["end"]) == ("", 0, 0)


@pytest.mark.parametrize(
    "inputs",
    [
        {"question": ["a", "b"], "context": ["c"]},
        {"question": [], "context": []},
        {"question": [" "], "context": ["c"]},
        {"question": ["a"], "context": [""]},
        {"question": ["a"]},
        {"question": 5, "context": "c"},
    ],
)
def test_pairs_that_are_none(api: httpx.Client, inputs: dict[str, Any]) -> None:
    """Pairs that do not match, or are empty, are 422."""
    assert api.post("/predict", json={"inputs": inputs}).status_code == 422


def test_readiness_names_the_model(api: httpx.Client) -> None:
    """/live answers; /ready says which model reads."""
    assert api.get("/live").status_code == 200
    assert api.get("/ready").json() == {"ready": True, "missing": {}, "model": "bundled"}


def test_questions_are_logged_only_where_that_is_wanted(
    api: httpx.Client, api_server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default the log names requests and no questions; with api.log_questions, each on one line."""
    caplog.set_level(logging.INFO)
    ask(api, "Who keeps the secret?")
    # A request is logged when its answer is out.
    until = time.monotonic() + 30
    while "POST '/query' 200" not in caplog.text:
        assert time.monotonic() < until, caplog.text
        time.sleep(0.01)
    assert "secret" not in caplog.text
    monkeypatch.setattr(api_server.services, "settings", replace(api_server.services.settings, api_log_questions=True))
    ask(api, "Who keeps\nthe secret?")
    assert "'Who keeps\\nthe secret?'" in caplog.text


def test_metrics_tell_what_happened(api: httpx.Client) -> None:
    """/metrics counts requests by address and status, and knows the latency, the queue and the model."""
    ask(api)
    text = api.get("/metrics").text
    for line in (
        'qa_app_requests_total{method="POST",path="/query",status="200"}',
        "qa_app_retriever_seconds_count",
        "qa_app_reader_seconds_count",
        "qa_app_queue_waiting 0.0",
        'qa_app_model_info{engine="openvino",model="bundled"} 1.0',
        "qa_app_ready 1.0",
    ):
        assert line in text
    passages = next(line for line in text.splitlines() if line.startswith("qa_app_passages "))
    assert float(passages.split()[1]) >= 3
