"""Writing many documents: bounded requests, and every item of every answer read.

Elasticsearch answers a bulk request with 200 whatever became of its items. Items that it was too busy for are sent
again after a pause that grows and is never the same for two writers; so is a request whose answer was lost, which the
ids make harmless. All else that goes wrong is reported after everything that can be written has been.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from elastic_transport import ConnectionError as ClientConnectionError
from elastic_transport import TlsError
from elasticsearch import ApiError

from qa_app.errors import QaAppError, StoreError, StoreFullError, StoreUnavailableError
from qa_app.stores.elasticsearch.connection import Connection
from qa_app.stores.elasticsearch.errors import PASSING, IndexGoneError, kind_and_reason, of_answer, translated

logger = logging.getLogger(__name__)

MAX_BYTES = 5_000_000
MAX_OPERATIONS = 4_000
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 3.0
_ANSWER = "errors,items.*.status,items.*.error.type,items.*.error.reason"
_CONFLICT = 409


@dataclass
class Operation:
    """One line or two of a bulk request; ``name`` is what messages call the document, ``size`` counts bytes."""

    id: str
    name: str
    lines: tuple[bytes, ...]
    size: int


@dataclass
class _Progress:
    """What became of the operations so far."""

    written: int = 0
    conflicts: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    gone: str = ""
    trouble_since: float | None = None
    tries: int = 0


def put(
    id: str, source: object, name: str = "", only_new: bool = False, after: tuple[int, int] | None = None
) -> Operation:
    """Writes a document: over what is there, ``only_new`` where nothing is, or only over the version ``after``.

    ``after`` is the sequence number and primary term that the version to replace was read with.
    """
    action: dict[str, Any] = {"_id": id}
    if after is not None:
        action |= {"if_seq_no": after[0], "if_primary_term": after[1]}
    return _operation(id, name or id, _line({"create" if only_new else "index": action}), _line(source))


def delete(id: str, after: tuple[int, int] | None = None) -> Operation:
    """Removes a document, which need not be there; only its version ``after`` where that is given."""
    action: dict[str, Any] = {"_id": id}
    if after is not None:
        action |= {"if_seq_no": after[0], "if_primary_term": after[1]}
    return _operation(id, id, _line({"delete": action}))


def _operation(id: str, name: str, *lines: bytes) -> Operation:
    return Operation(id, name, lines, sum(map(len, lines)) + len(lines))


def send(connection: Connection, index: str, operations: Iterable[Operation]) -> list[str]:
    """Carries out the operations in order; returns the ids of those that met another version than they asked for.

    After a broken connection, such an id may be one that this very call wrote. ``index`` is an alias: where it is gone,
    IndexGoneError is raised and nothing made. Raises StoreFullError at once, StoreUnavailableError where the server
    stays busy or away for ``connection.wait`` seconds, and StoreError with exact counts for documents it refuses.
    """
    progress = _Progress()
    for chunk in _chunks(operations):
        left: Sequence[Operation] = chunk
        while left:
            left = _attempt(connection, index, left, progress)
    if progress.gone:
        raise IndexGoneError(f"an index that was in use at {connection.url} is gone ({progress.gone})")
    if progress.refused:
        raise StoreError(
            f"Elasticsearch at {connection.url} refused {len(progress.refused)} of "
            f"{progress.written + len(progress.refused) + len(progress.conflicts)} documents and wrote the others; "
            f"refused: {'; '.join(progress.refused[:5])}"
        )
    return progress.conflicts


def _attempt(
    connection: Connection, index: str, chunk: Sequence[Operation], progress: _Progress
) -> Sequence[Operation]:
    """One request; returns the operations to send again, after the pause they need."""
    # The client sends bytes as they are, though its types do not say so.
    lines: list[Any] = [line for operation in chunk for line in operation.lines]
    try:
        answer = connection.client.bulk(
            index=index,
            operations=lines,
            require_alias=True,
            filter_path=_ANSWER,
        )
    except TlsError:
        with translated(connection.url):
            raise
    except ClientConnectionError as error:
        _pause(connection, progress, f"lost the connection ({error.message})", error)
        return chunk
    except ApiError as error:
        kind, reason = kind_and_reason(error.body)
        if error.status_code == 413 and len(chunk) > 1:
            middle = len(chunk) // 2
            for half in (chunk[:middle], chunk[middle:]):
                left: Sequence[Operation] = half
                while left:
                    left = _attempt(connection, index, left, progress)
            return []
        if error.status_code == 413:
            progress.refused.append(f"{chunk[0].name}: {chunk[0].size} bytes are more than the server takes")
            return []
        if error.status_code not in PASSING or kind == "cluster_block_exception":
            raise of_answer(connection.url, error.status_code, kind, reason) from error
        _pause(connection, progress, f"{error.status_code} {reason}", error)
        return chunk
    except Exception:
        with translated(connection.url):
            raise
    items = answer["items"]
    if len(items) != len(chunk):
        raise StoreError(f"Elasticsearch at {connection.url} answered {len(items)} of {len(chunk)} operations")
    again, busy = _sort_out(connection, chunk, items, progress)
    if len(again) < len(chunk):
        progress.tries, progress.trouble_since = 0, None
    if again:
        _pause(connection, progress, busy, None)
    return again


def _sort_out(
    connection: Connection, chunk: Sequence[Operation], items: Sequence[Any], progress: _Progress
) -> tuple[list[Operation], str]:
    """The operations that the server was too busy for, and its words; the others' fates go into ``progress``."""
    again, busy = [], ""
    for operation, item in zip(chunk, items):
        (result,) = item.values()
        status = result["status"]
        if result.get("error") is None:
            progress.written += 1
            continue
        kind, reason = kind_and_reason(result)
        if kind == "cluster_block_exception":
            refusal = of_answer(connection.url, status, kind, reason)
            if isinstance(refusal, StoreFullError):
                raise refusal
        if status in (429, 503):
            again.append(operation)
            busy = f"{status} {reason}"
        elif status == _CONFLICT:
            progress.conflicts.append(operation.id)
        elif kind == "index_not_found_exception":
            progress.gone = reason
        else:
            progress.refused.append(f"{operation.name}: {reason or kind}")
    return again, busy


def _pause(connection: Connection, progress: _Progress, why: str, cause: Exception | None) -> None:
    now = time.monotonic()
    if progress.trouble_since is None:
        progress.trouble_since = now
        logger.info("Elasticsearch at %s: %s; trying again", connection.url, why)
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**progress.tries) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    progress.tries += 1
    if now + pause > progress.trouble_since + connection.wait:
        failure: QaAppError = StoreUnavailableError(
            f"Elasticsearch at {connection.url} took no writes for {connection.wait:g} s ({why}); "
            f"{progress.written} documents were written; try again later"
        )
        raise failure from cause
    time.sleep(pause)


def _chunks(operations: Iterable[Operation]) -> Iterator[list[Operation]]:
    chunk: list[Operation] = []
    size = 0
    for operation in operations:
        if chunk and (size + operation.size > MAX_BYTES or len(chunk) >= MAX_OPERATIONS):
            yield chunk
            chunk, size = [], 0
        chunk.append(operation)
        size += operation.size
    if chunk:
        yield chunk


def _line(value: object) -> bytes:
    return _as_json(value).encode()


#: What json.dumps would make anew for every line.
_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
