"""E22: the embedded store where one of its calls of SQLite fails, whichever it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from haystack.schema import Document, Label

from qa_app.errors import StoreFullError
from qa_app.stores.sqlite import SQLiteDocumentStore
from tests.contract.test_files_and_labels import file_of, label
from tests.faults.table import Figure
from tests.ingesting import snapshot


class Calls:
    """What is asked of SQLite while it is counted; fails as the disk does at the ``first``, or from there on."""

    def __init__(self, first: int, *, lasting: bool) -> None:
        self.first, self.lasting = first, lasting
        self.number = 0
        self._counting = False

    @contextmanager
    def counted(self) -> Iterator[None]:
        self._counting = True
        try:
            yield
        finally:
            self._counting = False

    def note(self) -> None:
        self.number += self._counting
        if self._counting and (self.number == self.first or (self.lasting and self.number > self.first)):
            raise sqlite3.OperationalError("disk I/O error")

    def connect(self, *args: Any, **options: Any) -> sqlite3.Connection:
        """A connection that counts."""
        calls = self

        class Connection(sqlite3.Connection):
            def execute(self, *args: Any) -> sqlite3.Cursor:
                calls.note()
                return super().execute(*args)

            def executemany(self, *args: Any) -> sqlite3.Cursor:
                calls.note()
                return super().executemany(*args)

        return _connect(*args, factory=Connection, **options)


_connect = sqlite3.connect


def document() -> Document:
    return Document(id="alone", content="A gull stands alone.", meta={"kind": "bird"})


def judgements() -> list[Label]:
    return [label(id, created_at="2024-11-12 09:30:00", updated_at="2024-11-12 09:30:00") for id in ("1", "2")]


#: What is done in turn; each may be done twice.
STEPS: list[Callable[[SQLiteDocumentStore], Any]] = [
    lambda store: store.write_files([file_of("f", "One river.", "Two rivers."), file_of("g", "A lake.")]),
    lambda store: store.write_files([file_of("f", "One river.", "Three rivers.", version="2"), file_of("h", "A sea.")]),
    lambda store: store.write_documents([document()]),
    lambda store: store.write_documents([document()], duplicate_documents="skip"),
    lambda store: store.update_document_meta("alone", {"kind": "gull"}),
    lambda store: store.write_labels(judgements()),
    lambda store: store.query("rivers", top_k=3),
    lambda store: store.delete_documents(filters={"name": "h.txt"}),
    lambda store: store.delete_files(["g"]),
    lambda store: store.delete_labels(ids=["1"]),
    lambda store: store.wipe_traces(),
    lambda store: store.delete_index("documents"),
]


def state(store: SQLiteDocumentStore) -> Any:
    """All that is kept."""
    files = [(file.id, file.meta, store.get_file(file.id)) for file in store.get_all_files()]
    return files, snapshot(store), [one.to_dict() for one in store.get_all_labels()]


def walk(path: Path, calls: Calls, states: list[Any]) -> None:
    """Takes the steps; the one that fails has changed nothing, and is taken again."""
    store: SQLiteDocumentStore | None = None
    for number, (step, (before, after)) in enumerate(zip(STEPS, pairwise(states), strict=True)):
        try:
            with calls.counted():
                store = store or SQLiteDocumentStore(str(path))
                step(store)
        except StoreFullError:
            store = store or SQLiteDocumentStore(str(path))
            assert state(store) == before, (calls.first, number)
            other = SQLiteDocumentStore(str(path))  # nothing is held that others would wait for
            other.write_labels([label("other")], index="others")
            other.close()
            assert store.problem() is None, (calls.first, number)
            calls.lasting = False
            step(store)
            assert state(store) == after, (calls.first, number)
    assert store is not None
    assert state(store) == states[-1], calls.first
    assert store.problem() is None
    store.close()


@pytest.mark.case("E22")
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_e22_whichever_call_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasting: bool, long: bool, figure: Figure
) -> None:
    """Whichever call fails, the write has left nothing, no other is kept waiting, and the same store goes on after."""
    store = SQLiteDocumentStore(str(tmp_path / "clean.sqlite"))
    states = [state(store)]
    for step in STEPS:
        step(store)
        states.append(state(store))
    store.close()
    stride = 1 if long else 4
    for first in count(1, stride):
        calls = Calls(first, lasting=lasting)
        monkeypatch.setattr(sqlite3, "connect", calls.connect)
        walk(tmp_path / f"{first}.sqlite", calls, states)
        if calls.number < first:
            break
    figure(f"calls of SQLite that failed, {'and all after them' if lasting else 'each once'}", (first - 1) // stride)
    assert first > 50
