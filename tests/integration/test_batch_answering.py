"""Many questions at once are answered as each is alone."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from haystack import Pipeline
from haystack.schema import Answer

from qa_app import bootstrap
from qa_app.errors import DeadlineError, InvalidRequestError
from qa_app.pipelines.answering import ask, ask_batch, response
from qa_app.reading.deadline import deadline
from tests.conftest import REPOSITORY
from tests.ingesting import ingesting, settings_for, write

pytestmark = pytest.mark.reader

SAMPLES = REPOSITORY / "samples"
#: A file each, whose words stand nowhere else: its name, its question, its text.
CANARIES = {
    "Quillon Aster": ("Who tamed the wolverine?", "The wolverine was tamed by Quillon Aster."),
    "Brenta Voss": ("Who embroidered the banner?", "The banner was embroidered by Brenta Voss."),
    "Ludo Farrow": ("Who smuggled the emeralds?", "The emeralds were smuggled by Ludo Farrow."),
    "Mirelle Okoye": ("Who whistled the anthem?", "The anthem was whistled by Mirelle Okoye."),
    "Tamsin Ray": ("Who varnished the canoe?", "The canoe was varnished by Tamsin Ray."),
    "Ossian Krug": ("Who poisoned the marmalade?", "The marmalade was poisoned by Ossian Krug."),
}
NOT_THERE = "xyzzy qwrtzu?"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Over the samples and the canaries."""
    folder = tmp_path_factory.mktemp("batch")
    settings = settings_for(folder / "data")
    with ingesting(settings, exclude=("*.json",)) as ingest:
        ingest(SAMPLES, write(folder / "canaries", {f"{name}.txt": text for name, (_, text) in CANARIES.items()}))
        yield bootstrap.build_answering(settings, ingest.store, bootstrap.open_reader(settings))


def sample_questions(count: int) -> list[str]:
    """Questions on the samples, some without an answer, always the same."""
    articles = json.loads((SAMPLES / "questions.json").read_text())["data"]
    found = [q["question"] for a in articles for p in a["paragraphs"] for q in p["qas"]]
    return random.Random(11).sample(found, count)


def without_scores(result: dict[str, Any]) -> Any:
    """What :func:`response` gives, less the scores of answers, which are compared apart."""
    body = response(result)
    return {**body, "answers": [{k: v for k, v in answer.items() if k != "score"} for answer in body["answers"]]}


def scores(result: dict[str, Any]) -> list[float]:
    answers: list[Answer] = result["answers"]
    return [float(answer.score or 0) for answer in answers]


@pytest.mark.parametrize(
    ("count", "params"),
    [
        pytest.param(30, {}, marks=pytest.mark.slow),
        (8, {"Retriever": {"top_k": 3}, "Reader": {"top_k": 2}}),
        (8, {"filters": {"name": ["tea.md", "danube.txt", "rhine.txt", "titanic.txt"]}}),
        (8, {"Retriever": {"top_k": 5, "filters": {"name": {"$ne": "tea.md"}}}}),
    ],
    ids=["plain", "top_k", "filters", "both"],
)
def test_a_batch_is_as_one_by_one(pipeline: Pipeline, count: int, params: dict[str, Any]) -> None:
    """Answers, places and documents are the same, scores to five digits, and results have the same fields."""
    questions = [*sample_questions(count), NOT_THERE]
    before = json.dumps(params)
    results = ask_batch(pipeline, questions, params)
    assert len(results) == len(questions)
    for question, result in zip(questions, results):
        alone = ask(pipeline, question, params)
        assert set(result) == set(alone)
        assert without_scores(result) == without_scores(alone)
        assert scores(result) == pytest.approx(scores(alone), abs=1e-5)
    assert json.dumps(params) == before


def test_no_answer_is_another_questions(pipeline: Pipeline) -> None:
    """Of questions in shuffled batches of any size, each gets the name that stands in its own file alone."""
    dice = random.Random(4)
    for size in (1, 2, 3, 5, 6):
        names = dice.sample(sorted(CANARIES), size)
        for name, result in zip(names, ask_batch(pipeline, [CANARIES[name][0] for name in names])):
            assert result["query"] == CANARIES[name][0]
            assert result["answers"][0].answer == name
            documents = {document.id for document in result["documents"]}
            assert all(answer.document_ids[0] in documents for answer in result["answers"] if answer.answer)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("nothing", [NOT_THERE, "\u200d\u200d"], ids=ascii)
def test_a_question_that_finds_nothing(pipeline: Pipeline, nothing: str, place: int) -> None:
    """It has the one answer that there is none, wherever it stands in a batch, and the others have theirs."""
    names = ["Ludo Farrow", "Tamsin Ray"]
    questions = [CANARIES[name][0] for name in names]
    questions.insert(place, nothing)
    names.insert(place, "")
    results = ask_batch(pipeline, questions)
    assert [result["answers"][0].answer for result in results] == names
    assert (results[place]["documents"], scores(results[place])) == ([], [1.0])


def test_nothing_but_questions_that_find_nothing(pipeline: Pipeline) -> None:
    """A batch without any passage, and one without any question, are answered too."""
    results = ask_batch(pipeline, [NOT_THERE, NOT_THERE])
    assert [response(result) for result in results] == [response(ask(pipeline, NOT_THERE))] * 2
    assert ask_batch(pipeline, []) == []


@pytest.mark.parametrize(
    ("questions", "params"),
    [
        (["Who?", ""], {}),
        (["Who?", "x" * 10_001], {}),
        (["Who?"], {"Reader": {"top_k": 0}}),
        (["Who?"], {"filters": {"name": {"$foo": 1}}}),
        # As many filters as questions, which Haystack would take for one a question.
        (["Who?", "What?"], {"filters": [{"name": "tea.md"}, {"name": "danube.txt"}]}),
        (["Who?", "What?"], {"Retriever": {"filters": ["tea.md", "danube.txt"]}}),
    ],
)
def test_what_ask_refuses_is_refused(pipeline: Pipeline, questions: list[str], params: dict[str, Any]) -> None:
    """A question or parameter that one question is refused for is the asker's error in a batch as well."""
    with pytest.raises(InvalidRequestError):
        ask(pipeline, questions[-1], params)
    with pytest.raises(InvalidRequestError):
        ask_batch(pipeline, questions, params)


def test_a_deadline_comes_out_as_ours(pipeline: Pipeline) -> None:
    """Neither asking way wraps it, and the next question is answered."""
    question = CANARIES["Brenta Voss"][0]
    with deadline(time.monotonic()):
        with pytest.raises(DeadlineError):
            ask(pipeline, question)
        with pytest.raises(DeadlineError):
            ask_batch(pipeline, [question, question])
    assert ask(pipeline, question)["answers"][0].answer == "Brenta Voss"
