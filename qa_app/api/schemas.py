"""The records that go over the wire: Haystack v1's field names, checked strictly."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

#: What stands in metadata and filters is checked by the stores.
Json = dict[str, Any]


class ErrorBody(Struct):
    """What went wrong."""

    code: Annotated[str, Meta(description="Stable name of the kind of error.", examples=["invalid_request"])]
    message: Annotated[str, Meta(description="The thing, the reason and the way out.")]
    request_id: Annotated[str, Meta(description="Names this request in the log.")]


class Detail(Struct):
    """One field of a request that is not valid."""

    loc: list[str | int]
    msg: str
    type: str


class Problem(Struct, omit_defaults=True):
    """The body of every response that is not a success."""

    error: ErrorBody
    errors: Annotated[list[str], Meta(description="The message again, where Haystack's clients look for it.")]
    detail: Annotated[
        list[Detail] | str | None, Meta(description="Fields that are not valid (422), or the message.")
    ] = None
    files: Annotated[list[Json] | None, Meta(description="How each file of an upload ended.")] = None


class Span(Struct):
    """A stretch of text in code points, the end exclusive."""

    start: Annotated[int, Meta(ge=0)]
    end: Annotated[int, Meta(ge=0)]


class DocumentBody(Struct, omit_defaults=True):
    """A passage, as Haystack's ``Document``."""

    id: str
    content: str
    content_type: str
    meta: Annotated[Json, Meta(description="name, path, file_id, page, start, end, heading, and the user's own.")]
    id_hash_keys: list[str] | None = None
    score: float | None = None


class AnswerBody(Struct, omit_defaults=True):
    """An answer, as Haystack's ``Answer``; the empty text means that there is no answer in the documents."""

    answer: Annotated[str, Meta(description="The very words of the document.")]
    type: str
    meta: Annotated[
        Json, Meta(description="The passage's, with answer_start and answer_end in the file, and answer_page.")
    ]
    score: Annotated[float | None, Meta(description="How sure the reader is, 0 to 1.")] = None
    context: str | None = None
    offsets_in_document: Annotated[list[Span] | None, Meta(description="In the passage's content.")] = None
    offsets_in_context: list[Span] | None = None
    document_ids: list[str] | None = None
