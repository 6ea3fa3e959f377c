"""What the API answers, as far as the page shows it; anything else raises ProblemError."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ui.problems import ProblemError

T = TypeVar("T")
#: Keys under which files tell their date, the best first.
_DATES = ("date", "published", "created", "modified", "year")


@dataclass(frozen=True)
class Passage:
    """A passage; ``start`` is where it begins in its file's text, in code points."""

    id: str
    content: str
    file_id: str
    name: str
    start: int | None
    page: int | None
    heading: str
    date: str


@dataclass(frozen=True)
class Answer:
    """An answer in its passage: ``passage.content[start:end]`` are its very words, none where there is no answer."""

    text: str
    score: float
    passage: Passage | None
    start: int
    end: int
    page: int | None
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Answers:
    """The answers to a question, best first, and the passages that were read."""

    answers: tuple[Answer, ...]
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Readiness:
    """Whether questions can be answered; ``missing`` says what is not there, ``notice`` what stands in for it."""

    ready: bool
    missing: Mapping[str, str]
    notice: str


@dataclass(frozen=True)
class Facet:
    """A field to filter by: its values with the numbers of files that have them, and how many more values there are."""

    field: str
    values: tuple[tuple[str | int | float | bool, int], ...]
    others: int


@dataclass(frozen=True)
class Facets:
    """What can be filtered by, and how many files there are."""

    facets: tuple[Facet, ...]
    files: int


@dataclass(frozen=True)
class File:
    """A file in the index."""

    id: str
    name: str
    path: str
    passages: int
    size: int | None
    pages: int | None
    media_type: str
    ingested_at: str


@dataclass(frozen=True)
class Files:
    """Some of the files, and how many there are of them."""

    files: tuple[File, ...]
    total: int


@dataclass(frozen=True)
class Text:
    """A stretch of a file's text from ``start`` on; ``length`` is that of the whole text, in code points."""

    text: str
    start: int
    length: int


@dataclass(frozen=True)
class JobFile:
    """How one file of an upload is doing."""

    name: str
    status: str
    reason: str
    message: str
    passages: int


@dataclass(frozen=True)
class Job:
    """An upload."""

    id: str
    status: str
    message: str
    created_at: str
    files: tuple[JobFile, ...]


@dataclass(frozen=True)
class Label:
    """A judgement that was kept."""

    question: str
    answer: str
    name: str
    right_answer: bool
    right_passage: bool
    created_at: str


@dataclass(frozen=True)
class Accuracy:
    """How many judgements there are, and the shares of right answers and right passages among them."""

    judgements: int
    answers: float | None
    passages: float | None


def read(parse: Callable[[Any], T], body: Any) -> T:
    """``parse(body)``; raises ProblemError where the body is not what the API promises."""
    try:
        return parse(body)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ProblemError("nonsense", "The answer of the API cannot be understood. Is it qa_app's API?") from error


def readiness(body: Any) -> Readiness:
    return Readiness(bool(body["ready"]), dict(body.get("missing") or {}), str(body.get("notice") or ""))


def answers(body: Any) -> Answers:
    found = tuple(passage(one) for one in body["documents"])
    by_id = {one.id: one for one in found}
    return Answers(tuple(_answer(one, by_id) for one in body["answers"]), found)


def passages(body: Any) -> tuple[Passage, ...]:
    return tuple(passage(one) for one in body["documents"])


def passage(body: Any) -> Passage:
    meta = body["meta"]
    date = next((str(meta[key]) for key in _DATES if isinstance(meta.get(key), (str, int))), "")
    return Passage(
        id=str(body["id"]),
        content=_text(body["content"]),
        file_id=str(meta.get("file_id") or ""),
        name=str(meta.get("path") or meta.get("name") or "a document without a name"),
        start=_whole(meta.get("start")),
        page=_whole(meta.get("page")),
        heading=str(meta.get("heading") or ""),
        date=date,
    )


def _answer(body: Any, passages: Mapping[str, Passage]) -> Answer:
    text, score = _text(body["answer"]), float(body.get("score") or 0.0)
    if not text:
        return Answer("", score, None, 0, 0, None, body)
    read_in = passages[body["document_ids"][0]]
    span = body["offsets_in_document"][0]
    start, end = int(span["start"]), int(span["end"])
    # Never looked for: the same words may stand in the passage twice.
    if read_in.content[start:end] != text:
        raise ValueError("the answer is not at its offsets")
    return Answer(text, score, read_in, start, end, _whole((body.get("meta") or {}).get("answer_page")), body)


def facets(body: Any) -> Facets:
    return Facets(
        tuple(
            Facet(
                str(one["field"]),
                tuple((_scalar(v["value"]), int(v["count"])) for v in one["values"]),
                int(one.get("others") or 0),
            )
            for one in body["facets"]
        ),
        int(body["files"]),
    )


def examples(body: Any) -> tuple[str, ...]:
    return tuple(_text(one["query"]) for one in body["questions"])


def files(body: Any) -> Files:
    return Files(tuple(file(one) for one in body["files"]), int(body["total"]))


def file(body: Any) -> File:
    return File(
        id=str(body["id"]),
        name=str(body["name"]),
        path=str(body["path"]),
        passages=int(body["passages"]),
        size=_whole(body.get("size")),
        pages=_whole(body.get("pages")),
        media_type=str(body.get("media_type") or ""),
        ingested_at=str(body.get("ingested_at") or ""),
    )


def text(body: Any) -> Text:
    return Text(_text(body["text"]), int(body["start"]), int(body["length"]))


def job(body: Any) -> Job:
    return Job(
        str(body["id"]),
        str(body["status"]),
        str(body.get("message") or ""),
        str(body.get("created_at") or ""),
        tuple(
            JobFile(
                str(one["name"]),
                str(one["status"]),
                str(one.get("reason") or ""),
                str(one.get("message") or ""),
                int(one.get("passages") or 0),
            )
            for one in body["files"]
        ),
    )


def jobs(body: Any) -> tuple[Job, ...]:
    return tuple(job(one) for one in body["jobs"])


def labels(body: Any) -> tuple[Label, ...]:
    return tuple(_label(one) for one in body)


def _label(body: Any) -> Label:
    meta = body["document"].get("meta") or {}
    return Label(
        question=str(body["query"]),
        answer=str((body.get("answer") or {}).get("answer") or ""),
        name=str(meta.get("path") or meta.get("name") or ""),
        right_answer=bool(body["is_correct_answer"]),
        right_passage=bool(body["is_correct_document"]),
        created_at=str(body.get("created_at") or ""),
    )


def accuracy(body: Any) -> Accuracy:
    def share(value: Any) -> float | None:
        return None if value is None else float(value)

    return Accuracy(int(body["n_feedback"]), share(body["answer_accuracy"]), share(body["document_accuracy"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _scalar(value: Any) -> str | int | float | bool:
    if not isinstance(value, (str, int, float, bool)):
        raise TypeError("not a value")
    return value


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
