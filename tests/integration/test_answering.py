"""From files to answers: both pipelines whole, on the embedded store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from haystack import Pipeline
from haystack.schema import Answer

import qa_app.nodes
from qa_app import bootstrap
from qa_app.errors import InvalidRequestError, QaAppError, StoreError
from qa_app.pipelines.answering import ask
from qa_app.settings import Settings
from qa_app.stores.passage_store import PassageStore
from tests.ingesting import settings_for, write

pytestmark = pytest.mark.reader

FILES: dict[str, str | bytes] = {
    "tower.txt": "The tower was built by Anna Berg in 1904. It is made of iron and is 90 metres high.",
    "bridge.md": "# Bridge\n\nIt spans the river.\n\n## History\n\nThe bridge was built by Carl Holm in 1950.\n",
    "clock.html": "<html><body><h1>Clock</h1><p>The clock was made by Zoë Müller 👩‍🔧 in 1888.</p></body></html>",
    "again.txt": "The tower was built by Anna Berg in 1904. It is made of iron and is 90 metres high.",
}
QUESTION = "Who built the bridge?"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a store into which the files went through the indexing pipeline."""
    folder = tmp_path_factory.mktemp("answering")
    settings = settings_for(folder / "data", ingest_workers=1)
    with bootstrap.open_store(settings) as store, bootstrap.open_indexing(settings, store) as pipeline:
        index(pipeline, write(folder / "files", FILES))
    return settings


@pytest.fixture(scope="module")
def store(settings: Settings) -> Iterator[PassageStore]:
    with bootstrap.open_store(settings) as store:
        yield store


@pytest.fixture(scope="module")
def pipeline(settings: Settings, store: PassageStore) -> Pipeline:
    return bootstrap.build_answering(settings, store, bootstrap.open_reader(settings))


def index(pipeline: Pipeline, folder: Path) -> dict[str, Any]:
    paths = sorted(folder.iterdir())
    metas = [{"file_id": path.name, "path": path.name, "kind": path.suffix[1:]} for path in paths]
    output: dict[str, Any] = pipeline.run(file_paths=paths, meta=metas)
    assert set(output["written"]) == {path.name for path in paths}
    assert output["rejections"] == []
    return output


def told(answers: list[Answer]) -> list[tuple[str, str | None, object]]:
    return [(a.answer, a.meta.get("path"), a.meta.get("answer_start")) for a in answers]


@pytest.mark.parametrize(
    ("question", "answer", "path"),
    [
        (QUESTION, "Carl Holm", "bridge.md"),
        ("Who made the clock?", "Zoë Müller", "clock.html"),
        ("When was the clock made?", "1888", "clock.html"),
    ],
)
def test_a_question_is_answered_from_its_file(
    pipeline: Pipeline, store: PassageStore, question: str, answer: str, path: str
) -> None:
    """The answer is the file's own words, at the place in the file's text that it says."""
    result = ask(pipeline, question)
    assert result["query"] == question
    first = result["answers"][0]
    assert answer in first.answer
    assert first.meta["path"] == path
    file = store.get_file(first.meta["file_id"])
    assert file is not None
    assert file.content[first.meta["answer_start"] : first.meta["answer_end"]] == first.answer
    documents = {document.id: document for document in result["documents"]}
    span = first.offsets_in_document[0]
    assert documents[first.document_ids[0]].content[span.start : span.end] == first.answer


def test_the_heading_above_the_answer_is_known(pipeline: Pipeline) -> None:
    """The answer carries its passage's metadata, the nearest heading among them."""
    assert ask(pipeline, QUESTION)["answers"][0].meta["heading"] == "History"


@pytest.mark.case("F22")
def test_equal_text_in_two_files_is_found_in_both(pipeline: Pipeline) -> None:
    """Two files of the same words are two sources."""
    answers = ask(pipeline, "Who built the tower?")["answers"]
    assert {a.meta["path"] for a in answers if "Anna Berg" in a.answer} == {"tower.txt", "again.txt"}


def test_parameters_by_node_and_filters(pipeline: Pipeline) -> None:
    """The number of passages, of answers, and metadata filters can be given for one question."""
    params = {"Retriever": {"top_k": 1}, "Reader": {"top_k": 1}}
    result = ask(pipeline, "Who built the tower or the bridge?", params)
    assert len(result["documents"]) == 1
    assert len(result["answers"]) == 1
    result = ask(pipeline, "Who built it in 1904 or in 1950?", {"Retriever": {"filters": {"kind": ["md", "html"]}}})
    assert result["documents"]
    assert {document.meta["kind"] for document in result["documents"]} <= {"md", "html"}
    everywhere = ask(pipeline, "Who built it in 1904 or in 1950?", {"filters": {"kind": "md"}})
    assert {document.meta["kind"] for document in everywhere["documents"]} == {"md"}


@pytest.mark.parametrize(
    "filters", [{"kind": {"$foo": 1}}, {"kind": {}}, {"$and": "md"}, ["md"], {"kind": {"$gt": ["a"]}}], ids=json.dumps
)
@pytest.mark.parametrize("by_node", [True, False], ids=["node", "global"])
def test_a_wrong_filter_is_the_askers_error(pipeline: Pipeline, filters: Any, by_node: bool) -> None:
    """A filter that says nothing sensible is refused, and never matches everything."""
    with pytest.raises(InvalidRequestError):
        ask(pipeline, QUESTION, {"Retriever": {"filters": filters}} if by_node else {"filters": filters})


@pytest.mark.parametrize("question", ["", " \n", "\u200d\u200d", "x" * 10_001, "half \ud83d"], ids=ascii)
def test_a_question_without_words_is_the_askers_error(pipeline: Pipeline, question: str) -> None:
    """Nothing to ask, too much to ask, or no text at all."""
    try:
        result = ask(pipeline, question)
    except InvalidRequestError:
        return
    # Joiners alone find no passage, so that the reader has nothing to refuse.
    assert question == "\u200d\u200d"
    assert [answer.answer for answer in result["answers"]] == [""]


def test_nothing_found_is_no_answer(pipeline: Pipeline) -> None:
    """Where no passage has a word of the question, the one answer is that there is none."""
    (answer,) = ask(pipeline, "xyzzy qwrtzu?")["answers"]
    assert (answer.answer, answer.score) == ("", 1.0)


def test_an_error_of_a_node_comes_out_as_ours(pipeline: Pipeline, tmp_path: Path) -> None:
    """Haystack wraps what a node raises in a bare Exception; whoever asks gets the error itself."""
    with pytest.raises(Exception, match="top_k") as wrapped:
        pipeline.run(query=QUESTION, params={"Reader": {"top_k": 0}})
    assert not isinstance(wrapped.value, QaAppError)
    with pytest.raises(InvalidRequestError, match="top_k"):
        ask(pipeline, QUESTION, {"Reader": {"top_k": 0}})
    own = settings_for(tmp_path / "data")
    with bootstrap.open_store(own) as store:
        other = bootstrap.build_answering(own, store, pipeline.get_node("Reader"))
    for file in own.data_path.glob("store.sqlite*"):
        file.write_bytes(b"no database any more" * 1000)
    with pytest.raises(StoreError):
        ask(other, QUESTION)


def test_many_questions_at_once(pipeline: Pipeline) -> None:
    """A batch gives for each question what it gets alone."""
    questions = [QUESTION, "Who made the clock?", "xyzzy qwrtzu?"]
    batch = pipeline.run_batch(queries=questions)["answers"]
    assert [told(answers) for answers in batch] == [told(ask(pipeline, question)["answers"]) for question in questions]


def test_the_answering_pipeline_as_a_file(pipeline: Pipeline, tmp_path: Path) -> None:
    """Saved with all its parameters and loaded, it has the same nodes and gives the same answers."""
    pipeline.save_to_yaml(tmp_path / "answering.yaml", return_defaults=True)
    loaded = Pipeline.load_from_yaml(tmp_path / "answering.yaml")
    assert {"Retriever", "Reader"} <= set(loaded.components)
    assert isinstance(loaded.get_node("Reader"), qa_app.nodes.PassageReader)
    for question in (QUESTION, "Who made the clock?"):
        one, two = (ask(p, question, {"Retriever": {"top_k": 3}})["answers"] for p in (pipeline, loaded))
        assert told(one) == told(two)
        assert [a.score for a in one] == pytest.approx([a.score for a in two], abs=1e-5)


def test_the_indexing_pipeline_as_a_file(settings: Settings, tmp_path: Path) -> None:
    """Saved and loaded, it indexes the same files into the same passages."""
    own = settings_for(tmp_path / "data", ingest_workers=1, passage_words=30, passage_overlap=5)
    folder = write(tmp_path / "files", FILES)
    with bootstrap.open_store(own) as store, bootstrap.open_indexing(own, store) as pipeline:
        pipeline.save_to_yaml(tmp_path / "indexing.yaml")
        written = index(pipeline, folder)["written"]
        expected = sorted((d.id, d.content) for d in store.get_all_documents())
    config = yaml.safe_load((tmp_path / "indexing.yaml").read_text())
    (path,) = [c["params"] for c in config["components"] if c["type"] == "SQLiteDocumentStore"]
    path["path"] = str(tmp_path / "other.sqlite")
    (tmp_path / "indexing.yaml").write_text(yaml.safe_dump(config))
    loaded = Pipeline.load_from_yaml(tmp_path / "indexing.yaml")
    try:
        assert index(loaded, folder)["written"] == written
        other = loaded.get_node("Writer").document_store
        assert sorted((d.id, d.content) for d in other.get_all_documents()) == expected
        other.close()
    finally:
        loaded.get_node("Converter").close()


_THIRD_PERSON = """
import sys
import qa_app.nodes
from pathlib import Path
from haystack import Pipeline
for path in sys.argv[1:]:
    pipeline = Pipeline.load_from_yaml(Path(path))
    if "Reader" in pipeline.components:
        print(pipeline.run(query="Who built the bridge?")["answers"][0].answer)
    else:
        print(sorted(pipeline.components))
"""


def test_a_third_person_loads_both_files(
    pipeline: Pipeline, settings: Settings, store: PassageStore, tmp_path: Path
) -> None:
    """In a process of its own, `import qa_app.nodes` is all that Haystack needs to load them."""
    pipeline.save_to_yaml(tmp_path / "answering.yaml")
    with bootstrap.open_indexing(settings, store) as indexing:
        indexing.save_to_yaml(tmp_path / "indexing.yaml")
    process = subprocess.run(
        [sys.executable, "-c", _THIRD_PERSON, str(tmp_path / "answering.yaml"), str(tmp_path / "indexing.yaml")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    answer, nodes = process.stdout.strip().splitlines()
    assert answer == "Carl Holm"
    assert {"Converter", "Splitter", "Writer"} <= set(nodes.strip("[]").replace("'", "").split(", "))
