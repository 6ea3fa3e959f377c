"""Labels: whole as JSON, with what they can be filtered by beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from haystack.schema import Label

from qa_app.stores.elasticsearch.bulk import delete, put, send
from qa_app.stores.elasticsearch.connection import Connection
from qa_app.stores.elasticsearch.documents import key_of
from qa_app.stores.elasticsearch.mapping import Indexes, Names
from qa_app.stores.elasticsearch.tokens import tokens_of
from qa_app.stores.passage_store import label_fields

_PAGE = 1000


class Labels:
    """The indexes of labels on a server."""

    def __init__(self, connection: Connection, indexes: Indexes) -> None:
        self._connection = connection
        self._indexes = indexes

    def write(self, index: str, labels: Sequence[Label]) -> None:
        """Writes labels, over those with their ids, which keep their place in the order."""
        names = self._indexes.ensure(index, "labels")
        places = self._places(names, [label.id for label in labels])
        first = self._next_place(names)
        operations = []
        for n, label in enumerate(labels):
            fields = tokens_of(label_fields(label))
            source = {
                "id": label.id,
                "body": label.to_json(),
                "fields": fields,
                "sequence": places.get(label.id, first + n),
            }
            operations.append(put(key_of(label.id), source, f"label {label.id}"))
        send(self._connection, names.writing(names.index), operations)
        self._connection.refresh(names.index)

    def read(self, index: str, query: Mapping[str, Any]) -> Iterator[Label]:
        """The labels that match, in the order of their first writing."""
        for hit in self._scan(index, query, ["body"]):
            yield Label.from_json(hit["_source"]["body"])

    def count(self, index: str) -> int:
        """How many labels there are."""
        if self._indexes.find(index, "labels") is None:
            return 0
        answer = self._connection.search(index=index, size=0, track_total_hits=True, allow_partial_search_results=False)
        return int(answer["hits"]["total"]["value"])

    def delete(self, index: str, ids: Sequence[str] | None, query: Mapping[str, Any]) -> None:
        """Removes the labels with one of ``ids`` that match, whichever are given."""
        names = self._indexes.find(index, "labels")
        if names is None:
            return
        keys = None if ids is None else {key_of(id) for id in ids}
        found = [hit["_id"] for hit in self._scan(index, query, [])]
        send(self._connection, names.writing(index), (delete(key) for key in found if keys is None or key in keys))
        self._connection.refresh(index)

    def _next_place(self, names: Names) -> int:
        """Behind all labels that are there, also where the clock was set back since they were written."""
        last = self._connection.search(
            index=names.index, size=1, sort=[{"sequence": "desc"}], source=False, allow_partial_search_results=False
        )["hits"]["hits"]
        return max(time.time_ns(), last[0]["sort"][0] + 1 if last else 0)

    def _places(self, names: Names, ids: Sequence[str]) -> dict[str, int]:
        places: dict[str, int] = {}
        for start in range(0, len(ids), _PAGE):
            keys = [key_of(id) for id in ids[start : start + _PAGE]]
            answer = self._connection.call(
                self._connection.client.mget,
                index=names.writing(names.index),
                ids=keys,
                source_includes=["id", "sequence"],
            )
            sources = [found["_source"] for found in answer.body["docs"] if found.get("found")]
            places.update({source["id"]: source["sequence"] for source in sources})
        return places

    def _scan(self, index: str, query: Mapping[str, Any], source: list[str]) -> Iterator[Mapping[str, Any]]:
        if self._indexes.find(index, "labels") is None:
            return
        last = None
        while True:
            answer = self._connection.search(
                index=index,
                query={"bool": {"filter": [query]}},
                size=_PAGE,
                sort=[{"sequence": "asc"}, {"id": "asc"}],
                search_after=last,
                source=source or False,
                track_total_hits=False,
                allow_partial_search_results=False,
            )
            hits = answer["hits"]["hits"]
            yield from hits
            if len(hits) < _PAGE:
                return
            last = hits[-1]["sort"]
