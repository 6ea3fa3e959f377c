"""D1: a folder that is ingested again costs no write, and changes nothing that is found."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from qa_app import bootstrap
from qa_app.settings import Settings
from tests.elasticsearch_proxy import ElasticsearchProxy
from tests.faults.table import Figure
from tests.faults.test_rebuilt_index import FILES, QUESTIONS
from tests.ingesting import ends, ingesting, ranking, settings_for, snapshot, write

#: What changes with every write.
Writes = Callable[[], int]


@contextmanager
def embedded(data: Path) -> Iterator[tuple[Settings, Writes]]:
    """An index whose database is watched by another connection, which SQLite tells of every commit."""
    settings = settings_for(data)
    with bootstrap.open_store(settings), closing(sqlite3.connect(bootstrap.database_path(settings))) as watch:
        yield settings, lambda: int(watch.execute("PRAGMA data_version").fetchone()[0])


@contextmanager
def on_a_server(data: Path, url: str) -> Iterator[tuple[Settings, Writes]]:
    """An index whose every request goes through a proxy that counts."""
    with ElasticsearchProxy(url, lambda number: "") as proxy:
        yield settings_for(data, proxy.url, index=f"d1-{os.getpid()}"), lambda: proxy.writes


@pytest.mark.case("D1")
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
def test_d1_the_second_time_writes_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, figure: Figure
) -> None:
    """Nothing is sent to the store, or committed, by a second run; passages and the first ten of questions stay."""
    folder = write(tmp_path / "papers", FILES)
    data = tmp_path / "data"
    opened = embedded(data) if kind == "sqlite" else on_a_server(data, request.getfixturevalue("elasticsearch_url"))
    with opened as (settings, writes):
        empty = writes()
        with ingesting(settings) as ingest:
            ingest(folder)
            before = snapshot(ingest.store), ranking(ingest.store, QUESTIONS)
        first = writes()
        assert first > empty
        assert all(before[1])
        with ingesting(settings) as ingest:
            assert set(ends(ingest(folder)).values()) == {"unchanged"}
            assert (snapshot(ingest.store), ranking(ingest.store, QUESTIONS)) == before
        figure(f"writes into {kind} by the second run", writes() - first)
        assert writes() == first
