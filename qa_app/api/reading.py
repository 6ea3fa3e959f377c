"""Passages without reading, and reading without documents."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.openapi.spec import Example
from litestar.params import Body
from msgspec import Meta, Struct

from qa_app.api.haystack import Question
from qa_app.api.parameters import IndexName, OptionalFilter
from qa_app.api.problems import problems
from qa_app.api.questions import unless_gone
from qa_app.api.schemas import DocumentBody
from qa_app.api.services import Services, ServicesDependency
from qa_app.errors import InvalidRequestError
from qa_app.pipelines.questions import check_question

MAX_FOUND = 1000
MAX_PAIRS = 20_000
#: Thousands of pairs are larger than any question.
PREDICT_BYTES = 32 * 2**20


Text = Annotated[str, Meta(extra_json_schema={"pattern": r"\S"})]
Texts = Annotated[list[Text], Meta(min_length=1, max_length=MAX_PAIRS)]


class Search(Struct, forbid_unknown_fields=True):
    """A search for passages."""

    query: Question
    top_k: Annotated[int, Meta(ge=1, le=MAX_FOUND)] = 10
    filters: OptionalFilter | None = None
    index: IndexName | None = None


class SearchResponse(Struct):
    """Passages, best first."""

    query: str
    documents: list[DocumentBody]


class Inputs(Struct, forbid_unknown_fields=True):
    """Questions and their contexts; one of the two may be a single text that goes with all of the other."""

    question: Text | Texts
    context: Text | Texts


class Parameters(Struct, forbid_unknown_fields=True, frozen=True):
    """How pairs are read."""

    handle_impossible_answer: Annotated[bool, Meta(description="Allows the empty answer where it is the best.")] = False


class Predict(Struct, forbid_unknown_fields=True):
    """Pairs of question and context."""

    inputs: Inputs
    parameters: Parameters = Parameters()


class Prediction(Struct):
    """The best span of a context: ``context[start:end] == answer``, in code points."""

    score: Annotated[float, Meta(ge=0, le=1)]
    start: Annotated[int, Meta(ge=0)]
    end: Annotated[int, Meta(ge=0)]
    answer: str


@post(
    "/search",
    status_code=200,
    opt={"scope": "read", "body": "application/json"},
    tags=["documents"],
    summary="Find passages without reading them",
    responses=problems(404),
)
async def search(
    services: ServicesDependency,
    data: Annotated[
        Search, Body(examples=[Example(summary="Three", value={"query": "price of the PDP-8", "top_k": 3})])
    ],
) -> Response[SearchResponse]:
    """The passages that fit best by BM25, in milliseconds; they do not wait for the reader."""
    check_question(data.query)
    found = await services.run(_search, services, data)
    return Response({"query": data.query, "documents": found})  # type: ignore[arg-type]


def _search(services: Services, data: Search) -> list[dict[str, Any]]:
    services.check_index(data.index)
    passages = services.store.query(data.query, filters=data.filters, top_k=data.top_k, index=data.index)
    return [{name: value for name, value in p.to_dict().items() if value is not None} for p in passages]


_CARD = {
    "inputs": {
        "question": ["What's my name?", "Where do I live?"],
        "context": ["My name is John.", "My name is John and I live in Hyderabad."],
    }
}


@post(
    "/predict",
    status_code=200,
    opt={"scope": "read", "body": "application/json"},
    request_max_body_size=PREDICT_BYTES,
    tags=["batch"],
    summary="Read pairs of question and context",
    responses=problems(),
)
async def predict(
    request: Request[Any, Any, Any],
    services: ServicesDependency,
    data: Annotated[Predict, Body(examples=[Example(summary="Two pairs", value=_CARD)])],
) -> Response[list[Prediction] | Prediction]:
    """What the Transformers question-answering pipeline answers: one best span for each pair.

    Lists give a list; a single question with a single context gives a single answer.
    """
    question, context = data.inputs.question, data.inputs.context
    pairs = _pairs(question, context)
    impossible = data.parameters.handle_impossible_answer
    answers = await unless_gone(request.receive, services.read_pairs(pairs, impossible=impossible))
    found = [Prediction(one.score, one.start, one.end, one.answer) for one in answers]
    single = isinstance(question, str) and isinstance(context, str)
    return Response(found[0] if single else found)


def _pairs(question: str | list[str], context: str | list[str]) -> list[tuple[str, str]]:
    """One text goes with all of the other side."""
    count = max(1 if isinstance(side, str) else len(side) for side in (question, context))
    questions = [question] * count if isinstance(question, str) else question
    contexts = [context] * count if isinstance(context, str) else context
    if len(questions) != len(contexts):
        raise InvalidRequestError(f"{len(questions)} questions came with {len(contexts)} contexts; give one for each")
    for number, (asked, read) in enumerate(zip(questions, contexts)):
        if not asked.strip() or not read.strip():
            raise InvalidRequestError(f"pair {number} has an empty {'context' if asked.strip() else 'question'}")
    return list(zip(questions, contexts))


handlers: list[Any] = [search, predict]
