"""Questions and documents, as Haystack's clients ask for them."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, post
from litestar.openapi.spec import Example
from litestar.params import Body, QueryParameter
from litestar.response import Stream
from msgspec import Meta, Struct, field

from qa_app.api.examples import ASKED
from qa_app.api.parameters import Filter, Params
from qa_app.api.problems import problems
from qa_app.api.questions import unless_gone
from qa_app.api.schemas import AnswerBody, DocumentBody, Json
from qa_app.api.services import Services, ServicesDependency
from qa_app.errors import InvalidRequestError
from qa_app.pipelines.questions import MAX_QUESTION, check_question

MAX_QUESTIONS = 1000

Question = Annotated[
    str, Meta(max_length=MAX_QUESTION, description="A question in words.", extra_json_schema={"pattern": r"\S"})
]
IndexParameter = Annotated[str | None, QueryParameter(description="Name of an index; the default one where absent.")]


class Query(Struct, forbid_unknown_fields=True):
    """A question to the documents."""

    query: Question
    params: Params | None = None
    debug: Annotated[bool, Meta(description="Adds what went in and out of each node.")] = False


class QueryResponse(Struct, omit_defaults=True):
    """Answers, best first, and the passages that were read."""

    query: str
    answers: list[AnswerBody]
    documents: list[DocumentBody]
    debug: Annotated[Json | None, Meta(description="By node.")] = field(default=None, name="_debug")


class QueryBatch(Struct, forbid_unknown_fields=True):
    """Many questions to the documents, with the same parameters."""

    queries: Annotated[list[Question], Meta(min_length=1, max_length=MAX_QUESTIONS)]
    params: Params | None = None


class QueryBatchResponse(Struct):
    """A response for each question, in order."""

    results: list[QueryResponse]


class Filters(Struct, forbid_unknown_fields=True):
    """Which documents are meant."""

    filters: Filter


class DeleteAll(Struct, forbid_unknown_fields=True):
    """Which index is to be emptied."""

    index: Annotated[str, Meta(description="The index by its name, also where it is the default one.")]


@post(
    "/query",
    status_code=200,
    opt={"scope": "read", "body": "application/json"},
    tags=["haystack"],
    summary="Ask a question",
    responses=problems(404),
)
async def query(
    request: Request[Any, Any, Any],
    services: ServicesDependency,
    data: Annotated[Query, Body(examples=[Example(summary="A question", value=ASKED)])],
) -> Response[QueryResponse]:
    """Answers in the documents' own words, best first; the empty answer means that there is none in the documents."""
    params, debug = (data.params or Params()).by_node()
    await _check(services, [data.query], params)
    asked = services.ask([data.query], params, debug=debug or data.debug)
    [result] = await unless_gone(request.receive, asked)
    return Response(_body(result))


@post(
    "/query-batch",
    status_code=200,
    opt={"scope": "read", "body": "application/json"},
    tags=["batch"],
    summary="Ask many questions",
    responses=problems(404),
)
async def query_batch(
    request: Request[Any, Any, Any],
    services: ServicesDependency,
    data: Annotated[
        QueryBatch, Body(examples=[Example(summary="Two questions", value={"queries": ["Who won?", "When was it?"]})])
    ],
) -> Response[QueryBatchResponse]:
    """The response of ``/query`` for each question, in order."""
    params, _ = (data.params or Params()).by_node()
    await _check(services, data.queries, params)
    results = await unless_gone(request.receive, services.ask(data.queries, params))
    return Response({"results": [_body(result) for result in results]})  # type: ignore[arg-type]


async def _check(services: Services, questions: list[str], params: Json) -> None:
    for number, question in enumerate(questions):
        try:
            check_question(question)
        except InvalidRequestError as error:
            if len(questions) == 1:
                raise
            raise InvalidRequestError(f"queries[{number}]: {error}") from None
    if index := params["Retriever"].get("index"):
        await services.run(services.check_index, index)


def _body(result: dict[str, Any]) -> Any:
    from qa_app.pipelines.answering import response

    body = response(result)
    if "_debug" in result:
        body["_debug"] = _plain(result["_debug"])
    return body


def _plain(value: Any) -> Any:
    """Debug output as JSON: Haystack's objects as their dictionaries, what has no such form as its type's name."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, Real):
        return float(value)  # numpy's numbers too
    from haystack.schema import Answer, Document

    if isinstance(value, (Answer, Document)):
        return _plain(value.to_dict())
    return type(value).__name__


@post(
    "/documents/get_by_filters",
    status_code=200,
    opt={"scope": "read", "body": "application/json"},
    tags=["haystack"],
    summary="Passages that match a filter",
    responses=problems(404),
)
async def get_by_filters(
    services: ServicesDependency,
    data: Annotated[
        Filters, Body(examples=[Example(summary="A file's", value={"filters": {"name": ["history.pdf"]}})])
    ],
    index: IndexParameter = None,
) -> Response[list[DocumentBody]]:
    """All passages that match, however many; they are sent as they are read."""
    await services.run(services.check_index, index)
    passages = services.store.get_all_documents_generator(index=index, filters=data.filters, batch_size=500)
    # The first is read before anything is sent, so that a failure still has its status.
    first = await services.run(next, passages, None)
    return Stream(_listed(first, passages), media_type="application/json")  # type: ignore[return-value]


def _listed(first: Any, rest: Iterator[Any]) -> Iterator[bytes]:
    yield b"["
    if first is not None:
        yield _encoded(first)
        for passage in rest:
            yield b"," + _encoded(passage)
    yield b"]"


def _encoded(passage: Any) -> bytes:
    fields = passage.to_dict()
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})


@post(
    "/documents/delete_by_filters",
    status_code=200,
    opt={"scope": "write", "body": "application/json"},
    tags=["haystack"],
    summary="Delete the passages that match a filter",
    responses=problems(404, 409, 507),
)
async def delete_by_filters(
    services: ServicesDependency,
    data: Annotated[Filters, Body(examples=[Example(summary="A file's", value={"filters": {"name": ["old.txt"]}})])],
    index: IndexParameter = None,
) -> bool:
    """A file that loses all its passages goes with them; an empty filter is refused, see ``/documents/delete_all``."""
    await services.run(services.check_index, index)
    await services.run(services.uploads.delete_documents, data.filters, index)
    return True


@post(
    "/documents/delete_all",
    status_code=200,
    opt={"scope": "admin", "body": "application/json"},
    tags=["documents"],
    summary="Delete everything in an index",
    responses=problems(404, 409, 507),
)
async def delete_all(
    services: ServicesDependency,
    data: Annotated[DeleteAll, Body(examples=[Example(summary="An index", value={"index": "documents"})])],
) -> bool:
    """Every passage, file and original of the index; feedback stays."""
    await services.run(services.check_index, data.index)
    await services.run(services.uploads.delete_everything, data.index)
    return True


handlers: list[Any] = [query, query_batch, get_by_filters, delete_by_filters, delete_all]
