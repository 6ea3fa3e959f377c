"""The sample documents and their questions: what they hold, and what the application makes of them on both stores."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qa_app import bootstrap
from qa_app.stores.passage_store import PassageStore
from tests.conftest import REPOSITORY
from tests.faults.table import Figure
from tests.ingesting import ends, ingesting, settings_for, snapshot

SAMPLES = REPOSITORY / "samples"
QUESTIONS = json.loads((SAMPLES / "questions.json").read_text(encoding="utf-8"))


def questions() -> list[tuple[str, dict[str, Any], str]]:
    """Path of the document, question and context, in the order of the file."""
    return [
        (article["title"], question, paragraph["context"])
        for article in QUESTIONS["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageStore]:
    """The samples in an embedded store."""
    with ingesting(settings_for(tmp_path_factory.mktemp("samples")), exclude=("*.json",)) as ingest:
        assert set(ends(ingest(SAMPLES)).values()) == {"indexed", "skipped"}
        yield ingest.store


def test_there_are_enough_of_every_kind(samples: PassageStore) -> None:
    """At least 40 documents in five formats, several with pages and one long; 200 questions, 40 without answers."""
    files = list(samples.get_all_files())
    assert len(files) >= 40
    assert {Path(file.meta["path"]).suffix for file in files} == {".txt", ".md", ".html", ".pdf", ".docx"}
    assert sum(len(file.meta["page_starts"]) > 1 for file in files) >= 4
    assert max(len(file.meta["page_starts"]) for file in files) >= 10
    assert sum(not question["is_impossible"] for _, question, _ in questions()) >= 160
    assert sum(question["is_impossible"] for _, question, _ in questions()) >= 40


def test_questions_are_whole(samples: PassageStore) -> None:
    """Every context stands in its document as extracted, every answer at its offset, and ids are unique."""
    texts = {file.meta["path"]: " ".join(samples.get_file(file.id).content.split()) for file in samples.get_all_files()}
    assert QUESTIONS["version"] == "v2.0"
    ids = [question["id"] for _, question, _ in questions()]
    assert len(ids) == len(set(ids))
    for path, question, context in questions():
        assert " ".join(context.split()) in texts[path], (path, context)
        assert bool(question["answers"]) is not question["is_impossible"]
        for answer in question["answers"]:
            assert context[answer["answer_start"] :].startswith(answer["text"])


def test_the_retriever_finds_the_documents(samples: PassageStore) -> None:
    """For nearly every question, a passage of its document with the answer is among the first ten."""
    asked = [(path, q["question"], q["answers"][0]["text"]) for path, q, _ in questions() if not q["is_impossible"]]
    hits = 0
    for path, question, answer in asked:
        found = samples.query(question, top_k=10)
        hits += any(answer in " ".join(p.content.split()) and p.meta["path"] == path for p in found)
    assert hits / len(asked) > 0.95


@pytest.mark.reader
def test_the_reader_answers_from_the_samples(samples: PassageStore) -> None:
    """The bundled reader's first answer is right for over a third of some questions, each in its very place."""
    settings = settings_for(Path("unused"), reader_model="bundled")
    pipeline = bootstrap.build_answering(settings, samples, bootstrap.open_reader(settings))
    from qa_app.pipelines.answering import ask

    asked = [(path, q) for path, q, _ in questions() if not q["is_impossible"]][::25]
    right = 0
    for path, question in asked:
        result = ask(pipeline, question["question"])
        for answer in result["answers"]:
            if answer.answer:
                text = samples.get_file(answer.meta["file_id"]).content
                assert text[answer.meta["answer_start"] : answer.meta["answer_end"]] == answer.answer
        best = result["answers"][0]
        right += (
            best.answer.strip(".") in question["answers"][0]["text"]
            and best.meta.get("path") == path
            and bool(best.answer)
        )
    assert right > len(asked) / 3


@pytest.mark.case("D7")
@pytest.mark.elasticsearch
def test_d7_both_stores_have_the_same_first_passage(
    samples: PassageStore, elasticsearch_url: str, tmp_path: Path, figure: Figure
) -> None:
    """On 100 fixed questions the two stores agree on the first passage at least 95 times."""
    settings = settings_for(tmp_path, elasticsearch_url, index=f"d7-{os.getpid()}")
    with ingesting(settings, exclude=("*.json",)) as ingest:
        ingest(SAMPLES)
        assert snapshot(ingest.store) == snapshot(samples)
        chosen = [question["question"] for _, question, _ in questions()][::8][:100]
        assert len(chosen) == 100
        same = [samples.query(q, top_k=1)[0].id == ingest.store.query(q, top_k=1)[0].id for q in chosen]
        ingest.store.delete_index(settings.index)
    figure("of 100 questions with the same first passage on both stores", sum(same))
    assert sum(same) >= 95, [q for q, agreed in zip(chosen, same) if not agreed]
