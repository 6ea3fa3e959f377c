"""The Haystack node that cuts files into passages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from haystack import Pipeline
from haystack.nodes import BasePreProcessor
from haystack.schema import Document
from hypothesis import given, settings

from qa_app.splitting.splitter import PassageSplitter, passage_id
from tests.unit.splitting.texts import any_text

BODY = " ".join(f"Sentence number {number} has six words." for number in range(40))


def file(text: str, file_id: str = "f1", **meta: Any) -> Document:
    return Document(content=text, id=file_id, meta={"file_id": file_id, "name": "a.txt", **meta})


@pytest.mark.case("F16")
@settings(max_examples=150, deadline=None)
@given(any_text)
def test_a_passage_is_the_very_words_at_its_offsets(text: str) -> None:
    """`text[start:end] == content` holds for every passage, and a second run gives the same ids, all different."""
    node = PassageSplitter(words=20, overlap=5)
    passages = node.process([file(text)])
    for passage in passages:
        assert text[passage.meta["start"] : passage.meta["end"]] == passage.content
    ids = [passage.id for passage in passages]
    assert len(set(ids)) == len(ids)
    assert [passage.id for passage in node.process([file(text)])] == ids


@pytest.mark.case("F22")
def test_equal_text_in_two_files_is_two_passages() -> None:
    """Ids tell files and places apart, where Haystack's would hash the content alone."""
    first, second = PassageSplitter().process([file("The same text.", "f1"), file("The same text.", "f2")])
    assert first.content == second.content
    assert first.id != second.id
    assert first.id == passage_id("f1", 0, "The same text.")
    assert passage_id("f1", 0, "same") != passage_id("f1", 5, "same") != passage_id("f1", 5, "other")


def test_half_a_surrogate_pair_does_not_stop_it() -> None:
    """Text that could not be encoded as UTF-8 is cut like any other."""
    (passage,) = PassageSplitter().process([file("half \ud83d pair")])
    assert passage.content == "half \ud83d pair"


def test_passages_know_their_page() -> None:
    """Pages count from 1, and a passage over a page break knows where in its content the new pages begin."""
    text = "Page one. " * 3 + "\n\n" + "Page two. " * 3 + "\n\n" + "Page three. " * 3
    starts = [0, text.index("Page two"), text.index("Page three")]
    (passage,) = PassageSplitter().process([file(text, page_starts=starts)])
    assert passage.meta["page"] == 1
    assert passage.meta["page_breaks"] == starts[1:]
    small = PassageSplitter(words=5, overlap=0).process([file(text, page_starts=starts)])
    for one in small:
        assert f"Page {['one', 'two', 'three'][one.meta['page'] - 1]}" in one.content
        for at in one.meta.get("page_breaks", []):
            assert 0 < at < len(one.content)


def test_a_first_page_that_begins_late_is_still_the_first() -> None:
    """Text before the first page counts to page 1, and so does what follows it there."""
    (passage,) = PassageSplitter().process([file("Before. First page. Second page.", page_starts=[8, 20])])
    assert passage.meta["page"] == 1
    assert passage.meta["page_breaks"] == [20]


def test_no_page_where_the_format_has_none() -> None:
    """Without pages in the file there is no page in the passage."""
    (passage,) = PassageSplitter().process([file("Text.")])
    assert "page" not in passage.meta
    assert "page_breaks" not in passage.meta


def test_passages_know_the_heading_above_them() -> None:
    """The nearest heading's title is in the metadata, cut where a whole paragraph passes for a heading."""
    text = f"Intro.\n\nTower\n\n{BODY}\n\nBridge\n\nIt spans the river."
    headings = [[text.index("Tower"), 1, "Tower"], [text.index("Bridge"), 2, "Bridge " * 100]]
    passages = PassageSplitter(words=30, overlap=5).process([file(text, headings=headings)])
    assert "heading" not in passages[0].meta
    assert {p.meta["heading"] for p in passages[1:-1]} == {"Tower"}
    assert passages[-1].meta["heading"].startswith("Bridge Bridge")
    assert len(passages[-1].meta["heading"]) <= 200


def test_the_files_own_metadata_are_in_every_passage() -> None:
    """The user's metadata and the file's name go with each passage, what describes the whole file does not."""
    given_ = file(BODY, lang="en", page_starts=[0], headings=[], size=9, mtime_ns=1, sha256="ab", encoding="utf-8")
    passages = PassageSplitter(words=30).process([given_])
    assert len(passages) > 3
    for passage in passages:
        assert passage.meta["lang"] == "en"
        assert passage.meta["name"] == "a.txt"
        assert passage.meta["sha256"] == "ab"
        assert passage.meta["file_id"] == "f1"
        assert not {"page_starts", "headings", "size", "mtime_ns", "encoding"} & set(passage.meta)
    assert given_.meta["page_starts"] == [0]


def test_a_document_without_file_id_is_its_own_file() -> None:
    """In anybody's pipeline the document's id stands for the file."""
    (passage,) = PassageSplitter().process(Document(content="Text.", id="d7"))
    assert passage.meta["file_id"] == "d7"


def test_passages_are_as_haystack_would_make_them() -> None:
    """A passage is equal, field by field, to one from Haystack's constructor, and shares nothing that is changed."""
    first, second = PassageSplitter(words=30, overlap=5).process([file(BODY)])[:2]
    made = Document(content=first.content, content_type="text", id=first.id, meta=dict(first.meta))
    assert (first, first.to_dict(), vars(first)) == (made, made.to_dict(), vars(made))
    first.meta["own"] = True
    first.id_hash_keys.append("meta")
    first.score = 0.5
    assert "own" not in second.meta
    assert second.id_hash_keys == ["content"]
    assert second.score is None


def test_a_pipeline_runs_it_as_it_runs_alone() -> None:
    """In a pipeline, its parameters for debugging included, it gives the same, and the caller's documents stay."""
    pipeline = Pipeline()
    pipeline.add_node(PassageSplitter(words=30, overlap=5), name="Splitter", inputs=["File"])
    given_ = file(BODY, headings=[[0, 1, "Sentence"]])
    before = given_.to_dict()
    output = pipeline.run(documents=[given_], params={"Splitter": {"debug": True}})
    assert output["documents"] == PassageSplitter(words=30, overlap=5).process(given_)
    assert output["files"] == [given_]
    assert output["_debug"]["Splitter"]["output"]["documents"] == output["documents"]
    assert given_.to_dict() == before


def test_it_is_a_haystack_preprocessor() -> None:
    """Documents and their dictionaries, one or many, alone or nested, as `process`, `run`, `run_batch` and `split`."""
    node = PassageSplitter(words=30, overlap=5)
    assert isinstance(node, BasePreProcessor)
    document = file(BODY)
    expected = node.process([document])
    assert node.process(document) == expected
    assert node.process(document.to_dict()) == expected
    assert node.split(document) == expected
    assert node.clean(document) == document == node.clean(document.to_dict())
    for given_ in (document, [document], document.to_dict(), [document.to_dict()]):
        output, edge = node.run(given_)
        assert edge == "output_1"
        assert output["documents"] == expected
        assert output["files"] == [document]
        assert node.run_batch(given_)[0] == output
    nested, _ = node.run_batch([[document], [document, file("Other.", "f2")]])
    assert [len(passages) for passages in nested["documents"]] == [len(expected), len(expected) + 1]
    assert node.run([])[0] == {"documents": [], "files": []}
    assert node.run_batch([])[0]["documents"] == []


def test_its_parameters_are_in_the_pipeline_file(tmp_path: Path) -> None:
    """A pipeline saved and loaded cuts as before."""
    pipeline = Pipeline()
    pipeline.add_node(PassageSplitter(words=30, overlap=5), name="Splitter", inputs=["File"])
    pipeline.save_to_yaml(tmp_path / "pipeline.yaml")
    loaded = Pipeline.load_from_yaml(tmp_path / "pipeline.yaml")
    node = loaded.get_node("Splitter")
    assert isinstance(node, PassageSplitter)
    assert (node.words, node.overlap) == (30, 5)
    assert loaded.run(documents=[file(BODY)])["documents"] == pipeline.run(documents=[file(BODY)])["documents"]
