"""Questions with known answers, and predictions, as SQuAD 1.1 and 2.0 have them in files; read strictly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qa_app.datasets.files import read_json
from qa_app.errors import InvalidRequestError


@dataclass(frozen=True)
class GoldAnswer:
    """An answer that counts as right; ``start`` is its first code point in the context, None where it is not known."""

    text: str
    start: int | None


@dataclass(frozen=True)
class Question:
    """A question about ``context``, which lies in the article ``title``; without ``answers`` it has none."""

    id: str
    text: str
    title: str
    context: str
    answers: tuple[GoldAnswer, ...]


def read_questions(path: Path, *, places: bool = False) -> list[Question]:
    """The questions of a SQuAD file, plain or gzipped, in its order.

    With ``places`` every answer must stand where its ``answer_start`` says. Whether a question has an answer is told by
    ``answers`` alone, as the official metric has it. Raises NotFoundError, SettingsError, MalformedRequestError and
    InvalidRequestError, which name the file and the place in it.
    """
    return read_with_digest(path, places=places)[0]


def read_with_digest(path: Path, *, places: bool = False) -> tuple[list[Question], str]:
    """The questions as :func:`read_questions` reads them, and the SHA-256 of the file."""
    content, digest = read_json(path)
    questions: dict[str, Question] = {}
    for question, place in parse(content, path, places=places):
        if isinstance(question, InvalidRequestError):
            raise question
        if not question.id:
            raise InvalidRequestError(f"{place}.id is empty; every question needs its own")
        if question.id in questions:
            raise InvalidRequestError(f"{place}: the id {question.id!r} is there already; every question needs its own")
        questions[question.id] = question
    if not questions:
        raise InvalidRequestError(f"{path} holds no questions")
    return list(questions.values()), digest


def parse(content: object, path: Path, *, places: bool) -> Iterator[tuple[Question | InvalidRequestError, str]]:
    """Each question of what ``path`` holds, or why it cannot be used, with its place in the file.

    Ids may be missing or repeated; ``places`` as in :func:`read_questions`. Raises InvalidRequestError where the file
    is not SQuAD at all.
    """
    for article, a_place in _entries(content, "data", f"{path}:", " "):
        for paragraph, p_place in _entries(article, "paragraphs", a_place):
            for asked, place in _entries(paragraph, "qas", p_place):
                try:
                    title = _text(article["title"], f"{a_place}.title") if "title" in article else ""
                    context = _text(paragraph.get("context"), f"{p_place}.context")
                    question = _question(asked, title, context, place)
                    if places:
                        _check_places(question, place)
                except InvalidRequestError as error:
                    yield error, place
                else:
                    yield question, place


def read_predictions(path: Path) -> dict[str, str]:
    """The official file of predictions: an object from ids of questions to texts, empty for "no answer".

    Raises as :func:`read_questions` does.
    """
    return {id: _text(text, f"{path}: the prediction for {id!r}") for id, text in _object(path).items()}


def read_no_answer_scores(path: Path) -> dict[str, float]:
    """How likely each question has no answer, by id and in the file's order; numbers as they are written.

    Raises as :func:`read_questions` does.
    """
    scores = _object(path)
    for id, score in scores.items():
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
            raise InvalidRequestError(f"{path}: the score for {id!r} is {str(score)[:40]!r}, which is not a number")
    return scores


def _object(path: Path) -> dict[str, Any]:
    content, _ = read_json(path)
    if not isinstance(content, dict):
        raise InvalidRequestError(f'{path} is not an object such as {{"id of a question": ...}}')
    return content


def _entries(record: object, key: str, place: str, joint: str = ".") -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of the list ``record[key]``, each with its place."""
    given = record.get(key) if isinstance(record, dict) else None
    if not isinstance(given, list):
        raise InvalidRequestError(f"{place}{joint}{key} is not a list, as SQuAD has it")
    for number, entry in enumerate(given):
        where = f"{place}{joint}{key}[{number}]"
        if not isinstance(entry, dict):
            raise InvalidRequestError(f"{where} is not an object")
        yield entry, where


def _question(asked: dict[str, Any], title: str, context: str, place: str) -> Question:
    answers = tuple(_answer(given, where) for given, where in _entries(asked, "answers", place))
    if asked.get("is_impossible") is True and answers:
        raise InvalidRequestError(f"{place} is_impossible and has answers; it cannot be both")
    id, text = _text(asked.get("id", ""), f"{place}.id"), _text(asked.get("question"), f"{place}.question")
    if not text.strip():
        raise InvalidRequestError(f"{place}.question is empty")
    return Question(id, text, title, context, answers)


def _answer(given: dict[str, Any], place: str) -> GoldAnswer:
    start = given.get("answer_start")
    if start is not None and (isinstance(start, bool) or not isinstance(start, int)):
        raise InvalidRequestError(f"{place}.answer_start is {str(start)[:40]!r}, which is not a whole number")
    return GoldAnswer(_text(given.get("text"), f"{place}.text"), start)


def _check_places(question: Question, place: str) -> None:
    for number, answer in enumerate(question.answers):
        start, end = answer.start or 0, (answer.start or 0) + len(answer.text)
        if answer.start is None or start < 0 or not answer.text.strip() or question.context[start:end] != answer.text:
            raise InvalidRequestError(
                f"{place}.answers[{number}]: the context does not hold {answer.text[:40]!r} at answer_start = "
                f"{answer.start}, counted in code points"
            )


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"{place} is not a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(f"{place} holds half of a surrogate pair, which is not text") from None
    return value
