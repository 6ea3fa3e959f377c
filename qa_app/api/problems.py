"""What becomes of errors: the one place that turns them into responses.

The status is the error's own (:mod:`qa_app.errors`). The body is ``{"error": {"code", "message", "request_id"}}``
beside the keys where Haystack's clients look: ``errors``, a list of messages, and ``detail``, a list of fields for 422
and the message for 404 and 405. A bug of ours says nothing but the request's id, under which
the log has the rest.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from qa_app.api.requests import InvalidBodyError
from qa_app.api.schemas import Detail, ErrorBody, Problem
from qa_app.errors import FileRejectedError, NotReadyError, OverloadedError, QaAppError, StoreError

logger = logging.getLogger("qa_app.api")

#: The framework's own refusals.
_CODES = {400: "malformed", 404: "not_found", 405: "method_not_allowed", 408: "timeout", 413: "too_large"}
_MESSAGES = {
    404: "there is nothing under this address; /docs lists what can be asked",
    405: "this address does not take this method; the header Allow names those that it takes",
    413: "the body is over the size limit of this operation",
}
#: Status -> code and meaning, as the description of the API has them.
_MEANINGS = {
    400: ("malformed", "The body is not what it says it is."),
    401: ("unauthenticated", "No API key, or none that is known."),
    403: ("forbidden", "The key's scope does not reach so far."),
    404: ("not_found", "There is no such thing."),
    409: ("conflict", "Somebody else is changing the same thing, or an idempotency key came with another body."),
    413: ("too_large", "Over the size limit."),
    415: ("media_type", "The body is of a kind that is not taken here."),
    422: ("invalid_request", "A field is not valid, or a file's text cannot be had."),
    429: ("overloaded", "Too many requests are waiting; try again after Retry-After seconds."),
    500: ("error", "A bug of ours; the log has it under the request's id."),
    503: ("not_ready", "The store or the reader is not available."),
    504: ("deadline", "The answer was not ready in time."),
    507: ("store_full", "The store takes no writes: its disk is full."),
}
# Folders of the server are nobody else's business; the log has the whole message.
_PATH = re.compile(r"(?<![\w/:.])/(?:[^\s/:;,'\"()]+/)+(?=[^\s/])")


class UploadRejectedError(FileRejectedError):
    """An upload of which files were rejected; ``files`` says how each ended."""

    def __init__(self, reason: str, message: str, files: list[dict[str, Any]]) -> None:
        super().__init__(reason, message)
        self.files = files


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """``responses=`` of a handler: these statuses, and those that any operation may give."""
    return {
        status: ResponseSpec(Problem, description=_MEANINGS[status][1], generate_examples=False)
        for status in sorted({400, 401, 403, 413, 415, 422, 429, 500, 503, 504, *statuses})
    }


def example(status: int) -> dict[str, Any]:
    """What a problem of this status looks like."""
    code, message = _MEANINGS[status]
    error = {"code": code, "message": message, "request_id": "5b1f0c2e9d3a4c7f8e6b0a1d2c3e4f50"}
    detail = {422: [{"loc": ["body"], "msg": message, "type": "value_error"}], 404: message}.get(status)
    return {"error": error, "errors": [message], **({"detail": detail} if detail else {})}


def of_exception(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """The response to an error that a handler raised."""
    headers: dict[str, str] = {}
    detail: list[Detail] | str | None = None
    files: list[dict[str, Any]] | None = None
    if isinstance(error, QaAppError):
        status, code, message = error.http_status, error.code, str(error)
        if isinstance(error, FileRejectedError):
            code = error.reason
        if isinstance(error, UploadRejectedError):
            files = error.files
        if isinstance(error, InvalidBodyError):
            detail = [Detail(error.loc, message, "value_error")]
        elif status == 422:
            detail = [Detail(["body"], message, f"value_error.{code}")]
        if isinstance(error, OverloadedError):
            headers["Retry-After"] = str(error.retry_after)
        elif isinstance(error, (NotReadyError, StoreError)):
            headers["Retry-After"] = "5"
        if status >= 500:
            logger.warning("request %s: %s", request.scope["state"]["request_id"], message)
            message = _PATH.sub("", message)
    elif isinstance(error, ValidationException):
        status, code = 422, "invalid_request"
        given = error.extra if isinstance(error.extra, list) else []
        detail = [_parameter(entry) for entry in given]
        message = "; ".join(f"{'.'.join(map(str, one.loc))}: {one.msg}" for one in detail) or error.detail
    elif isinstance(error, HTTPException) and error.status_code < 500:
        status = error.status_code
        code = _CODES.get(status, "invalid_request")
        message = _MESSAGES.get(status, error.detail)
        headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
        detail = message if status in (404, 405) else None
    else:
        status, code = 500, "error"
        message = "something went wrong here; the log has it under this request's id"
        logger.error("request %s", request.scope["state"]["request_id"], exc_info=error)
    if status == 401:
        # A browser that opens a page asks its user for the key; a program is never answered with such a question.
        page = request.scope["route_handler"].opt.get("browser")
        headers["WWW-Authenticate"] = 'Bearer, Basic realm="qa_app", charset="UTF-8"' if page else "Bearer"
    body = Problem(
        error=ErrorBody(code=code, message=message, request_id=request.scope["state"]["request_id"]),
        errors=[message],
        detail=detail,
        files=files,
    )
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def _parameter(entry: dict[str, Any]) -> Detail:
    name, message = str(entry.get("key", "")), str(entry.get("message", ""))
    if entry.get("source") == "body" and name == "data":
        return Detail(["body"], "a JSON body is needed", "value_error.missing")
    source = entry.get("source")
    return Detail([str(getattr(source, "value", source)), name], message, "value_error")
