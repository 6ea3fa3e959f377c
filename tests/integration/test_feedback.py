"""People's feedback on both stores: what is taken, what stays, and what a training run would read."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from haystack.schema import Answer, Document, Label, Span
from hypothesis import given, settings
from hypothesis import strategies as st

from qa_app.errors import ConflictError, InvalidRequestError, NotFoundError
from qa_app.pipelines.feedback import MAX_DEPTH, evaluate, export, forget, keep, label_of
from qa_app.pipelines.questions import MAX_QUESTION
from qa_app.stores.metadata import MAX_VALUE_BYTES
from qa_app.stores.passage_store import PassageStore
from qa_app.stores.sqlite import SQLiteDocumentStore
from tests.contract.conftest import store  # noqa: F401 - the same fixture: an empty store of each kind

LYON = "The 👩‍🔧 Rhône runs through Lyon, and the Rhône is long."
OSLO = "Oslo lies on a fjord."


@pytest.fixture
def filled(store: PassageStore) -> PassageStore:  # noqa: F811
    """The store with a passage in the default index and one in another."""
    store.write_documents([Document(id="lyon", content=LYON, meta={"name": "lyon.txt", "page": 3})])
    other = f"{store.index}-other"
    store.write_documents([Document(id="oslo", content=OSLO)], index=other)
    store.finish_writing()
    store.finish_writing(other)
    return store


def answer_in(content: str, words: str, document: str = "lyon", **changes: Any) -> dict[str, Any]:
    start = content.index(words)
    place = [{"start": start, "end": start + len(words)}]
    return {"answer": words, "offsets_in_document": place, "document_ids": [document], **changes}


def sent(**changes: Any) -> Label:
    """What a client sends, as a label."""
    fields: dict[str, Any] = {
        "query": "Which river runs through Lyon?",
        "document": {"id": "lyon", "content": LYON},
        "answer": answer_in(LYON, "Rhône"),
        "is_correct_answer": True,
        "is_correct_document": True,
        "origin": "user-feedback",
    }
    return label_of({**fields, **changes})


def entries(squad: dict[str, Any]) -> list[tuple[str, list[str], bool]]:
    """Question, answers and impossibility of each entry, with every answer checked against its context."""
    result = []
    for entry in json.loads(json.dumps(squad))["data"]:
        [paragraph] = entry["paragraphs"]
        [question] = paragraph["qas"]
        for answer in question["answers"]:
            start = answer["answer_start"]
            assert paragraph["context"][start : start + len(answer["text"])] == answer["text"] != ""
        assert question["is_impossible"] == (not question["answers"])
        result.append((question["question"], [a["text"] for a in question["answers"]], question["is_impossible"]))
    return result


def test_a_label_is_kept_whole(filled: PassageStore) -> None:
    """What was sent comes back, with times and an id where there were none, and nothing else changed."""
    keep(filled, sent(meta={"comment": "good"}, filters={"page": {"$gte": 2}}, pipeline_id="p"))
    keep(filled, sent(id="mine", created_at="2024-02-29 09:30:00", answer=answer_in(LYON, "Rhône", meta={"page": 3})))
    first, second = filled.get_all_labels()
    assert (first.query, first.meta, first.filters) == (sent().query, {"comment": "good"}, {"page": {"$gte": 2}})
    assert (first.pipeline_id, first.origin) == ("p", "user-feedback")
    assert first.answer == sent().answer
    assert first.id
    assert first.created_at
    assert (second.id, second.created_at, second.updated_at) == ("mine", "2024-02-29 09:30:00", "2024-02-29 09:30:00")
    assert second.answer.meta == {"page": 3}


def test_the_text_of_the_store_counts(filled: PassageStore) -> None:
    """A forged text is not kept: the label has the store's passage, and an answer in the forged text is refused."""
    keep(filled, sent(document={"id": "lyon", "content": "The Rhône is poisoned.", "meta": {"name": "forged"}}))
    [kept] = filled.get_all_labels()
    assert (kept.document.content, kept.document.meta) == (LYON, {"name": "lyon.txt", "page": 3})
    forged = {"id": "lyon", "content": "The Seine runs through Lyon."}
    with pytest.raises(InvalidRequestError):
        keep(filled, sent(document=forged, answer=answer_in(forged["content"], "Seine")))
    assert filled.get_label_count() == 1


def test_documents_of_every_index_can_be_judged(filled: PassageStore) -> None:
    """A passage of another index than the default one is found by its id."""
    keep(filled, sent(document={"id": "oslo"}, answer=answer_in(OSLO, "fjord", "oslo")))
    assert filled.get_all_labels()[0].document.content == OSLO


@pytest.mark.case("B16")
@pytest.mark.parametrize(
    "changes",
    [
        {"document": {"id": "nobody", "content": LYON}},
        {"answer": answer_in(LYON, "Rhône", "nobody")},
        {"answer": {**answer_in(LYON, "Rhône"), "document_ids": ["lyon", "nobody"]}},
        {"answer": {**answer_in(LYON, "Rhône"), "document_ids": None, "document_id": "nobody"}},
    ],
)
def test_unknown_documents_are_refused(filled: PassageStore, changes: dict[str, Any]) -> None:
    """Feedback on a document or an answer that is in no index is an error, and nothing is kept."""
    with pytest.raises(NotFoundError, match="nobody"):
        keep(filled, sent(**changes))
    assert filled.get_label_count() == 0


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth > 1 else {"a": 1}


@pytest.mark.case("B16")
@pytest.mark.parametrize(
    "changes",
    [
        {"query": ""},
        {"query": "a" * (MAX_QUESTION + 1)},
        {"meta": {"comment": "x" * 100_000}},
        {"meta": {"comment": {"text": ["x" * (MAX_VALUE_BYTES + 1)]}}},
        {"meta": {"a": [2**60]}},
        {"meta": nested(MAX_DEPTH + 1)},
        {"meta": nested(700)},
        {"meta": {"$where": 1}},
        {"answer": answer_in(LYON, "Rhône", meta={"comment": "x" * 100_000})},
        {"answer": answer_in(LYON, "Rhône", meta=nested(700))},
        {"filters": {"$bad": 1}},
        {"created_at": "yesterday"},
        {"created_at": "2024-11-12T09:30:00"},
        {"updated_at": "2024-1-2 3:04:05"},
        {"updated_at": "2023-02-29 00:00:00"},
        {"answer": answer_in(LYON, "Rhône", offsets_in_document=[{"start": 0, "end": 5}])},
        {"answer": answer_in(LYON, "Rhône", offsets_in_document=[{"start": 8, "end": 14}])},
        {"answer": answer_in(LYON, "is long.", offsets_in_document=[{"start": len(LYON) - 8, "end": len(LYON) + 9}])},
        {"answer": answer_in(LYON, "is lo", offsets_in_document=[{"start": -8, "end": -3}])},
        {"answer": {"answer": "", "offsets_in_document": [{"start": 9_999, "end": 10_000}]}},
    ],
)
def test_what_does_not_fit_is_refused(filled: PassageStore, changes: dict[str, Any]) -> None:
    """What is too long, too deep, not a time, or an answer that does not stand where it says, is not kept."""
    with pytest.raises(InvalidRequestError):
        keep(filled, sent(**changes))
    assert filled.get_label_count() == 0


def test_limits_are_within_reach(filled: PassageStore) -> None:
    """The longest question, comment and nesting that are allowed are kept and come back."""
    meta = {"comment": "x" * MAX_VALUE_BYTES, "tree": nested(MAX_DEPTH - 1)}
    keep(filled, sent(query="ü" * MAX_QUESTION, meta=meta))
    [kept] = filled.get_all_labels()
    assert (kept.query, kept.meta) == ("ü" * MAX_QUESTION, meta)


def test_an_answer_may_repeat_all_that_its_passage_knows(store: PassageStore) -> None:  # noqa: F811
    """A passage with as much metadata as is allowed can be judged by the reader's own answer, which has more."""
    meta = {f"key{n}": n for n in range(128)}
    store.write_documents([Document(id="full", content=LYON, meta=meta)])
    store.finish_writing()
    own = {**meta, "answer_start": 8, "answer_end": 13}
    keep(store, sent(document={"id": "full"}, answer=answer_in(LYON, "Rhône", "full", meta=own)))
    assert store.get_all_labels()[0].answer.meta == own


@pytest.mark.case("B16")
def test_the_same_key_keeps_one_record(filled: PassageStore) -> None:
    """A label that is sent again under its key is one record, also after its document has gone."""
    for _ in range(3):
        keep(filled, sent(meta={"n": 1}), key="k")
    [first] = filled.get_all_labels()
    filled.delete_documents(ids=["lyon"])
    keep(filled, sent(meta={"n": 1}), key="k")
    assert [kept.id for kept in filled.get_all_labels()] == [first.id]


@pytest.mark.case("B16")
@pytest.mark.parametrize(
    "changes", [{"is_correct_answer": False}, {"query": "Which?"}, {"meta": {"n": True}}, {"answer": None}]
)
def test_a_key_with_another_label_is_a_conflict(filled: PassageStore, changes: dict[str, Any]) -> None:
    """Another label under the same key is refused, and the first stands; another key makes another record."""
    keep(filled, sent(meta={"n": 1}), key="k")
    with pytest.raises(ConflictError):
        keep(filled, sent(**{"meta": {"n": 1}, **changes}), key="k")
    [kept] = filled.get_all_labels()
    assert (kept.is_correct_answer, kept.query, kept.meta) == (True, sent().query, {"n": 1})
    keep(filled, sent(**changes), key="other")
    assert filled.get_label_count() == 2


@pytest.mark.case("B16")
def test_many_at_once_under_one_key_are_one_record(filled: PassageStore) -> None:
    """Of different labels that come under one key at the same moment, one is kept and all others are told."""
    ends: list[str] = []
    barrier = threading.Barrier(8)

    def send(n: int) -> None:
        barrier.wait()
        try:
            keep(filled, sent(meta={"n": n}), key="k")
            ends.append(f"kept {n}")
        except ConflictError:
            ends.append("conflict")

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [kept] = filled.get_all_labels()
    assert sorted(ends) == ["conflict"] * 7 + [f"kept {kept.meta['n']}"]


def test_without_a_key_haystack_is_followed(filled: PassageStore) -> None:
    """Without a key every label is a new one, and one with an id of its own replaces the label of that id."""
    keep(filled, sent())
    keep(filled, sent())
    keep(filled, sent(id="mine"))
    keep(filled, sent(id="mine", is_correct_answer=False))
    assert filled.get_label_count() == 3
    assert [kept.is_correct_answer for kept in filled.get_all_labels(filters={"id": "mine"})] == [False]


@pytest.mark.case("D9")
@pytest.mark.parametrize("people", [0, 2])
def test_gold_labels_survive(filled: PassageStore, people: int) -> None:
    """Deleting feedback leaves gold labels, also where there is no feedback to delete."""
    keep(filled, sent(id="gold", origin="gold-label"))
    keep(filled, sent(id="elsewhere"), index=f"{filled.label_index}-other")
    for _ in range(people):
        keep(filled, sent())
    forget(filled)
    assert [kept.id for kept in filled.get_all_labels()] == ["gold"]
    assert filled.get_label_count(index=f"{filled.label_index}-other") == 1
    filled.delete_labels(index=f"{filled.label_index}-other")


def test_older_clients_are_understood() -> None:
    """document_id becomes document_ids where there are none, and no_answer makes the empty answer."""
    old = {"answer": "Rhône", "document_id": "lyon"}
    assert sent(answer=old).answer.document_ids == ["lyon"]
    assert sent(answer={**old, "document_ids": ["oslo"]}).answer.document_ids == ["oslo"]
    assert sent(answer=None, no_answer=True).answer.answer == ""
    assert sent(answer=None).answer is None
    assert sent(no_answer=False).answer.answer == "Rhône"
    for contradiction in ({"no_answer": True}, {"no_answer": False, "answer": {"answer": ""}}):
        with pytest.raises(InvalidRequestError):
            sent(**contradiction)


def test_accuracy(filled: PassageStore) -> None:
    """Accuracies are shares of people's labels that match, None where there are none; gold labels never count."""
    assert evaluate(filled).n_feedback == 0
    assert evaluate(filled).answer_accuracy is None
    for n, right in enumerate([True, True, True, False]):
        keep(filled, sent(is_correct_answer=right, pipeline_id="ab"[n % 2], meta={"n": n}))
    keep(filled, sent(is_correct_answer=False, is_correct_document=False, origin="gold-label", pipeline_id="a"))
    everything = evaluate(filled)
    assert (everything.answer_accuracy, everything.document_accuracy, everything.n_feedback) == (0.75, 1.0, 4)
    assert evaluate(filled, {"pipeline_id": "b"}).answer_accuracy == 0.5
    either = {"$or": [{"n": {"$lt": 1}}, {"$and": {"n": {"$in": [3]}, "pipeline_id": "b"}}]}
    assert evaluate(filled, either).n_feedback == 2
    assert evaluate(filled, {"document_id": ["lyon"]}).n_feedback == 4
    assert evaluate(filled, {"$or": {"origin": "gold-label", "n": 0}}).n_feedback == 1
    none = evaluate(filled, {"origin": "gold-label"})
    assert (none.answer_accuracy, none.document_accuracy, none.n_feedback) == (None, None, 0)
    for wrong in ({}, {"$or": {}}, {"$bad": 1}):
        with pytest.raises(InvalidRequestError):
            evaluate(filled, wrong)


@pytest.mark.case("D9")
def test_what_is_exported(filled: PassageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right answers are examples, answers wrong in every way impossible; nothing is written to the folder."""
    monkeypatch.chdir(tmp_path)
    wrong: dict[str, Any] = {"is_correct_answer": False}
    keep(filled, sent(query="right"))
    keep(filled, sent(query="wrong everywhere", is_correct_document=False, **wrong))
    keep(filled, sent(query="wrong words, right passage", **wrong))
    keep(filled, sent(query="rightly none", answer={"answer": "", "offsets_in_document": [{"start": 0, "end": 0}]}))
    keep(filled, sent(query="gold", origin="gold-label"))
    squad = export(filled).squad
    right, impossible, none = ("right", ["Rhône"], False), ("wrong everywhere", [], True), ("rightly none", [], True)
    assert entries(squad) == [right, impossible, none]
    assert entries(export(filled, only_positive=True).squad) == [right, none]
    assert squad["data"][0]["paragraphs"][0]["context"] == LYON
    assert squad["data"][0]["paragraphs"][0]["id"] == squad["data"][0]["title"] == "lyon"
    assert squad["data"][0]["paragraphs"][0]["qas"][0]["id"] == filled.get_all_labels()[0].id
    files = [path for path in tmp_path.iterdir() if not path.name.startswith("store.sqlite")]
    assert files == []


@pytest.mark.case("D9")
def test_misfits_are_skipped_by_name(filled: PassageStore, caplog: pytest.LogCaptureFixture) -> None:
    """A label whose answer is not at its offsets, or says none, is left out, counted, and named in the log."""
    document = Document(id="lyon", content=LYON)
    places = {"shifted": [Span(7, 12)], "nowhere": None, "beyond": [Span(900, 905)], "fits": [Span(8, 13)]}
    answers = {id: Answer(answer="Rhône", offsets_in_document=place) for id, place in places.items()}
    fields: dict[str, Any] = {"is_correct_answer": True, "is_correct_document": True, "origin": "user-feedback"}
    # Written past the checks, as an import or another program may have.
    labels = [Label(id=id, query=id, document=document, answer=answer, **fields) for id, answer in answers.items()]
    labels.append(Label(id="silent", query="silent", document=document, answer=None, **fields))
    filled.write_labels(labels)
    with caplog.at_level(logging.WARNING, "qa_app.feedback"):
        exported = export(filled)
    assert LYON[8:13] == "Rhône"
    assert entries(exported.squad) == [("fits", ["Rhône"], False)]
    assert exported.skipped == ["shifted", "nowhere", "beyond", "silent"]
    assert all(id in caplog.text for id in exported.skipped)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageStore]:
    opened = SQLiteDocumentStore(path=str(tmp_path_factory.mktemp("feedback") / "store.sqlite"))
    yield opened
    opened.close()


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=200).filter(
    str.strip
)


@pytest.mark.case("D9")
@settings(max_examples=200, deadline=None)
@given(content=texts, data=st.data(), size=st.integers(1, 250), right=st.booleans())
def test_a_cut_context_keeps_its_answer(
    embedded: PassageStore, content: str, data: st.DataObject, size: int, right: bool
) -> None:
    """Whatever the text, the answer's place and the size, a cut context is a stretch of the passage of that size,
    as near to it as the answer allows, with the answer at answer_start."""
    start = data.draw(st.integers(0, len(content) - 1))
    end = data.draw(st.integers(start + 1, len(content)).filter(lambda end: content[start:end].strip()))
    answer = {"answer": content[start:end], "offsets_in_document": [{"start": start, "end": end}]}
    embedded.write_documents([Document(id="d", content=content)])
    embedded.delete_labels()
    keep(
        embedded,
        sent(document={"id": "d"}, answer=answer, is_correct_answer=right, is_correct_document=right),
    )
    [whole], [cut] = export(embedded).squad["data"], export(embedded, context_size=size).squad["data"]
    assert entries({"data": [whole, cut]}) == [(sent().query, [content[start:end]] if right else [], not right)] * 2
    context = cut["paragraphs"][0]["context"]
    assert whole["paragraphs"][0]["context"] == content
    assert context in content
    assert len(context) == min(len(content), max(size, end - start))
    if right:
        [example] = cut["paragraphs"][0]["qas"][0]["answers"]
        first = start - example["answer_start"]
        assert content[first : first + len(context)] == context
