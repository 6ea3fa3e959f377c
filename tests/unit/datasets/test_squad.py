"""Files of questions and predictions are read strictly: what is wrong is said with its place."""

from __future__ import annotations

import copy
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qa_app.datasets.squad import (
    GoldAnswer,
    Question,
    read_no_answer_scores,
    read_predictions,
    read_questions,
)
from qa_app.errors import InvalidRequestError, MalformedRequestError, NotFoundError, QaAppError, SettingsError

CONTEXT = "🏰 The tower was built by Anna Berg in 1904."
DATA: dict[str, Any] = {
    "version": "v2.0",
    "data": [
        {
            "title": "Tower",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {
                            "id": "1",
                            "question": "Who built it?",
                            "answers": [{"text": "Anna Berg", "answer_start": 25}],
                        },
                        {"id": "2", "question": "Who burned it?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ],
}
QAS = "data[0].paragraphs[0].qas"


def save(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_read(tmp_path: Path, packed: bool) -> None:
    """Questions come in order, with context, title and answers by code points, also from a gzipped file."""
    content = json.dumps(DATA, ensure_ascii=False).encode()
    path = tmp_path / "data.json"
    path.write_bytes(gzip.compress(content) if packed else b"\xef\xbb\xbf" + content)
    assert read_questions(path, places=True) == [
        Question("1", "Who built it?", "Tower", CONTEXT, (GoldAnswer("Anna Berg", 25),)),
        Question("2", "Who burned it?", "Tower", CONTEXT, ()),
    ]


def changed(change: Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], object]) -> dict[str, Any]:
    """The file after ``change(article, paragraph, first question)``."""
    data = copy.deepcopy(DATA)
    article = data["data"][0]
    change(article, article["paragraphs"][0], article["paragraphs"][0]["qas"][0])
    return data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "data is not a list"),
        ({}, "data is not a list"),
        ({"data": []}, "holds no questions"),
        ({"data": [5]}, r"data\[0\] is not an object"),
        (changed(lambda a, p, q: a.update(title=5)), r"data\[0\].title is not a text"),
        (changed(lambda a, p, q: a.pop("paragraphs")), r"data\[0\].paragraphs is not a list"),
        (changed(lambda a, p, q: p.pop("context")), r"data\[0\].paragraphs\[0\].context is not a text"),
        (changed(lambda a, p, q: p.update(qas={})), r"data\[0\].paragraphs\[0\].qas is not a list"),
        (changed(lambda a, p, q: q.pop("answers")), re.escape(f"{QAS}[0].answers is not a list")),
        (changed(lambda a, p, q: q.update(id=7)), re.escape(f"{QAS}[0].id is not a text")),
        (changed(lambda a, p, q: q.update(id="2")), re.escape(f"{QAS}[1]: the id '2' is there already")),
        (changed(lambda a, p, q: q.update(question=" ")), re.escape(f"{QAS}[0].question is empty")),
        (changed(lambda a, p, q: q.update(question="\ud83d?")), re.escape(f"{QAS}[0].question holds half")),
        (changed(lambda a, p, q: q.update(is_impossible=True)), re.escape(f"{QAS}[0] is_impossible and has answers")),
        (changed(lambda a, p, q: q.update(answers=["Anna"])), re.escape(f"{QAS}[0].answers[0] is not an object")),
        (changed(lambda a, p, q: q["answers"][0].pop("text")), re.escape(f"{QAS}[0].answers[0].text is not a text")),
        (changed(lambda a, p, q: q["answers"][0].update(answer_start="5")), re.escape("answer_start is '5'")),
        (changed(lambda a, p, q: q["answers"][0].update(answer_start=True)), re.escape("answer_start is 'True'")),
    ],
)
def test_wrong_shapes(tmp_path: Path, content: object, message: str) -> None:
    """What is not as SQuAD has it is an error that names the file, the place and the reason."""
    path = save(tmp_path / "data.json", content)
    with pytest.raises(InvalidRequestError, match=message) as raised:
        read_questions(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("start", [None, -1, 24, 26, 1000])
def test_wrong_places(tmp_path: Path, start: int | None) -> None:
    """An answer that is not at its place is an error where places matter, and none where only words do."""
    path = save(tmp_path / "data.json", changed(lambda a, p, q: q["answers"][0].update(answer_start=start)))
    assert read_questions(path)
    with pytest.raises(InvalidRequestError, match=re.escape(f"{QAS}[0].answers[0]: the context does not hold")):
        read_questions(path, places=True)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"{", MalformedRequestError),
        (b"", MalformedRequestError),
        (b"\xff{}", MalformedRequestError),
        (b"[" * 100_000, MalformedRequestError),
        (gzip.compress(b"{}" * 1000)[:-9], MalformedRequestError),
        (b"\x1f\x8bno gzip", MalformedRequestError),
    ],
)
def test_no_json(tmp_path: Path, content: bytes, error: type[QaAppError]) -> None:
    """What cannot be parsed or unpacked is an error that names the file."""
    path = tmp_path / "data.json"
    path.write_bytes(content)
    with pytest.raises(error, match=str(path)):
        read_questions(path)


def test_no_file(tmp_path: Path) -> None:
    """A file that is missing or a folder is an error that names it."""
    with pytest.raises(NotFoundError, match=r"gone\.json"):
        read_questions(tmp_path / "gone.json")
    with pytest.raises(SettingsError, match=str(tmp_path)):
        read_questions(tmp_path)


def test_predictions(tmp_path: Path) -> None:
    """Predictions are texts by id; anything else is named."""
    assert read_predictions(save(tmp_path / "p.json", {"1": "Anna", "2": ""})) == {"1": "Anna", "2": ""}
    for wrong, message in (([], "is not an object"), ({"1": None}, "prediction for '1' is not a text")):
        with pytest.raises(InvalidRequestError, match=message):
            read_predictions(save(tmp_path / "p.json", wrong))


def test_no_answer_scores(tmp_path: Path) -> None:
    """Scores are finite numbers by id, in the file's order; anything else is named."""
    scores = {"2": 1, "1": 0.5}
    assert list(read_no_answer_scores(save(tmp_path / "s.json", scores)).items()) == list(scores.items())
    for wrong in (None, "0.5", True, float("nan"), float("inf")):
        with pytest.raises(InvalidRequestError, match="score for '1'"):
            read_no_answer_scores(save(tmp_path / "s.json", {"1": wrong}))
