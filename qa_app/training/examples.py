"""Questions with answers from SQuAD files, as they are published and as the application exports people's feedback."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qa_app.datasets.files import read_json
from qa_app.datasets.squad import Question, parse
from qa_app.errors import InvalidRequestError, SettingsError

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
    content, digest = read_json(source.path)
    contexts: dict[str, str] = {}
    examples: list[Example] = []
    bad: list[str] = []
    for question, place in parse(content, source.path, places=True):
        if isinstance(question, Question) and not question.context.strip():
            question = InvalidRequestError(f"{place} has an empty context")
        if isinstance(question, InvalidRequestError):
            if not skip_bad:
                raise question
            bad.append(str(question))
            continue
        # Each context is kept once, however often the file repeats it.
        context = contexts.setdefault(question.context, question.context)
        examples.append(_example(replace(question, context=context)))
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


def stranger(held: Iterable[Question]) -> Callable[[str, str, str], bool]:
    """Tells whether a document, a context and a question are none of ``held``'s; case and white space do not count."""
    known = {
        part
        for one in held
        for part in (
            ("document", one.title or one.context),
            ("context", one.context),
            ("question", _bare(one.text)),
        )
    }

    def is_one(document: str, context: str, question: str) -> bool:
        return known.isdisjoint((("document", document), ("context", context), ("question", _bare(question))))

    return is_one


def _bare(question: str) -> str:
    return " ".join(question.casefold().split())


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


def _example(question: Question) -> Example:
    """Answers without white space around them."""
    answers = []
    for answer in question.answers:
        assert answer.start is not None, "places were checked"
        before = len(answer.text) - len(answer.text.lstrip())
        answers.append((answer.text.strip(), answer.start + before))
    return Example(question.text, question.context, tuple(answers), question.title or question.context)
