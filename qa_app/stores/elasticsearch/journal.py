"""Which passages count: one small document per index, read before and after every search.

Elasticsearch has no transactions, yet readers must see a file's old passages or its new ones. Every passage bears the
number of its write and its version, and the journal lists

- ``writes``: writes whose passages do not count yet, "writing" or "written" and waiting for the next refresh;
- ``dead``: versions whose passages do not count any more and are still to be removed, with their numbers of passages;
- ``next``: the number of the next write; passages with a higher one do not count either;
- ``flips``: how often versions died.

Replacing files is a single change of this document, made where its version is the one that was read. A search leaves
out what does not count. What counted when it began may only vanish after a flip, so an answer stands where ``flips``
is the same after the search as before, and is asked for again where it is not.
"""

from __future__ import annotations

import copy
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from qa_app.errors import ConflictError, StoreUnavailableError
from qa_app.stores.elasticsearch.connection import Connection
from qa_app.stores.elasticsearch.errors import IndexGoneError
from qa_app.stores.elasticsearch.mapping import Indexes, Names

_ID = "journal"
WRITING, WRITTEN = "writing", "written"
R = TypeVar("R")
Query = dict[str, Any]


@dataclass
class Journal:
    """The journal as read; ``seq_no`` is -1 where nothing has been written yet."""

    next: int = 1
    flips: int = 0
    #: Whether documents were written outside of files, which a file's replacement then looks for.
    loose: bool = False
    writes: dict[str, dict[str, Any]] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    #: Records of deleted files, still to be removed: key of the file -> version of the record.
    gone: dict[str, str] = field(default_factory=dict)
    seq_no: int = -1
    primary_term: int = 0

    def hidden(self) -> list[Query]:
        """Queries for the passages that do not count."""
        versions = [*self.writes, *self.dead]
        newer: Query = {"range": {"version": {"gte": write_number(self.next)}}}
        return [newer, {"terms": {"version": versions}}] if versions else [newer]

    def body(self) -> dict[str, Any]:
        """What is stored."""
        names = ("next", "flips", "loose", "writes", "dead", "gone")
        return {"journal": {name: getattr(self, name) for name in names}}


def write_number(number: int) -> str:
    """A write's number as text that sorts as numbers do."""
    return f"{number:012d}"


class Journals:
    """The journals of a server's indexes."""

    def __init__(self, connection: Connection, indexes: Indexes) -> None:
        self._connection = connection
        self._indexes = indexes
        #: As last changed here, so that a change needs no reading where nobody else writes.
        self._latest: dict[Names, Journal] = {}
        #: As last read by a search; good for the next one where it turns out to be unchanged.
        self._seen: dict[Names, Journal] = {}
        self._reader = connection.client.options(ignore_status=404)
        self._lock = threading.Lock()

    def find(self, index: str) -> Names | None:
        """The index, None where it was never made."""
        return self._indexes.find(index)

    def read(self, names: Names) -> Journal:
        """The journal as it is now; raises IndexGoneError."""
        # Through the alias of the incarnation: an index that was made anew is another one.
        answer = self._connection.call(self._reader.get, index=names.writing(names.journal), id=_ID).body
        if "error" in answer:
            raise IndexGoneError(f"index {names.index} is gone from {self._connection.url}; ingest the documents again")
        if not answer["found"]:
            return Journal()
        return Journal(**answer["_source"]["journal"], seq_no=answer["_seq_no"], primary_term=answer["_primary_term"])

    def change(self, names: Names, change: Callable[[Journal], None]) -> Journal:
        """Applies ``change`` to the journal, again from the start where another writer was faster.

        After a broken connection it may be applied twice. Raises ConflictError where others are always faster.
        """
        deadline = time.monotonic() + self._connection.timeout
        journal = self._latest.get(names) or self.read(names)
        while True:
            after = copy.deepcopy(journal)
            change(after)
            how: dict[str, Any] = {"op_type": "create"}
            if journal.seq_no >= 0:
                how = {"if_seq_no": journal.seq_no, "if_primary_term": journal.primary_term}
            client = self._connection.client.options(ignore_status=409)
            answer = self._connection.call(
                client.index,
                index=names.writing(names.journal),
                id=_ID,
                document=after.body(),
                require_alias=True,
                **how,
            ).body
            if "error" not in answer:
                after.seq_no, after.primary_term = answer["_seq_no"], answer["_primary_term"]
                self._keep(names, after)
                return after
            if time.monotonic() > deadline:
                raise ConflictError(f"too many processes write into index {names.index} at once; try again")
            time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - no secret
            journal = self.read(names)

    def consistent(self, index: str, ask: Callable[[Names, list[Query]], R]) -> R | None:
        """What ``ask`` finds in one state of the index; None where there is no such index.

        ``ask`` gets the names to search and the queries for what to leave out, and may be called again.
        """
        names = self._indexes.find(index)
        if names is None:
            return None
        deadline = time.monotonic() + self._connection.timeout
        before, just_read = self._seen.get(names), False
        while True:
            try:
                if before is None:
                    before, just_read = self.read(names), True
                answer = ask(names, before.hidden())
                after = self._seen[names] = self.read(names)
                # One read earlier serves as well where nothing at all was changed since; that saves a round trip.
                unchanged = (after.seq_no, after.primary_term) == (before.seq_no, before.primary_term)
                if unchanged or (just_read and after.flips == before.flips):
                    return answer
                before, just_read = after, True
            except IndexGoneError:
                names, before = self._made_anew(names), None
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"index {index} changed during every try to read it for {self._connection.timeout:g} s; try again"
                )

    def _keep(self, names: Names, journal: Journal) -> None:
        with self._lock:
            kept = self._latest.get(names)
            # Never back to a state before another thread's change, which that thread would miss.
            if kept is None or kept.seq_no < journal.seq_no:
                self._latest[names] = copy.deepcopy(journal)

    def _made_anew(self, names: Names) -> Names:
        """The index that took the place of one that is gone, for which a moment is waited; raises IndexGoneError."""
        for pause in (0.0, 0.1, 0.3, 0.6):
            time.sleep(pause)
            found = self._indexes.look_again(names)
            if found is not None and found != names:
                return found
        raise IndexGoneError(f"index {names.index} is gone from {self._connection.url}; ingest the documents again")
