"""Questions that the documents are known to answer, for a visitor's first look."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
#: A question is kept where the reader is at least so sure of the sentence that it was made of.
_SURE = 0.5


class ExampleQuestion(Struct):
    """A question, and the answer that ``/query`` gave first."""

    query: str
    answer: str
    file_id: str
    name: str


class ExampleQuestions(Struct):
    """Examples, the surest first."""

    questions: Annotated[list[ExampleQuestion], Meta(description="Empty where none was found, or the reader is busy.")]


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
    """Made from sentences of the documents, in English alone, and each answered once; kept until documents change."""
    await services.run(services.check_index, index)
    name = index or services.settings.index
    async with services.examples_lock:
        passages = await services.run(lambda: services.store.get_document_count(index=index))
        if services.examples.get(name, (None,))[0] != passages:
            try:
                services.examples[name] = (passages, [one async for one in _answered(services, index)])
            except (OverloadedError, DeadlineError, NotReadyError, ModelError):
                # Examples are a courtesy: questions that people asked come first.
                return ExampleQuestions([])
        return ExampleQuestions(services.examples[name][1][:limit])


async def _answered(services: Services, index: str | None) -> AsyncIterator[ExampleQuestion]:
    """Candidates that the reader answers with their own sentence, alone and among all passages."""
    from qa_app.pipelines.example_questions import candidates

    made = await services.run(candidates, services.store, index)
    pairs = [(one.query, one.passage.content) for one in made]
    read = await services.read_pairs(pairs, impossible=True)
    good = [
        (answer.score, one)
        for one, answer in zip(made, read)
        if answer.answer and answer.score >= _SURE and one.start <= answer.start and answer.end <= one.end
    ]
    found = 0
    for one in _varied([one for _, one in sorted(good, key=lambda pair: -pair[0])]):
        [result] = await services.ask([one.query], {"Retriever": {"index": index} if index else {}})
        best = result["answers"][0] if result["answers"] else None
        if best is None or one.passage.id not in (best.document_ids or ()):
            continue
        span = best.offsets_in_document[0]
        if one.start <= span.start and span.end <= one.end:
            meta = one.passage.meta
            yield ExampleQuestion(one.query, best.answer, str(meta.get("file_id")), str(meta.get("name")))
            found += 1
            if found == MAX_QUESTIONS:
                return


def _varied(ordered: list[Candidate]) -> list[Candidate]:
    """The same, but questions of a kind that comes for the first time before those of kinds that came already."""
    times: dict[tuple[str, str], int] = {}
    ranks = []
    for one in ordered:
        words = one.query.split()
        kind = (words[0], words[1] if words[0] == "Who" else words[-1])
        ranks.append(times.setdefault(kind, 0))
        times[kind] += 1
    return [one for _, one in sorted(zip(ranks, ordered), key=lambda pair: pair[0])]


handlers: list[Any] = [example_questions]
