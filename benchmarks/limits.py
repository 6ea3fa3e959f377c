"""The bare stores, as the limit of what ingestion into them can be: words alone, cut anyhow, no files, no metadata."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.memory import peak_mb

_WORDS = 100
_BULK = 1000
_TOKENIZER = "porter unicode61 remove_diacritics 2"


def with_sqlite(folder: str, data: str) -> dict[str, Any]:
    """Fills a table of FTS5 in one transaction."""
    Path(data).mkdir()
    connection = sqlite3.connect(Path(data) / "bare.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    started, cpu = time.perf_counter(), time.process_time()
    connection.execute(f"CREATE VIRTUAL TABLE words USING fts5(text, tokenize = '{_TOKENIZER}')")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO words VALUES (?)", ((text,) for text in _passages(folder)))
    connection.execute("COMMIT")
    seconds = time.perf_counter() - started
    (count,) = connection.execute("SELECT count(*) FROM words").fetchone()
    connection.close()
    return _found(folder, count, seconds, time.process_time() - cpu)


def with_elasticsearch(folder: str, url: str) -> dict[str, Any]:
    """Sends bulks of documents with one field, two at a time, and refreshes once in the end."""
    from elasticsearch import Elasticsearch, helpers

    client = Elasticsearch(url, request_timeout=60)
    index = f"bench-bare-{os.getpid()}"
    text = {"type": "text", "analyzer": "english"}
    settings = {"number_of_replicas": 0, "refresh_interval": "-1"}
    client.indices.create(index=index, mappings={"properties": {"text": text}}, settings=settings)
    try:
        started, cpu = time.perf_counter(), time.process_time()
        actions = ({"_index": index, "text": text} for text in _passages(folder))
        for _ in helpers.parallel_bulk(client, actions, thread_count=2, chunk_size=_BULK):
            pass
        client.indices.refresh(index=index)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        count = client.count(index=index)["count"]
    finally:
        client.indices.delete(index=index)
        client.close()
    return _found(folder, count, seconds, cpu)


def _passages(folder: str) -> Iterator[str]:
    for path in sorted(Path(folder).rglob("*.txt")):
        words = path.read_text(encoding="utf-8").split()
        for start in range(0, len(words), _WORDS):
            yield " ".join(words[start : start + _WORDS])


def _found(folder: str, count: int, seconds: float, cpu: float) -> dict[str, Any]:
    files = sum(path.is_file() for path in Path(folder).rglob("*"))
    return {"files": files, "passages": count, "seconds": seconds, "cpu": cpu, "peak_mb": peak_mb()}
