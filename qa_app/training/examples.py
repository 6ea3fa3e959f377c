"""Questions with answers from SQuAD files, as they are published and as the application exports people's feedback."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qa_app.errors import InvalidRequestError, MalformedRequestError, NotFoundError, QaAppError, SettingsError

_GZIP = b"\x1f\x8b"
#: Questions in the part that is held out of the training data, at most, and their share.
_HELD_OUT = 2000
_HELD_OUT_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Example:
    """A question about ``context``; ``answers`` are its texts and first code points, none where it has no answer.

    ``document`` is the title of the article, or the context where there is none: examples of one document are never
    divided between training and validation.
    """

    question: str
    context: str
    answers: tuple[tuple[str, int], ...]
    document: str

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last code point of the answer that most people gave, the first of equals; None without one."""
        if not self.answers:
            return None
        text, start = Counter(self.answers).most_common(1)[0][0]
        return start, start + len(text) - 1


@dataclass(frozen=True)
class Source:
    """A file as it was asked for: ``weight`` 2 takes it twice, 0.5 takes a drawn half of it."""

    path: Path
    weight: float = 1.0


@dataclass(frozen=True)
class SourceReport:
    """What was read of a file; ``taken`` counts examples after weights and limits, ``bad`` what was passed over."""

    path: str
    sha256: str
    weight: float
    questions: int
    unanswerable: int
    taken: int
    bad: int
    first_bad: str | None

    def to_dict(self) -> dict[str, Any]:
        """For the recipe."""
        return asdict(self)


def parse_source(given: str) -> Source:
    """``FILE``, ``FILE:2`` or ``FILE:0.5``; raises SettingsError for a weight that is none."""
    name, colon, weight = given.rpartition(":")
    if not colon or Path(given).exists():
        return Source(Path(given))
    try:
        number = float(weight)
    except ValueError:
        return Source(Path(given))
    if not 0 < number <= 100:
        raise SettingsError(f"the weight in {given!r} is not a number above 0 and up to 100")
    return Source(Path(name), number)


def read_examples(
    source: Source, generator: np.random.Generator, *, max_per_context: int | None = None, skip_bad: bool = False
) -> tuple[list[Example], SourceReport]:
    """The examples of a file, plain or gzipped, in its order, and what there was.

    Of more than ``max_per_context`` questions about a context as many are drawn. An entry that cannot be used (its
    answer is not at its offset, or something is missing) raises InvalidRequestError with its place, and is counted
    instead where ``skip_bad``. Raises NotFoundError, SettingsError and MalformedRequestError for files that cannot be
    read.
    """
    content, digest = _read(source.path)
    contexts: dict[str, str] = {}
    examples: list[Example] = []
    bad: list[str] = []
    for entry in _entries(content, source.path):
        if isinstance(entry, QaAppError):
            if not skip_bad:
                raise entry
            bad.append(str(entry))
            continue
        # Each context is kept once, however often the file repeats it.
        context = contexts.setdefault(entry.context, entry.context)
        examples.append(Example(entry.question, context, entry.answers, entry.document or context))
    if not examples:
        raise InvalidRequestError(f"{source.path} holds no questions that can be used")
    taken = _weighted(_limited(examples, max_per_context, generator), source.weight, generator)
    report = SourceReport(
        path=str(source.path),
        sha256=digest,
        weight=source.weight,
        questions=len(examples),
        unanswerable=sum(not example.answers for example in examples),
        taken=len(taken),
        bad=len(bad),
        first_bad=bad[0] if bad else None,
    )
    return taken, report


def hold_out(examples: Sequence[Example], generator: np.random.Generator) -> tuple[list[Example], list[Example]]:
    """What to train on, and about 5 % (at most 2,000 questions) to validate with, divided by document.

    Raises InvalidRequestError where all examples are of one document.
    """
    documents: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        documents[example.document].append(example)
    if len(documents) < 2:
        raise InvalidRequestError(
            "all questions are about one document, so that none can be held out to validate with; "
            "name a file with others by --validation"
        )
    wanted = min(_HELD_OUT, max(1, round(len(examples) * _HELD_OUT_SHARE)))
    held: dict[str, list[Example]] = {}
    names = list(documents)
    for number in generator.permutation(len(names)):
        name = names[int(number)]
        already = sum(len(one) for one in held.values())
        # A document that is far too big for what is missing stays in training, unless nothing was found yet.
        if already < wanted and (already + len(documents[name]) <= 2 * wanted):
            held[name] = documents[name]
    if not held:
        smallest = min(names, key=lambda name: len(documents[name]))
        held[smallest] = documents[smallest]
    # A file that was taken twice is not asked twice.
    return (
        [example for example in examples if example.document not in held],
        list(dict.fromkeys(example for some in held.values() for example in some)),
    )


def without(examples: Sequence[Example], held: Sequence[Example]) -> list[Example]:
    """The examples that are of no document and no context of ``held``."""
    documents: set[Hashable] = {example.document for example in held}
    contexts: set[Hashable] = {example.context for example in held}
    return [one for one in examples if one.document not in documents and one.context not in contexts]


def _limited(examples: list[Example], most: int | None, generator: np.random.Generator) -> list[Example]:
    if most is None:
        return examples
    by_context: dict[str, list[int]] = defaultdict(list)
    for number, example in enumerate(examples):
        by_context[example.context].append(number)
    kept: list[int] = []
    for numbers in by_context.values():
        kept += numbers if len(numbers) <= most else generator.choice(numbers, most, replace=False).tolist()
    return [examples[number] for number in sorted(kept)]


def _weighted(examples: list[Example], weight: float, generator: np.random.Generator) -> list[Example]:
    whole = int(weight)
    part = round((weight - whole) * len(examples))
    drawn = sorted(generator.choice(len(examples), part, replace=False).tolist()) if part else []
    return examples * whole + [examples[number] for number in drawn]


# -- files -------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[Any, str]:
    """What a JSON file holds, and the SHA-256 of its bytes."""
    try:
        packed = path.read_bytes()
        content = gzip.decompress(packed) if packed.startswith(_GZIP) else packed
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} is not there; give a file as SQuAD has them") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise MalformedRequestError(f"{path} is gzipped and damaged: {error}; copy it again") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return json.loads(content.decode("utf-8-sig")), hashlib.sha256(packed).hexdigest()
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError(f"{path} is not JSON in UTF-8: {error}") from error


def _entries(content: object, path: Path) -> Iterator[Example | QaAppError]:
    """Each question, or why it cannot be used; what is not SQuAD at all raises InvalidRequestError."""
    for article, a_place in _objects(content, "data", f"{path}: "):
        title = article.get("title")
        for paragraph, p_place in _objects(article, "paragraphs", f"{a_place}."):
            for asked, place in _objects(paragraph, "qas", f"{p_place}."):
                try:
                    yield _example(asked, paragraph.get("context"), title if isinstance(title, str) else "", place)
                except InvalidRequestError as error:
                    yield error


def _objects(record: object, key: str, place: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of the list ``record[key]``, each with its place for messages."""
    given = record.get(key) if isinstance(record, dict) else None
    if not isinstance(given, list):
        raise InvalidRequestError(f"{place}{key} is not a list, as SQuAD has it")
    for number, one in enumerate(given):
        if not isinstance(one, dict):
            raise InvalidRequestError(f"{place}{key}[{number}] is not an object, as SQuAD has it")
        yield one, f"{place}{key}[{number}]"


def _example(asked: dict[str, Any], context: object, title: str, place: str) -> Example:
    question, answers = asked.get("question"), asked.get("answers")
    if not _is_text(question):
        raise InvalidRequestError(f"{place}.question is empty or not a text")
    if not _is_text(context):
        raise InvalidRequestError(f"{place} has a context that is empty or not a text")
    if not isinstance(answers, list):
        raise InvalidRequestError(f"{place}.answers is not a list")
    if answers and asked.get("is_impossible") is True:
        raise InvalidRequestError(f"{place} is_impossible and has answers; it cannot be both")
    assert isinstance(question, str)
    assert isinstance(context, str)
    places = tuple(_answer(answer, context, f"{place}.answers[{number}]") for number, answer in enumerate(answers))
    return Example(question, context, places, title)


def _answer(answer: object, context: str, place: str) -> tuple[str, int]:
    """The answer without white space around it, and its first code point."""
    text, start = (answer.get("text"), answer.get("answer_start")) if isinstance(answer, dict) else (None, None)
    if not isinstance(text, str) or not isinstance(start, int) or not text.strip():
        raise InvalidRequestError(f'{place} is not of the form {{"text": "...", "answer_start": 0}}')
    if start < 0 or context[start : start + len(text)] != text:
        raise InvalidRequestError(
            f"{place}: the context does not hold {text[:40]!r} at answer_start = {start}, counted in code points"
        )
    return text.strip(), start + len(text) - len(text.lstrip())


def _is_text(value: object) -> bool:
    """Whether it is a text with something in it that can be encoded, so that the tokenizer takes it."""
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
