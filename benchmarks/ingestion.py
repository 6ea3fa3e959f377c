"""From files to a searchable store: plain texts of 3 to 5 KB, read, cut into passages and written."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import child, formats
from benchmarks.ingesting import A_FILE, warm_up
from benchmarks.report import Cell, Plot, Table

#: Haystack's wait for refreshes makes its writing take seconds a thousand passages.
_MOST_HAYSTACK = 10_000
_MODULE = "benchmarks.ingestion"


def measure(passages: int, url: str | None) -> list[Table]:
    """Ingests about ``passages`` passages into either store, fewer with stock Haystack v1, fewer as PDF and Word."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts, fewer = folder / "texts", folder / "fewer"
        notes = [
            "Seconds run from the first look into the folder until the last passage can be found, without imports. CPU "
            "seconds are those of the process and the converting ones, not of the server.",
            "Peak memory is the process's own; converting children are the processes that read files, all together. "
            "Memory at 25, 50, 75 and 100 % of the files shows whether it grows with them.",
        ]
        child.say(f"ingestion: making {passages // A_FILE:,} files")
        child.run("benchmarks.ingesting", "make_files", folder=str(texts), files=passages // A_FILE)
        rows: list[dict[str, Cell]] = []
        stages: list[dict[str, Cell]] = []
        if url:
            warmed = warm_up(folder / "warm", passages, url)
            notes.append(f"{warmed} Haystack is measured after us, on the same server.")
        for store, address in (("SQLite", None), ("Elasticsearch", url)):
            if store == "SQLite" or address:
                child.say(f"ingestion: qa_app into {store}")
                found = child.run(
                    "benchmarks.ingesting",
                    "with_qa_app",
                    folder=str(texts),
                    data=str(folder / f"data-{store}"),
                    url=address,
                )
                rows.append(_row(f"qa_app, {store}", found))
        child.say("ingestion: the bare stores")
        bare = child.run("benchmarks.limits", "with_sqlite", folder=str(texts), data=str(folder / "bare"))
        rows.append(_row("bare SQLite", bare))
        if url:
            bare = child.run("benchmarks.limits", "with_elasticsearch", folder=str(texts), url=url)
            rows.append(_row("bare Elasticsearch", bare))
        notes.append("The bare stores get words alone, without files, metadata or places: no ingestion can be faster.")
        if url:
            files = min(passages, _MOST_HAYSTACK) // A_FILE
            child.run("benchmarks.ingesting", "make_files", folder=str(fewer), files=files)
            for refresh, kind in (("wait_for", "as it comes"), ("false", "not waiting for refreshes")):
                child.say(f"ingestion: Haystack v1, {kind}")
                found = child.run(_MODULE, "with_haystack", folder=str(fewer), url=url, refresh=refresh)
                rows.append(_row(f"Haystack v1, {kind}", found))
                stages.append(_stages(f"Haystack v1, {kind}", found))
                notes += [note for note in found["notes"] if note not in notes]
            stock = rows[-2]["passages a second"]
            assert isinstance(stock, float)
            for row in rows:
                rate = row["passages a second"]
                assert isinstance(rate, float)
                row["times Haystack"] = rate / stock
        plot = Plot("passages a second", [(str(row[""]), float(row["passages a second"] or 0)) for row in rows])
        tables = [Table("ingestion", "Ingestion of plain text", rows, notes, plot)]
        if stages:
            tables.append(Table("ingestion_stages", "Where stock Haystack's ingestion spends its time", stages))
        return [*tables, formats.measure(folder, passages)]


def _row(name: str, found: dict[str, Any]) -> dict[str, Cell]:
    quarters = found.get("quarters_mb")
    return {
        "": name,
        "files": found["files"],
        "passages": found["passages"],
        "seconds": found["seconds"],
        "passages a second": found["passages"] / found["seconds"],
        "times Haystack": None,
        "CPU seconds": found["cpu"],
        "peak memory, MB": found["peak_mb"],
        "at 25/50/75/100 %, MB": " / ".join(map(str, quarters)) if quarters else None,
        "converting children, MB": found.get("children_mb"),
    }


def _stages(name: str, found: dict[str, Any]) -> dict[str, Cell]:
    return {"": name, **{f"{stage}, s": seconds for stage, seconds in found["stages"].items()}}


def with_haystack(folder: str, url: str, refresh: str) -> dict[str, Any]:
    """Ingests the folder with Haystack's own nodes, stage after stage, each with all files at once."""
    from urllib.parse import urlsplit

    from haystack.document_stores import ElasticsearchDocumentStore
    from haystack.nodes import PreProcessor, TextConverter

    from benchmarks.memory import peak_mb

    paths = sorted(Path(folder).rglob("*.txt"))
    converter = TextConverter()
    splitter = PreProcessor(split_by="word", split_length=100, split_overlap=20, progress_bar=False)
    # It looks for its data when it is made, and fetches them where it may.
    whole = splitter.split_respect_sentence_boundary = _finds_sentences()
    address = urlsplit(url)
    index = f"bench-haystack-{os.getpid()}"
    store = ElasticsearchDocumentStore(
        host=address.hostname,
        port=address.port,
        scheme=address.scheme,
        index=index,
        label_index=f"{index}-labels",
        embedding_field="",
        refresh_type=refresh,
    )
    cpu = _cpu()
    marks = [time.perf_counter()]
    files = [document for path in paths for document in converter.convert(file_path=path, meta={"name": path.name})]
    marks.append(time.perf_counter())
    passages = splitter.process(files)
    marks.append(time.perf_counter())
    store.write_documents(passages)
    if refresh == "false":
        store.client.indices.refresh(index=index)
    marks.append(time.perf_counter())
    cpu = _cpu() - cpu
    count = store.get_document_count()
    store.delete_index(index)
    store.delete_index(f"{index}-labels")
    notes = [
        "Haystack v1 is TextConverter, PreProcessor (100 words, overlap 20) and ElasticsearchDocumentStore, without "
        "embeddings. Each has all files at once, which waits for fewer refreshes than a file at a time would.",
    ]
    if not whole:
        notes.append(
            "PreProcessor's data for sentences (NLTK's punkt_tab) were not at hand: it cut at words, which is faster."
        )
    return {
        "files": len(paths),
        "passages": count,
        "seconds": marks[-1] - marks[0],
        "cpu": cpu,
        "peak_mb": peak_mb(),
        "stages": {name: marks[i + 1] - marks[i] for i, name in enumerate(("convert", "split", "write"))},
        "notes": notes,
    }


def _cpu() -> float:
    """Seconds of CPU that this process and its ended children have had."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _finds_sentences() -> bool:
    """Whether NLTK's data for English sentences are at hand."""
    from nltk.tokenize.punkt import PunktTokenizer

    try:
        PunktTokenizer("english")
    except LookupError:
        return False
    return True
