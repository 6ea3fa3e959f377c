"""People's judgements of answers: sent, listed, counted, exported to train from, and deleted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import Body, HeaderParameter, QueryParameter
from msgspec import Meta, Struct

from qa_app.api.parameters import Filter
from qa_app.api.problems import problems
from qa_app.api.schemas import AnswerBody, DocumentBody, Json, Span
from qa_app.api.services import ServicesDependency
from qa_app.errors import InvalidRequestError, MediaTypeError
from qa_app.pipelines.questions import MAX_QUESTION

_Name = Annotated[str, Meta(max_length=512)]
_Text = Annotated[str, Meta(max_length=100_000)]
_Time = Annotated[_Name | None, Meta(description="YYYY-MM-DD HH:MM:SS; now where absent.")]

_ID = "9f2c7a64e1d04b0c8f7d1f8b5a3e6c21"
_CONTENT = "Digital Equipment sold its PDP-8 for 18,000 dollars."
_QUESTION = "How much did the PDP-8 cost?"
_ANSWER = {"answer": "18,000 dollars", "offsets_in_document": [{"start": 37, "end": 51}], "document_ids": [_ID]}
_SENT = {
    "query": _QUESTION,
    "document": {"id": _ID, "content": _CONTENT},
    "answer": _ANSWER,
    "is_correct_answer": True,
    "is_correct_document": True,
    "origin": "user-feedback",
}
_KEPT = {
    **_SENT,
    "id": "5d0e3f0a-6a0c-5f0e-9a53-0d9f7f6c1b7e",
    "document": {"id": _ID, "content": _CONTENT, "content_type": "text", "meta": {"name": "history.pdf"}},
    "answer": {**_ANSWER, "type": "extractive", "score": 0.91, "meta": {"name": "history.pdf"}},
    "pipeline_id": "qa-v2",
    "created_at": "2024-11-12 09:30:00",
    "updated_at": "2024-11-12 09:30:00",
    "meta": {"comment": "Just what I looked for."},
    "filters": {"lang": "en"},
}
_SHARES = {"answer_accuracy": 0.75, "document_accuracy": 1.0, "n_feedback": 4}
_RIGHT = [{"text": "18,000 dollars", "answer_start": 37}]
_ASKED = {"question": _QUESTION, "id": _KEPT["id"], "is_impossible": False, "answers": _RIGHT}
_SQUAD = [{"title": _ID, "paragraphs": [{"context": _CONTENT, "id": _ID, "qas": [_ASKED]}]}]


class GivenSpan(Span, forbid_unknown_fields=True):
    """A stretch of text in code points, the end exclusive."""


_Places = Annotated[list[GivenSpan], Meta(max_length=100)]
_Names = Annotated[list[_Name], Meta(max_length=100)]


class GivenDocument(Struct, forbid_unknown_fields=True):
    """A passage as ``/query`` gave it; its id says which, and the rest is kept as the store has it."""

    id: Annotated[_Name, Meta(min_length=1)]
    content: str | None = None
    content_type: Literal["text"] = "text"
    meta: Json | None = None
    id_hash_keys: list[str] | None = None
    score: float | None = None
    embedding: list[float] | None = None


class GivenAnswer(Struct, forbid_unknown_fields=True):
    """An answer as ``/query`` gave it."""

    answer: Annotated[_Text, Meta(description="The empty text where there is no answer.")]
    type: Literal["generative", "extractive", "other"] = "extractive"
    score: float | None = None
    context: _Text | None = None
    offsets_in_document: Annotated[_Places | None, Meta(description="Where the answer stands in the document.")] = None
    offsets_in_context: _Places | None = None
    document_ids: _Names | None = None
    document_id: Annotated[_Name | None, Meta(description="As older clients have it, instead of document_ids.")] = None
    meta: Json | None = None


class Feedback(Struct, forbid_unknown_fields=True):
    """A judgement of an answer."""

    query: Annotated[str, Meta(min_length=1, max_length=MAX_QUESTION)]
    document: GivenDocument
    is_correct_answer: bool
    is_correct_document: bool
    origin: Literal["user-feedback", "gold-label"]
    id: Annotated[_Name | None, Meta(description="Replaces the label of this id; a new one where absent.")] = None
    answer: GivenAnswer | None = None
    no_answer: Annotated[bool | None, Meta(description="Whether the answer is that there is none.")] = None
    pipeline_id: _Name | None = None
    created_at: _Time = None
    updated_at: _Time = None
    meta: Annotated[Json | None, Meta(description="The sender's own, such as a comment.")] = None
    filters: Annotated[Json | None, Meta(description="With which the question was asked.")] = None


class LabelBody(Struct):
    """Feedback as it is kept, Haystack's ``Label``; null where there is nothing."""

    id: str
    query: str
    document: DocumentBody
    is_correct_answer: bool
    is_correct_document: bool
    origin: Literal["user-feedback", "gold-label"]
    answer: AnswerBody | None
    pipeline_id: str | None
    created_at: str
    updated_at: str
    meta: Json
    filters: Json | None


class FeedbackFilters(Struct, forbid_unknown_fields=True):
    """Which feedback is counted."""

    #: Over a label's fields and meta; all feedback where absent.
    filters: Filter | None = None


class AccuracyBody(Struct):
    """Shares of right answers and right documents, null where there is no feedback."""

    answer_accuracy: float | None
    document_accuracy: float | None
    n_feedback: int


class SquadBody(Struct):
    """SQuAD 2.0, as FARMReader trains on."""

    data: Annotated[list[Json], Meta(examples=[_SQUAD])]


# The framework calls every body required.
_OPTIONAL = {
    "schema": {"oneOf": [{"$ref": "#/components/schemas/FeedbackFilters"}, {"type": "null"}]},
    "examples": {"pipeline": {"summary": "One pipeline's", "value": {"filters": {"pipeline_id": "qa-v2"}}}},
}
IndexParameter = Annotated[
    str | None,
    # Elasticsearch takes other characters for patterns and lists, which would reach labels of other indexes.
    QueryParameter(
        max_length=200,
        pattern="^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="Index of labels; the default one where absent.",
    ),
]
KeyParameter = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="Made by the client for this label; sent again with the same label, it is kept once.",
    ),
]


_SKIPPED = ResponseHeader(
    name="X-Skipped-Labels",
    description="How many labels were left out since their answer is not at its offsets; the log names them.",
    documentation_only=True,
)


def _shown(of: Any, description: str, value: object) -> ResponseSpec:
    return ResponseSpec(of, False, description, examples=[Example(summary="An example", value=value)])


@post(
    "/feedback",
    status_code=200,
    opt={"scope": "write", "body": "application/json"},
    tags=["haystack"],
    summary="Judge an answer",
    responses=problems(404, 409, 507),
)
async def post_feedback(
    services: ServicesDependency,
    data: Annotated[Feedback, Body(examples=[Example(summary="A right answer", value=_SENT)])],
    idempotency_key: KeyParameter = None,
    index: IndexParameter = None,
) -> Response[None]:
    """Keeps the label, on the passage as the store has it; the answer must stand at its offsets in that passage."""
    store = services.store
    from qa_app.pipelines.feedback import keep, label_of

    if idempotency_key is not None and data.id:
        raise InvalidRequestError("id and the header Idempotency-Key would each name the label; send one of them")
    await services.run(lambda: keep(store, label_of(msgspec.to_builtins(data)), key=idempotency_key, index=index))
    return Response(None)


@get(
    "/feedback",
    opt={"scope": "write"},
    tags=["haystack"],
    summary="All feedback",
    responses={200: _shown(list[LabelBody], "Labels in the order of their writing.", [_KEPT]), **problems()},
)
async def get_feedback(services: ServicesDependency, index: IndexParameter = None) -> Response[bytes]:
    """Every label of the index, people's and gold."""
    store = services.store

    def listed() -> bytes:
        return msgspec.json.encode([label.to_dict() for label in store.get_all_labels(index=index)])

    return Response(await services.run(listed), media_type="application/json")


@delete(
    "/feedback",
    status_code=200,
    opt={"scope": "admin"},
    tags=["haystack"],
    summary="Delete people's feedback",
    responses=problems(507),
)
async def delete_feedback(services: ServicesDependency, index: IndexParameter = None) -> Response[None]:
    """Removes labels with the origin user-feedback; gold labels stay."""
    store = services.store
    from qa_app.pipelines.feedback import forget

    await services.run(forget, store, index)
    return Response(None)


@post(
    "/eval-feedback",
    status_code=200,
    opt={"scope": "write", "openapi": {"requestBody": {"content": {"application/json": _OPTIONAL}}}},
    tags=["haystack"],
    summary="How often answers were right",
    responses={200: _shown(AccuracyBody, "Accuracies from 0 to 1.", _SHARES), **problems()},
)
async def eval_feedback(
    request: Request[Any, Any, Any],
    services: ServicesDependency,
    data: Annotated[FeedbackFilters | None, Body()] = None,
    index: IndexParameter = None,
) -> Response[AccuracyBody]:
    """Shares of right answers and documents in people's feedback; the body may be left out."""
    store = services.store
    from qa_app.pipelines.feedback import evaluate

    # Without a body there is no kind of it, so the guard cannot ask for one.
    if await request.body() and request.content_type[0] != "application/json":
        raise MediaTypeError("the body must be application/json, and the header Content-Type say so")
    found = await services.run(evaluate, store, data.filters if data else None, index)
    return Response(AccuracyBody(found.answer_accuracy, found.document_accuracy, found.n_feedback))


@get(
    "/export-feedback",
    opt={"scope": "write"},
    tags=["haystack"],
    summary="Export people's feedback to train from",
    response_headers=[_SKIPPED],
    responses=problems(),
)
async def export_feedback(
    services: ServicesDependency,
    context_size: Annotated[
        int, QueryParameter(ge=1, le=2**31, description="Code points of a context that is cut around its answer.")
    ] = 100_000,
    full_document_context: Annotated[bool, QueryParameter(description="Whether contexts are whole passages.")] = True,
    only_positive_labels: Annotated[bool, QueryParameter(description="Only answers that were judged right.")] = False,
    index: IndexParameter = None,
) -> Response[SquadBody]:
    """SQuAD 2.0 with an entry for each label.

    A wrong answer from a wrong passage is an impossible question; a wrong answer from the right passage is left out.
    """
    store = services.store
    from qa_app.pipelines.feedback import export

    size = None if full_document_context else context_size

    def exported() -> tuple[bytes, int]:
        made = export(store, context_size=size, only_positive=only_positive_labels, index=index)
        return msgspec.json.encode(made.squad), len(made.skipped)

    body, skipped = await services.run(exported)
    return Response(body, headers={"X-Skipped-Labels": str(skipped)}, media_type="application/json")  # type: ignore[arg-type]


handlers: list[Any] = [post_feedback, get_feedback, delete_feedback, eval_feedback, export_feedback]
