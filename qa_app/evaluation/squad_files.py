"""Questions with known answers, and predictions, as SQuAD 1.1 and 2.0 have them in files; read strictly."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qa_app.errors import InvalidRequestError, MalformedRequestError, NotFoundError, SettingsError

_GZIP = b"\x1f\x8b"


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
    content = read_json(path)
    questions: dict[str, Question] = {}
    for question, place in _questions(content, str(path)):
        if question.id in questions:
            raise InvalidRequestError(f"{place}: the id {question.id!r} is there already; every question needs its own")
        if places:
            _check_places(question, place)
        questions[question.id] = question
    if not questions:
        raise InvalidRequestError(f"{path} holds no questions")
    return list(questions.values())


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


def read_json(path: Path) -> Any:
    """What a JSON file in UTF-8 holds, unpacked where it is gzipped; raises as :func:`read_questions` does."""
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} is not there; give a file as SQuAD has them") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise MalformedRequestError(f"{path} is gzipped and damaged: {error}; copy it again") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError(f"{path} is not JSON in UTF-8: {error}") from error


def _object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InvalidRequestError(f'{path} is not an object such as {{"id of a question": ...}}')
    return content


def _questions(content: object, path: str) -> Iterator[tuple[Question, str]]:
    """The questions, each with its place in the file for messages."""
    for article, a_place in _entries(content, "data", f"{path}:", " "):
        title = _text(article["title"], f"{a_place}.title") if "title" in article else ""
        for paragraph, p_place in _entries(article, "paragraphs", a_place):
            context = _text(paragraph.get("context"), f"{p_place}.context")
            for asked, place in _entries(paragraph, "qas", p_place):
                answers = tuple(_answer(given, where) for given, where in _entries(asked, "answers", place))
                if asked.get("is_impossible") is True and answers:
                    raise InvalidRequestError(f"{place} is_impossible and has answers; it cannot be both")
                id, text = (_text(asked.get(key), f"{place}.{key}") for key in ("id", "question"))
                if not text.strip():
                    raise InvalidRequestError(f"{place}.question is empty")
                yield Question(id, text, title, context, answers), place


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


def _answer(given: dict[str, Any], place: str) -> GoldAnswer:
    start = given.get("answer_start")
    if start is not None and (isinstance(start, bool) or not isinstance(start, int)):
        raise InvalidRequestError(f"{place}.answer_start is {str(start)[:40]!r}, which is not a whole number")
    return GoldAnswer(_text(given.get("text"), f"{place}.text"), start)


def _check_places(question: Question, place: str) -> None:
    for number, answer in enumerate(question.answers):
        start, end = answer.start or 0, (answer.start or 0) + len(answer.text)
        if answer.start is None or start < 0 or not answer.text or question.context[start:end] != answer.text:
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
