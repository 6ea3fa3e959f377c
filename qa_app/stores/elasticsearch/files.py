"""Replacing a file's passages in one step, on a server without transactions.

A write goes through these stages; a process may be killed between any two of them:

1. the journal lists the write, so that none of its passages counts;
2. the passages are written, and made visible to searches where they replace others;
3. the files' records name the new versions, each only where nobody changed it meanwhile;
4. one change of the journal lets the new passages count and the replaced ones not.

Passages of files that were not there before count from the next :meth:`Files.publish` on, which refreshes once for
many writes and removes the passages that no longer count. What a killed writer left, the next write completes: files
whose records were changed are new, of the others all passages are removed. A deleted file is one replaced by nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from haystack.schema import Document

from qa_app.errors import ConflictError
from qa_app.stores.elasticsearch import owners
from qa_app.stores.elasticsearch.bulk import Operation, delete, put, send
from qa_app.stores.elasticsearch.connection import Connection
from qa_app.stores.elasticsearch.documents import key_of, source_of
from qa_app.stores.elasticsearch.journal import WRITING, WRITTEN, Journal, Journals, write_number
from qa_app.stores.elasticsearch.mapping import Names
from qa_app.stores.elasticsearch.records import Record, Records

#: One write takes no more files and passages; it keeps the journal and a killed writer's leavings small.
_FILES = 500
_PASSAGES = 5_000
#: Writes that may wait for a refresh; each costs every search a term.
_UNPUBLISHED = 64


@dataclass(frozen=True)
class Change:
    """A file with its passages to put in place of what there is, or no file to delete it."""

    id: str
    file: Document | None
    passages: Sequence[Document]

    def record(self, version: tuple[str, str], replaced: Mapping[str, int]) -> dict[str, Any]:
        """What the file's record holds; ``replaced`` are the versions that die with the change."""
        record: dict[str, Any] = {"id": self.id, "version": list(version), "passages": len(self.passages)}
        record |= {"replaced": dict(replaced), "gone": self.file is None}
        if self.file is not None:
            record |= {"meta": {**self.file.meta, "passages": len(self.passages)}, "text": self.file.content}
        return record


class Files:
    """The files of a server's indexes."""

    def __init__(self, connection: Connection, journals: Journals) -> None:
        self._connection = connection
        self._journals = journals
        self.records = Records(connection)

    def write(self, names: Names, changes: Iterable[Change]) -> tuple[int, list[str]]:
        """Carries out the changes; returns how many files were there, and the ids of those that others changed."""
        there, lost = 0, []
        for some in _batches(changes):
            found, beaten = self._write(names, some)
            there += found
            lost += beaten
        return there, lost

    def publish(self, names: Names) -> None:
        """Lets all that was written count, and removes what no longer does."""
        journal = self._journals.read(names)
        for write in owners.abandoned(names, journal):
            self._settle(names, write)
            journal = self._journals.read(names)
        done = [write for write, entry in journal.writes.items() if entry["state"] == WRITTEN]
        if not (done or journal.dead or journal.gone):
            return
        self.remove(names, journal.dead)
        self.records.remove(names, journal.gone)
        self._connection.refresh(names.documents, names.files)

        def settled(current: Journal) -> None:
            _drop(current, done, journal)
            for key in journal.gone:
                current.gone.pop(key, None)

        self._journals.change(names, settled)

    def remove(self, names: Names, versions: Mapping[str, int]) -> None:
        """Removes the passages of the versions, given with how many there were."""
        send(self._connection, names.writing(names.documents), _removal(versions))

    def _write(self, names: Names, changes: Sequence[Change]) -> tuple[int, list[str]]:
        begun: list[str] = []

        def begin(current: Journal) -> None:
            begun.append(write_number(current.next))
            owners.begin(names, begun[-1])
            current.writes[begun[-1]] = {"state": WRITING, **owners.me(), "since": int(time.time())}
            current.next += 1

        try:
            journal = self._journals.change(names, begin)
            for abandoned in owners.abandoned(names, journal):
                self._settle(names, abandoned)
            return self._carry_out(names, changes, begun[-1], journal)
        finally:
            for write in begun:
                owners.end(names, write)

    def _carry_out(
        self, names: Names, changes: Sequence[Change], write: str, journal: Journal
    ) -> tuple[int, list[str]]:
        before = self.records.get(names, [change.id for change in changes])
        there = {id for id, record in before.items() if not record.gone}
        if all(change.file is None for change in changes):
            changes = [change for change in changes if change.id in there]
        versions = {change.id: (write, f"{write}-{n}") for n, change in enumerate(changes)}
        # Where nothing is replaced, a later refresh serves many writes.
        removed = dict(journal.dead) if there else {}
        passages = (_passage(change, versions[change.id], n) for change in changes for n in range(len(change.passages)))
        send(self._connection, names.writing(names.documents), chain(passages, _removal(removed)))
        if there:
            self._connection.refresh(names.documents)

        replaced = {id: record.lineage(journal) for id, record in before.items()}
        lost = self._flip(names, changes, versions, before, replaced)
        dying: dict[str, int] = {}
        for change in changes:
            won = change.id not in lost
            dying |= replaced.get(change.id, {}) if won else {versions[change.id][1]: len(change.passages)}
        gone = {key_of(c.id): versions[c.id][1] for c in changes if c.file is None and c.id not in lost}
        refreshed = [w for w, entry in journal.writes.items() if entry["state"] == WRITTEN] if there else []

        def flip(current: Journal) -> None:
            if current.writes.get(write, {}).get("state") != WRITING:
                raise _TakenForDeadError(
                    f"another process took this one for dead, as it wrote {names.index}; try again"
                )
            if there or not changes:
                _drop(current, [write, *refreshed], removed)
            else:
                current.writes[write] = {"state": WRITTEN}
            if dying:
                current.dead.update(dying)
                current.flips += 1
            current.gone.update(gone)

        try:
            after = self._journals.change(names, flip)
        except _TakenForDeadError:
            # Whoever took over may have removed our passages before or after the records named them: the files go.
            self._journals.change(names, lambda current: _bury(current, replaced))
            self.records.remove(names, {key_of(id): version[1] for id, version in versions.items()})
            raise
        if journal.loose:
            self._remove_all(names, _strays(changes))
        if len(after.writes) > _UNPUBLISHED:
            self.publish(names)
        return len(there - set(lost)), lost

    def _flip(
        self,
        names: Names,
        changes: Sequence[Change],
        versions: Mapping[str, tuple[str, str]],
        before: Mapping[str, Record],
        replaced: Mapping[str, Mapping[str, int]],
    ) -> list[str]:
        """Writes the records; returns the ids of the files whose records others changed meanwhile."""

        def record(change: Change) -> Operation:
            source = change.record(versions[change.id], replaced.get(change.id, {}))
            old = before.get(change.id)
            name = f"file {change.id}"
            if old is None:
                return put(key_of(change.id), source, name, only_new=True)
            return put(key_of(change.id), source, name, after=old.place)

        beaten = set(send(self._connection, names.writing(names.files), map(record, changes)))
        suspects = [change.id for change in changes if key_of(change.id) in beaten]
        # After a broken connection, it may be our own write that came first.
        now = self.records.get(names, suspects)
        return [id for id in suspects if id not in now or now[id].version != versions[id][1]]

    def _settle(self, names: Names, write: str) -> None:
        """Completes what a killed writer left of one write."""

        def claim(current: Journal) -> None:
            if write in current.writes:
                # From here on, a writer that was only slow gives up.
                current.writes[write] = {"state": "settling", **owners.me(), "since": int(time.time())}

        owners.begin(names, write)
        try:
            self._journals.change(names, claim)
            self._connection.refresh(names.documents, names.files)
            flipped = self.records.of_write(names, write)
            live = [record.version for record in flipped]
            ours = {"bool": {"filter": [{"term": {"version": write}}], "must_not": [{"terms": {"version": live}}]}}
            self._remove_all(names, ours)

            def complete(current: Journal) -> None:
                current.writes.pop(write, None)
                for record in flipped:
                    current.dead.update(record.replaced)
                    if record.gone:
                        current.gone[key_of(record.id)] = record.version
                current.flips += 1

            self._journals.change(names, complete)
        finally:
            owners.end(names, write)

    def _remove_all(self, names: Names, query: Mapping[str, Any]) -> None:
        """Removes the documents that a search finds."""
        while True:
            answer = self._connection.search(
                index=names.documents, query=query, size=5_000, source=False, allow_partial_search_results=False
            )
            keys = [hit["_id"] for hit in answer["hits"]["hits"]]
            if not keys:
                return
            send(self._connection, names.writing(names.documents), map(delete, keys))
            self._connection.refresh(names.documents)


#: The version of all documents that belong to no write of files; sorts before every write's number.
LOOSE = "+"


class _TakenForDeadError(ConflictError):
    """This process was so slow that another one settled its write."""


def _strays(changes: Sequence[Change]) -> dict[str, Any]:
    """Documents that were written outside of files, but belong to these or have their passages' ids."""
    ids = [passage.id for change in changes for passage in change.passages]
    either = [{"terms": {"file_id": [change.id for change in changes]}}, {"terms": {"id": ids}}]
    return {"bool": {"should": either, "minimum_should_match": 1, "filter": [{"term": {"version": LOOSE}}]}}


def _bury(journal: Journal, replaced: Mapping[str, Mapping[str, int]]) -> None:
    for versions in replaced.values():
        journal.dead.update(versions)
    journal.flips += 1


def _passage(change: Change, version: tuple[str, str], n: int) -> Operation:
    passage = change.passages[n]
    return put(f"{version[1]}-{n}", source_of(passage, version, change.id), f"document {passage.id}")


def _removal(versions: Mapping[str, int]) -> Iterator[Operation]:
    return (delete(f"{version}-{n}") for version, passages in versions.items() for n in range(passages))


def _drop(journal: Journal, writes: Iterable[str], removed: Iterable[str] | Journal) -> None:
    for write in writes:
        journal.writes.pop(write, None)
    for version in removed.dead if isinstance(removed, Journal) else removed:
        journal.dead.pop(version, None)


def _batches(changes: Iterable[Change]) -> Iterator[list[Change]]:
    batch: list[Change] = []
    passages = 0
    for change in changes:
        if batch and (len(batch) >= _FILES or passages + len(change.passages) > _PASSAGES):
            yield batch
            batch, passages = [], 0
        batch.append(change)
        passages += len(change.passages)
    if batch:
        yield batch
