"""The process that searches: fills the stores, asks every question of each, and compares what they find."""

from __future__ import annotations

import os
import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.child import say
from benchmarks.corpus import Corpus, Passage
from benchmarks.server import wait_for_merges
from qa_app.haystack_without_torch import import_haystack

import_haystack()

from haystack.document_stores import ElasticsearchDocumentStore as HaystackStore  # noqa: E402
from haystack.schema import Document  # noqa: E402

from qa_app.stores.elasticsearch import ElasticsearchDocumentStore  # noqa: E402
from qa_app.stores.passage_store import PassageStore  # noqa: E402
from qa_app.stores.sqlite import SQLiteDocumentStore  # noqa: E402
from qa_app.stores.sqlite_search import words_of  # noqa: E402

_A_TEXT = 8
_TEXTS = 500
_TOP_K = 10
_SQLITE, _ELASTICSEARCH, _HAYSTACK = "qa_app, SQLite", "qa_app, Elasticsearch", "Haystack v1, Elasticsearch"
Query = Callable[[str], list[Document]]


def in_all(folder: str, passages: int, questions: int, url: str | None) -> dict[str, Any]:
    """Seconds and finds of every store, and how they agree; on the server only where there is ``url``."""
    path = Path(folder) / "store.sqlite"
    corpus = Corpus()
    index = f"bench-{os.getpid()}"
    texts = max(passages // _A_TEXT, 1)
    asked = _questions(corpus, texts, questions + 1)

    embedded = SQLiteDocumentStore(path=str(path))
    stores: dict[str, PassageStore] = {_SQLITE: embedded}
    if url:
        stores[_ELASTICSEARCH] = ElasticsearchDocumentStore(url=url, index=index, label_index=f"{index}-labels")
    stock = _haystack_store(url, f"{index}-haystack") if url else None
    try:
        _fill(corpus, texts, stores, stock)
        embedded.close()
        stores[_SQLITE] = embedded = SQLiteDocumentStore(path=str(path))
        if url:
            stores[_ELASTICSEARCH].close()
            stores[_ELASTICSEARCH] = ElasticsearchDocumentStore(url=url, index=index, label_index=f"{index}-labels")
        queries: dict[str, Query] = {name: _asking(store) for name, store in stores.items()}
        if stock is not None:
            queries[_HAYSTACK] = _asking(stock)
        if url:
            wait_for_merges(url)
        seconds, found = _ask(queries, [question for question, _ in asked])
        say("search: exact scoring, to compare with")
        exact = _exact(path, embedded.index, [question for question, _ in asked[1:]])
    finally:
        if stock is not None:
            stores[_ELASTICSEARCH].delete_index(index)
            stock.delete_index(stock.index)
            stock.delete_index(stock.label_index)
        for store in stores.values():
            store.close()
    targets = [id for _, id in asked[1:]]
    agreement = {"SQLite with exact scoring": overlap(found[_SQLITE], exact)}
    if url:
        agreement["SQLite with Elasticsearch"] = overlap(found[_SQLITE], found[_ELASTICSEARCH])
    return {
        "passages": texts * _A_TEXT,
        "stores": {
            name: {
                "first": some[0],
                "seconds": some[1:],
                "first_hits": sum(ids[:1] == [id] for ids, id in zip(found[name], targets)),
                "hits": sum(id in ids for ids, id in zip(found[name], targets)),
            }
            for name, some in seconds.items()
        },
        "agreement": agreement,
    }


def overlap(one: list[list[str]], other: list[list[str]]) -> tuple[float, float]:
    """The share of questions whose first ids are equal, and the mean share of ids that both have."""
    firsts = [a[:1] == b[:1] for a, b in zip(one, other)]
    shared = [len(set(a) & set(b)) / max(len(a), len(b)) for a, b in zip(one, other) if a or b]
    return statistics.fmean(firsts), statistics.fmean(shared)


def _questions(corpus: Corpus, texts: int, count: int) -> list[tuple[str, str]]:
    """Questions with the ids of their passages, spread over all texts."""
    result = []
    for number in range(count):
        text = number * texts // count
        passages = corpus.passages(text, _A_TEXT)
        which = number % _A_TEXT
        result.append((corpus.question(passages[which], number), f"{text}-{which}"))
    return result


def _fill(corpus: Corpus, texts: int, stores: dict[str, PassageStore], stock: Any) -> None:
    for start in range(0, texts, _TEXTS):
        if start % (_TEXTS * 10) == 0:
            say(f"search: {start * _A_TEXT:,} of {texts * _A_TEXT:,} passages are there")
        files = [_file(n, corpus.passages(n, _A_TEXT)) for n in range(start, min(start + _TEXTS, texts))]
        for store in stores.values():
            store.write_files(files)
        if stock is not None:
            stock.write_documents([passage for _, passages in files for passage in passages])
    for store in stores.values():
        store.finish_writing()
    if stock is not None:
        stock.client.indices.refresh(index=stock.index)


def _file(number: int, passages: list[Passage]) -> tuple[Document, list[Document]]:
    """A text and its passages with the metadata that an ingestion would give them."""
    id, name = f"text-{number}", f"text-{number:06}.txt"
    text = "\n\n".join(passage.text for passage in passages)
    documents = []
    start = 0
    for which, passage in enumerate(passages):
        meta = {"name": name, "path": name, "file_id": id, "start": start, "end": start + len(passage.text)}
        documents.append(Document(content=passage.text, id=f"{number}-{which}", meta=meta))
        start += len(passage.text) + 2
    return Document(content=text, id=id, meta={"name": name, "path": name, "version": "1"}), documents


def _haystack_store(url: str, index: str) -> Any:
    address = urlsplit(url)
    return HaystackStore(
        host=address.hostname,
        port=address.port,
        scheme=address.scheme,
        index=index,
        label_index=f"{index}-labels",
        embedding_field="",
        refresh_type="false",
    )


def _asking(store: Any) -> Query:
    def query(question: str) -> list[Document]:
        found: list[Document] = store.query(question, top_k=_TOP_K)
        return found

    return query


def _ask(queries: dict[str, Query], questions: list[str]) -> tuple[dict[str, list[float]], dict[str, list[list[str]]]]:
    """Seconds for every question, and the ids that all but the first, which warms up, found."""
    seconds: dict[str, list[float]] = {name: [] for name in queries}
    found: dict[str, list[list[str]]] = {name: [] for name in queries}
    for number, question in enumerate(questions):
        if number % 100 == 0:
            say(f"search: question {number} of {len(questions)}")
        for name, query in queries.items():
            started = time.perf_counter()
            documents = query(question)
            seconds[name].append(time.perf_counter() - started)
            if number:
                found[name].append([document.id for document in documents])
    return seconds, found


def _exact(path: Path, index: str, questions: list[str]) -> list[list[str]]:
    """The ids that FTS5 ranks first among all passages with any word of the question."""
    connection = sqlite3.connect(path)
    try:
        (n,) = connection.execute("SELECT number FROM indexes WHERE name = ?", (index,)).fetchone()
        result = []
        for question in questions:
            expression = " OR ".join(f'"{word}"' for word in words_of(question))
            rows = connection.execute(
                f"SELECT rowid FROM words_{n} WHERE words_{n} MATCH ? ORDER BY rank, rowid LIMIT ?",
                (expression, _TOP_K),
            ).fetchall()
            ids = dict(
                connection.execute(
                    f"SELECT number, id FROM documents_{n} WHERE number IN ({', '.join('?' * len(rows))})",
                    [number for (number,) in rows],
                ).fetchall()
            )
            result.append([ids[number] for (number,) in rows])
    finally:
        connection.close()
    return result
