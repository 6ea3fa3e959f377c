"""Reading documents: what matches, out of one state of the index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from haystack.schema import Document

from qa_app.stores.elasticsearch.connection import Connection
from qa_app.stores.elasticsearch.documents import SOURCE, document_of
from qa_app.stores.elasticsearch.errors import SearchLostError
from qa_app.stores.elasticsearch.journal import Journals
from qa_app.stores.elasticsearch.mapping import Names
from qa_app.stores.elasticsearch.tokens import before_all, value_of
from qa_app.stores.metadata import Scalar

Query = dict[str, Any]
PAGE = 1000
IDS = 10_000
_BUCKETS = 5_000
_KEEP_ALIVE = "5m"


class Search:
    """Searches in a server's indexes of documents."""

    def __init__(self, connection: Connection, journals: Journals) -> None:
        self._connection = connection
        self._journals = journals

    def search(self, index: str, query: Query, size: int, sort: list[Any]) -> list[Mapping[str, Any]]:
        """The first hits; none where there is no index."""

        def ask(names: Names, hidden: list[Query]) -> list[Mapping[str, Any]]:
            answer = self._connection.search(
                index=names.documents,
                query=counting(query, hidden),
                size=size,
                sort=sort,
                source=SOURCE,
                track_total_hits=False,
                allow_partial_search_results=False,
            )
            return list(answer["hits"]["hits"])

        return self._journals.consistent(index, ask) or []

    def count(self, index: str, query: Query) -> int:
        """How many documents match."""

        def ask(names: Names, hidden: list[Query]) -> int:
            answer = self._connection.search(
                index=names.documents,
                query=counting(query, hidden),
                size=0,
                track_total_hits=True,
                allow_partial_search_results=False,
            )
            return int(answer["hits"]["total"]["value"])

        return self._journals.consistent(index, ask) or 0

    def by_ids(self, index: str, ids: Sequence[str]) -> list[Document]:
        """The documents that there are, in the order of ``ids``."""
        found: dict[str, Document] = {}
        for start in range(0, len(ids), IDS):
            some = list(ids[start : start + IDS])
            for hit in self.scan(index, {"terms": {"id": some}}, SOURCE, PAGE):
                found[hit["_source"]["id"]] = document_of(hit["_source"])
        return [found[id] for id in dict.fromkeys(ids) if id in found]

    def scan(self, index: str, query: Query, source: list[str], page: int) -> Iterator[Mapping[str, Any]]:
        """All hits, out of one state of the index; raises SearchLostError where the server restarts after the first."""
        hits = self._pages(index, query, source, page)
        try:
            first = next(hits, None)
        except SearchLostError:
            # None was given out yet, so they may as well be those of another state.
            hits = self._pages(index, query, source, page)
            first = next(hits, None)
        if first is not None:
            yield first
            yield from hits

    def _pages(self, index: str, query: Query, source: list[str], page: int) -> Iterator[Mapping[str, Any]]:
        """All hits, page after page out of one point in time."""

        def ask(names: Names, hidden: list[Query]) -> tuple[list[Query], str]:
            opened = self._connection.call(
                self._connection.client.open_point_in_time, index=names.documents, keep_alive=_KEEP_ALIVE
            )
            return hidden, str(opened.body["id"])

        # What is hidden belongs to the state that is opened, so both are taken together.
        state = self._journals.consistent(index, ask)
        if state is None:
            return
        hidden, point = state
        last = None
        try:
            while True:
                answer = self._connection.search(
                    query=counting(query, hidden),
                    size=page,
                    sort=[{"_shard_doc": "asc"}],
                    search_after=last,
                    pit={"id": point, "keep_alive": _KEEP_ALIVE},
                    source=source,
                    track_total_hits=False,
                )
                point = answer.get("pit_id", point)
                hits = answer["hits"]["hits"]
                yield from hits
                if len(hits) < page:
                    return
                last = hits[-1]["sort"]
        finally:
            closing = self._connection.client.options(ignore_status=404)
            self._connection.call(closing.close_point_in_time, id=point)

    def values(self, index: str, key: str, query: Query) -> dict[tuple[type, Scalar], int]:
        """The values of a metadata field and their types, with how many documents have each."""

        def ask(names: Names, hidden: list[Query]) -> dict[tuple[type, Scalar], int]:
            counts: dict[tuple[type, Scalar], int] = {}
            last = before_all(key)
            while True:
                values = {
                    "sources": [{"token": {"terms": {"field": "fields"}}}],
                    "size": _BUCKETS,
                    "after": {"token": last},
                }
                answer = self._connection.search(
                    index=names.documents,
                    query=counting(query, hidden),
                    size=0,
                    aggregations={"values": {"composite": values}},
                    track_total_hits=False,
                    allow_partial_search_results=False,
                )
                buckets = answer["aggregations"]["values"]["buckets"]
                for bucket in buckets:
                    last = bucket["key"]["token"]
                    belongs, value = value_of(last, key)
                    if not belongs:
                        return counts
                    if value is not None:
                        counts[type(value), value] = bucket["doc_count"]
                if len(buckets) < _BUCKETS:
                    return counts

        return self._journals.consistent(index, ask) or {}


def counting(query: Query, hidden: list[Query]) -> Query:
    """The query, limited to what counts; its own score stays."""
    scoring = query.get("bool", {}).get("must")
    if scoring is not None:
        return {"bool": {**query["bool"], "must_not": hidden}}
    return {"bool": {"filter": [query], "must_not": hidden}}
