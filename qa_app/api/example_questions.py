"""Questions that the documents are known to answer, for a visitor's first look."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from litestar import get
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from qa_app.api.haystack import IndexParameter
from qa_app.api.problems import problems
from qa_app.api.services import Services, ServicesDependency
from qa_app.errors import DeadlineError, ModelError, NotReadyError, OverloadedError

if TYPE_CHECKING:
    from qa_app.pipelines.example_questions import Candidate

MAX_QUESTIONS = 10
#: How sure the reader is at least of the sentence that a question was made of: in paragraphs of Wikipedia, what it
#: marked there was cut short or beside the point up to 0.18, and right above.
_SURE = 0.3


class ExampleQuestion(Struct):
    """A question, and the answer of its gold label or that ``/query`` gave first."""

    query: str
    answer: str
    file_id: str
    name: str


class ExampleQuestions(Struct):
    """Examples: those of gold labels, the newest first, then those made of sentences."""

    questions: Annotated[
        list[ExampleQuestion], Meta(description="Empty where none was found; fewer while the reader is busy.")
    ]


@dataclass
class Known:
    """The examples of an index as it was when it had so many passages, and what may become more of them."""

    passages: int
    found: list[ExampleQuestion]
    #: In the order in which they are asked; None until they were read.
    candidates: list[Candidate] | None = None
    #: By query, folded.
    queries: set[str] = field(default_factory=set)


@get(
    "/example-questions",
    opt={"scope": "read"},
    tags=["documents"],
    summary="Questions that the documents answer",
    responses=problems(404),
)
async def example_questions(
    services: ServicesDependency,
    index: IndexParameter = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_QUESTIONS, description="At most so many.")] = 4,
) -> ExampleQuestions:
    """Questions of gold labels, and others made of English sentences and answered once.

    Kept until the number of passages changes.
    """
    await services.run(services.check_index, index)
    name = index or services.settings.index
    passages = await services.run(lambda: services.store.get_document_count(index=index))
    known = services.examples.get(name)
    if known is None or known.passages != passages or len(known.found) < limit:
        async with services.examples_lock:  # those who come meanwhile wait for what one of them makes
            known = services.examples.get(name)
            if known is None or known.passages != passages:
                known = services.examples[name] = await services.run(_judged, services, index, passages)
            # Examples are a courtesy: questions that people ask come first. The next request goes on where this ends.
            with contextlib.suppress(OverloadedError, DeadlineError, NotReadyError, ModelError):
                await _fill(services, index, known, limit)
    return ExampleQuestions(known.found[:limit])


def _judged(services: Services, index: str | None, passages: int) -> Known:
    from qa_app.pipelines.example_questions import judged_right

    known = Known(passages, [])
    for one in judged_right(services.store, index)[:MAX_QUESTIONS]:
        _add(known, one.query, one.answer, one.passage)
    return known


async def _fill(services: Services, index: str | None, known: Known, wanted: int) -> None:
    """Asks as many candidates as are needed for so many examples; each costs what a question costs."""
    if known.candidates is None and len(known.found) < wanted:
        known.candidates = await _read(services, index)
    while known.candidates and len(known.found) < wanted:
        one = known.candidates[0]
        [result] = await services.ask([one.query], {"Retriever": {"index": index} if index else {}})
        known.candidates.pop(0)
        best = result["answers"][0] if result["answers"] else None
        # Its passage may be another that overlaps, so the places in the file are compared.
        if (
            best
            and best.meta.get("file_id") == one.passage.meta["file_id"]
            and one.query.casefold() not in known.queries
        ):
            offset = one.passage.meta["start"]
            if offset + one.start <= best.meta["answer_start"] and best.meta["answer_end"] <= offset + one.end:
                _add(known, one.query, best.answer, one.passage)


async def _read(services: Services, index: str | None) -> list[Candidate]:
    """The candidates that the reader answers from their own sentence, given its passage alone."""
    from qa_app.pipelines.example_questions import candidates

    made = await services.run(candidates, services.store, index)
    read = await services.read_pairs([(one.query, one.passage.content) for one in made], impossible=True)
    sure = [
        (answer.score, one)
        for one, answer in zip(made, read)
        if answer.answer and answer.score >= _SURE and one.start <= answer.start and answer.end <= one.end
    ]
    return _varied([one for _, one in sorted(sure, key=lambda pair: -pair[0])])


def _varied(ordered: list[Candidate]) -> list[Candidate]:
    """The same, but questions of a kind or file that comes for the first time before those of what came already."""
    times: Counter[tuple[str, ...]] = Counter()
    ranks = []
    for one in ordered:
        words = one.query.split()
        kinds = [(words[0], words[1] if words[0] == "Who" else words[-1]), (str(one.passage.meta["file_id"]),)]
        ranks.append(sum(times[kind] for kind in kinds))
        times.update(kinds)
    return [one for _, one in sorted(zip(ranks, ordered), key=lambda pair: pair[0])]


def _add(known: Known, query: str, answer: str, passage: Any) -> None:
    name = str(passage.meta.get("name") or passage.meta["file_id"])
    known.found.append(ExampleQuestion(query, answer, str(passage.meta["file_id"]), name))
    known.queries.add(query.casefold())


handlers: list[Any] = [example_questions]
