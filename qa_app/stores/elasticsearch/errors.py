"""The wall between the Elasticsearch client's errors and ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from elastic_transport import ConnectionError as ClientConnectionError
from elastic_transport import ConnectionTimeout, TlsError, TransportError
from elasticsearch import ApiError, UnsupportedProductError

from qa_app.errors import (
    ConflictError,
    InvalidRequestError,
    QaAppError,
    SettingsError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)

CREDENTIALS = "QA_ELASTICSEARCH_USERNAME and QA_ELASTICSEARCH_PASSWORD, or QA_ELASTICSEARCH_API_KEY"
#: Statuses of a server or proxy that may be better in a moment.
PASSING = (429, 502, 503, 504)


class IndexGoneError(StoreError):
    """An index that was there is not there any more."""


class SearchLostError(StoreUnavailableError):
    """The server knows nothing any more of a search that it kept for us, as after its restart."""


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turns the client's errors into ours, naming the server; ``url`` holds no password."""
    try:
        yield
    except UnsupportedProductError as error:
        raise SettingsError(f"what answers at {url} is not Elasticsearch; set QA_ELASTICSEARCH_URL") from error
    except ApiError as error:
        raise of_answer(url, error.status_code, *kind_and_reason(error.body)) from error
    except ConnectionTimeout as error:
        raise StoreUnavailableError(
            f"Elasticsearch at {url} did not answer in time; see its load, or raise QA_ELASTICSEARCH_TIMEOUT"
        ) from error
    except TlsError as error:
        raise SettingsError(
            f"the certificate of {url} is not trusted ({_brief(error)}); name the file of its certificate authority in "
            "QA_ELASTICSEARCH_CA_CERTS, and the host as the certificate has it"
        ) from error
    except ClientConnectionError as error:
        raise StoreUnavailableError(
            f"Elasticsearch at {url} cannot be reached ({_brief(error)}); start it, or set QA_ELASTICSEARCH_URL"
        ) from error
    except TransportError as error:
        raise StoreError(f"Elasticsearch at {url} answered with what is not its protocol ({_brief(error)})") from error


def of_answer(url: str, status: int, kind: str, reason: str) -> QaAppError:
    """Our error for an answer that is no success; ``kind`` is Elasticsearch's type of error, or empty."""
    said = f"{status} {kind}: {reason}" if kind else f"{status}: {reason}"
    if kind == "cluster_block_exception" and status != 503:
        return StoreFullError(
            f"Elasticsearch at {url} takes no writes ({reason}); free disk space there, or lift the block"
        )
    if status == 401:
        return SettingsError(f"Elasticsearch at {url} does not know who is asking; set {CREDENTIALS}")
    if status == 403:
        return SettingsError(f"Elasticsearch at {url} forbids it ({reason}); give the user of {CREDENTIALS} the right")
    if kind == "index_not_found_exception":
        return IndexGoneError(f"an index that was in use at {url} is gone ({reason}); ingest the documents again")
    if kind == "search_context_missing_exception":
        return SearchLostError(f"Elasticsearch at {url} lost a search that was being read; try again")
    if kind in ("invalid_index_name_exception", "invalid_alias_name_exception"):
        return InvalidRequestError(f"Elasticsearch does not take the name of an index: {reason}")
    if status == 409:
        return ConflictError(f"another process changed the same thing at {url} ({reason}); try again")
    if status == 413:
        return StoreError(f"a document is larger than Elasticsearch at {url} takes; raise its http.max_content_length")
    if status in PASSING or kind in ("search_phase_execution_exception", "node_closed_exception"):
        return StoreUnavailableError(f"Elasticsearch at {url} is starting, overloaded or lacks a shard ({said})")
    return StoreError(f"Elasticsearch at {url} refused: {said}")


def kind_and_reason(body: object) -> tuple[str, str]:
    """Elasticsearch's type of an error and its reason, from an answer's body or a bulk item."""
    error: Any = body.get("error", body) if isinstance(body, Mapping) else body
    if not isinstance(error, Mapping):
        return "", str(error)[:200]
    # What failed on a shard says more than that a shard failed.
    for cause in error.get("root_cause") or ():
        if error.get("type") == "search_phase_execution_exception":
            return str(cause.get("type", "")), str(cause.get("reason", ""))[:300]
    return str(error.get("type", "")), str(error.get("reason", ""))[:300]


def check_shards(answer: Mapping[str, Any], url: str) -> None:
    """Raises StoreUnavailableError where an answer lacks the part of some shard."""
    shards = answer.get("_shards") or {}
    if answer.get("timed_out") or shards.get("failed"):
        late = "not all shards answered in time" if answer.get("timed_out") else f"{shards['failed']} shards failed"
        raise StoreUnavailableError(f"Elasticsearch at {url} has only a part of the answer ({late}); see its health")


def _brief(error: TransportError) -> str:
    text = " ".join(str(error.message).split())
    # The client's text nests the object's address and the cause; the cause comes last.
    return text.rpartition(": ")[2].strip("')> ")[:200] or text[:200]
