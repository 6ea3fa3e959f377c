"""The records of files: one document per file, read by key and so always in its latest state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from elasticsearch import ApiError
from haystack.schema import Document

from qa_app.errors import ConflictError
from qa_app.stores.elasticsearch.bulk import delete, send
from qa_app.stores.elasticsearch.connection import Connection
from qa_app.stores.elasticsearch.documents import key_of
from qa_app.stores.elasticsearch.errors import kind_and_reason
from qa_app.stores.elasticsearch.journal import WRITTEN, Journal
from qa_app.stores.elasticsearch.mapping import Names

_PAGE = 1000
_SHARD_AWAY = ("no_shard_available_action_exception", "unavailable_shards_exception")
_STATE = ["id", "meta", "version", "passages", "replaced", "gone"]


@dataclass(frozen=True)
class Record:
    """What is known of a file but its text.

    ``place`` are the sequence number and primary term that a change of the record must name.
    """

    id: str
    meta: Mapping[str, Any]
    write: str
    version: str
    passages: int
    replaced: Mapping[str, int]
    gone: bool
    place: tuple[int, int]

    def lineage(self, journal: Journal) -> dict[str, int]:
        """The versions that die when this record is replaced.

        Those that it replaced itself are among them where the journal does not know yet that they are dead.
        """
        entry = journal.writes.get(self.write)
        settled = entry["state"] == WRITTEN if entry else int(self.write) < journal.next
        return {self.version: self.passages, **({} if settled else self.replaced)}


class Records:
    """The records of the files of a server's indexes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, names: Names, ids: Sequence[str]) -> dict[str, Record]:
        """The records of the files that have one."""
        found = self._by_key(names, [key_of(id) for id in ids])
        return {record.id: record for record in found.values()}

    def of_write(self, names: Names, write: str) -> list[Record]:
        """The records that a write changed, as far as searches see."""
        answer = self._connection.search(
            index=names.files,
            query={"term": {"version": write}},
            size=10_000,
            source=_STATE,
            seq_no_primary_term=True,
            allow_partial_search_results=False,
        )
        return [_record(hit) for hit in answer["hits"]["hits"]]

    def remove(self, names: Names, versions: Mapping[str, str]) -> None:
        """Removes records by key, each only if it still has the version."""
        found = self._by_key(names, list(versions))
        doomed = ((key, record) for key, record in found.items() if record.version == versions[key])
        send(self._connection, names.writing(names.files), (delete(key, after=record.place) for key, record in doomed))

    def change_meta(
        self, names: Names, ids: Iterable[str], change: Callable[[Record], Mapping[str, Any] | None]
    ) -> None:
        """Merges what ``change`` gives into the metadata of each file; None removes the record."""
        todo = list(ids)
        for _ in range(20):
            again = []
            for record in self.get(names, todo).values():
                if record.gone:
                    continue
                meta = change(record)
                place = {"if_seq_no": record.place[0], "if_primary_term": record.place[1]}
                how: dict[str, Any] = {"index": names.writing(names.files), "id": key_of(record.id), **place}
                client = self._connection.client.options(ignore_status=409)
                if meta is None:
                    answer = self._connection.call(client.delete, **how).body
                else:
                    answer = self._connection.call(client.update, doc={"meta": dict(meta)}, **how).body
                if "error" in answer:
                    again.append(record.id)
            if not again:
                return
            todo = again
        raise ConflictError(f"others keep changing file {todo[0]} of index {names.index}; try again")

    def whole(self, names: Names, id: str) -> Document | None:
        """The file with its text."""
        (found,) = self._mget(names, [key_of(id)], ["id", "meta", "text", "gone"])
        if not found.get("found") or found["_source"]["gone"]:
            return None
        source = found["_source"]
        return Document(id=source["id"], content=source["text"], meta=source["meta"])

    def all(self, names: Names, after: str = "") -> Iterator[Document]:
        """Every file with an id greater than ``after``, without its text, in the order of ids."""
        last: list[Any] | None = [after] if after else None
        while True:
            answer = self._connection.search(
                index=names.files,
                query={"term": {"gone": False}},
                size=_PAGE,
                source=["id", "meta"],
                sort=[{"id": "asc"}],
                search_after=last,
                track_total_hits=False,
                allow_partial_search_results=False,
            )
            hits = answer["hits"]["hits"]
            for hit in hits:
                yield Document(id=hit["_source"]["id"], content="", meta=hit["_source"]["meta"])
            if len(hits) < _PAGE:
                return
            last = hits[-1]["sort"]

    def _by_key(self, names: Names, keys: Sequence[str]) -> dict[str, Record]:
        return {found["_id"]: _record(found) for found in self._mget(names, keys, _STATE) if found["found"]}

    def _mget(self, names: Names, keys: Sequence[str], source: list[str]) -> Iterator[Mapping[str, Any]]:
        for start in range(0, len(keys), _PAGE):
            some = keys[start : start + _PAGE]
            yield from self._connection.call(
                self._whole_mget, index=names.writing(names.files), ids=some, source_includes=source
            )

    def _whole_mget(self, **arguments: Any) -> Sequence[Mapping[str, Any]]:
        """An error of one document is one of the whole call; that of a shard which is not back yet may pass."""
        answer = self._connection.client.mget(**arguments)
        found: Sequence[Mapping[str, Any]] = answer.body["docs"]
        for one in found:
            if "error" in one:
                passing = kind_and_reason(one)[0] in (
                    "no_shard_available_action_exception",
                    "unavailable_shards_exception",
                )
                raise ApiError("mget", replace(answer.meta, status=503 if passing else 404), one)
        return found


def _record(found: Mapping[str, Any]) -> Record:
    source = found["_source"]
    return Record(
        id=source["id"],
        meta=source.get("meta", {}),
        write=source["version"][0],
        version=source["version"][1],
        passages=source["passages"],
        replaced=source["replaced"],
        gone=source["gone"],
        place=(found["_seq_no"], found["_primary_term"]),
    )
