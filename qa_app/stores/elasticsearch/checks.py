"""Looking for what is wrong with an index."""

from __future__ import annotations

from typing import Any

from qa_app.stores.elasticsearch.connection import Connection
from qa_app.stores.elasticsearch.files import LOOSE
from qa_app.stores.elasticsearch.journal import Journals
from qa_app.stores.elasticsearch.mapping import Names
from qa_app.stores.elasticsearch.records import Records
from qa_app.stores.elasticsearch.search import counting

_BUCKETS = 5_000


def problem(connection: Connection, journals: Journals, index: str) -> str | None:
    """Shards that are missing, or a file whose passages are not all there, and what to do about it."""
    names = journals.find(index)
    if names is None:
        return f"a part of index {index} is gone; delete the index and ingest the documents again"
    parts = [names.documents, names.files, names.journal]
    health = connection.call(connection.client.cluster.health, index=parts).body
    if health["status"] == "red":
        return f"index {index} lacks {health['unassigned_shards']} shards; see the server's cluster health"

    if journals.read(names).writes:
        # Somebody is writing, or was killed at it and the next writer completes it: passages may wait to count.
        return None

    def count(names: Names, hidden: list[dict[str, Any]]) -> dict[str, int]:
        return _passages_of_files(connection, names, hidden)

    counts = journals.consistent(index, count) or {}
    for file in Records(connection).all(names):
        there, meant = counts.get(file.id, 0), file.meta["passages"]
        # A file without a version is known to have lost passages.
        if there != meant and file.meta.get("version") != "":
            return f"file {file.id} of index {index} has {there} of its {meant} passages; ingest it again"
    return None


def _passages_of_files(connection: Connection, names: Names, hidden: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    after: dict[str, Any] = {}
    while True:
        of_files = {"bool": {"must_not": [{"term": {"version": LOOSE}}]}}
        values = {"sources": [{"file": {"terms": {"field": "file_id"}}}], "size": _BUCKETS, **after}
        answer = connection.search(
            index=names.documents,
            query=counting(of_files, hidden),
            size=0,
            aggregations={"files": {"composite": values}},
            track_total_hits=False,
            allow_partial_search_results=False,
        )
        buckets = answer["aggregations"]["files"]["buckets"]
        counts.update((bucket["key"]["file"], bucket["doc_count"]) for bucket in buckets)
        if len(buckets) < _BUCKETS:
            return counts
        after = {"after": buckets[-1]["key"]}
