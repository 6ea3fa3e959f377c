"""The same behaviour, on both stores."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qa_app.stores.passage_store import PassageStore
from qa_app.stores.sqlite import SQLiteDocumentStore

_counter = itertools.count()


@pytest.fixture(params=["sqlite", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PassageStore]:
    """An empty store of each kind; an index of its own for every test."""
    if request.param == "sqlite":
        embedded = SQLiteDocumentStore(path=str(tmp_path / "store.sqlite"))
        yield embedded
        embedded.close()
        return
    from qa_app.stores.elasticsearch import ElasticsearchDocumentStore

    prefix = f"t{os.getpid()}-{next(_counter)}"
    server = ElasticsearchDocumentStore(
        url=request.getfixturevalue("elasticsearch_url"), index=f"{prefix}-documents", label_index=f"{prefix}-labels"
    )
    before = set(server.get_indexes()) - {server.index}
    yield server
    for name in set(server.get_indexes()) - before:
        server.delete_index(name)
    server.delete_index(server.label_index)
    server.close()
