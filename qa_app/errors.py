"""Every error the application raises on purpose.

::

    QaAppError                      code               HTTP  exit
    ├── SettingsError               settings            422     2   an option, the environment or qa_app.yaml
    ├── InvalidRequestError         invalid_request     422     2   a question, filter or metadata that cannot be served
    ├── NotFoundError               not_found           404     2   a file, passage or index that is not there
    ├── ConflictError               conflict            409     2   somebody else is changing the same thing
    ├── MalformedRequestError       malformed           400     2   a request's body that cannot be parsed
    ├── AuthenticationError         unauthenticated     401     2   no API key, or none that is known
    ├── PermissionDeniedError       forbidden           403     2   a key whose scope does not reach so far
    ├── TooLargeError               too_large           413     2   a request that is over the size limit
    ├── MediaTypeError              media_type          415     2   a request's body of a kind that is not taken there
    ├── OverloadedError             overloaded          429     4   more requests are waiting than the queue holds
    ├── DeadlineError               deadline            504     4   an answer that was not ready in time
    ├── NotReadyError               not_ready           503     4   the store or the reader is still being opened
    ├── FileRejectedError           (one of REASONS)    422     3   a file whose text cannot be had
    ├── ArchiveError                damaged_archive     422     2   an export that is cut or altered
    ├── StoreError                  store               503     4   the store answered with something unexpected
    │   ├── StoreUnavailableError   store_unavailable   503     4   the store cannot be reached in time
    │   ├── StoreFullError          store_full          507     4   no space, or the index is read-only
    │   └── StoreDamagedError       store_damaged       503     4   the store's data are not what was written
    └── ModelError                  model               503     5   the reader's model is missing, damaged or unfit

Each has one code, one HTTP status and one exit code; its message names the thing, the reason and the way out.
Foreign exceptions are translated where a room meets the library that raises them, and chained.
"""

from __future__ import annotations

from typing import ClassVar


class QaAppError(Exception):
    """Base of all errors of the application; anything else that escapes is a bug (HTTP 500, exit code 1)."""

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1


class SettingsError(QaAppError):
    """An option, an environment variable or a line of qa_app.yaml has a value that cannot be used."""

    code = "settings"
    http_status = 422
    exit_code = 2


class InvalidRequestError(QaAppError):
    """A question, a filter or metadata that cannot be served as given."""

    code = "invalid_request"
    http_status = 422
    exit_code = 2


class NotFoundError(QaAppError):
    """A file, a passage or an index that is not there."""

    code = "not_found"
    http_status = 404
    exit_code = 2


class ConflictError(QaAppError):
    """Another process is changing the same thing."""

    code = "conflict"
    http_status = 409
    exit_code = 2


class MalformedRequestError(QaAppError):
    """A request's body that cannot be parsed."""

    code = "malformed"
    http_status = 400
    exit_code = 2


class AuthenticationError(QaAppError):
    """A request without an API key, or with one that is not known; both are told the same."""

    code = "unauthenticated"
    http_status = 401
    exit_code = 2


class PermissionDeniedError(QaAppError):
    """A request that the scope of its key, or its origin, does not allow."""

    code = "forbidden"
    http_status = 403
    exit_code = 2


class TooLargeError(QaAppError):
    """A request that is over the size limit."""

    code = "too_large"
    http_status = 413
    exit_code = 2


class MediaTypeError(QaAppError):
    """A request's body of a kind that is not taken there."""

    code = "media_type"
    http_status = 415
    exit_code = 2


class OverloadedError(QaAppError):
    """More requests are waiting than the queue holds; worth another try after ``retry_after`` seconds."""

    code = "overloaded"
    http_status = 429
    exit_code = 4

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineError(QaAppError):
    """An answer that was not ready in time."""

    code = "deadline"
    http_status = 504
    exit_code = 4


class NotReadyError(QaAppError):
    """The store or the reader is still being opened."""

    code = "not_ready"
    http_status = 503
    exit_code = 4


class ArchiveError(QaAppError):
    """An exported archive that is cut, altered or of another version; nothing of it was imported."""

    code = "damaged_archive"
    http_status = 422
    exit_code = 2


class StoreError(QaAppError):
    """The document store answered with something unexpected."""

    code = "store"
    http_status = 503
    exit_code = 4


class StoreUnavailableError(StoreError):
    """The document store cannot be reached, or did not answer in time."""

    code = "store_unavailable"


class StoreFullError(StoreError):
    """The document store takes no writes: its disk is full, or the index is read-only."""

    code = "store_full"
    http_status = 507


class StoreDamagedError(StoreError):
    """What the document store holds is not what was written."""

    code = "store_damaged"


class ModelError(QaAppError):
    """The reader's model is missing, damaged, or not a question answering model."""

    code = "model"
    http_status = 503
    exit_code = 5


#: Why a file was rejected: code of the reason -> what it means.
REASONS: dict[str, str] = {
    "empty_file": "the file holds no bytes",
    "no_text": "the file holds no text, such as a scanned page",
    "unsupported_type": "the content is of a kind that is not converted",
    "corrupt": "the content breaks off or breaks its format",
    "encrypted": "the content needs a password",
    "encoding": "the bytes are not text in any known encoding",
    "too_large": "the file or its text is over the size limit",
    "archive_limit": "the packed content unpacks to more than the limits allow",
    "too_deep": "the content is nested too deeply",
    "forbidden_content": "the content declares entities or a document type, which are never expanded",
    "timeout": "conversion took longer than the limit",
    "memory": "conversion needed more memory than the limit",
    "crashed": "the converter's process ended unexpectedly",
    "permission": "the file may not be read",
    "not_a_file": "a pipe, socket, device or link loop",
    "outside_root": "a link that leads out of the folder",
    "vanished": "the file was gone when it was opened",
    "changed": "the file changed while it was read",
    "name": "the file's name is not valid text",
}


class FileRejectedError(QaAppError):
    """A file whose text cannot be had; costs only itself.

    ``reason`` is a key of :data:`REASONS`; the message says what was seen and what to do about it. The HTTP status is
    413 for what is too large, 415 for what is of another kind, else 422.
    """

    code = "file_rejected"
    http_status = 422
    exit_code = 3

    def __init__(self, reason: str, message: str) -> None:
        if reason not in REASONS:
            raise ValueError(f"unknown reason {reason!r}")
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.http_status = {"too_large": 413, "unsupported_type": 415}.get(reason, 422)  # type: ignore[misc]

    def __str__(self) -> str:
        return self.message
