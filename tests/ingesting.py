"""Ingestion as the command does it, within a test's own process and on a store of its choice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from haystack.schema import Document

from qa_app import bootstrap
from qa_app.pipelines.report import FileResult, Report
from qa_app.pipelines.walking import Walk
from qa_app.settings import Settings, load
from qa_app.stores.passage_store import PassageStore
from tests.conftest import ENGINES


def settings_for(data_dir: Path, elasticsearch_url: str | None = None, **overrides: Any) -> Settings:
    """Settings of an embedded store in ``data_dir``, or of the server."""
    values: dict[str, Any] = {
        "data_dir": str(data_dir),
        "reader_model": "bundled",
        "reader_engine": "openvino",
        "reader_engine_cache": str(ENGINES),
        **overrides,
    }
    if elasticsearch_url:
        values |= {"store": "elasticsearch", "elasticsearch_url": elasticsearch_url}
    return load(values, environment={})


@contextmanager
def ingesting(settings: Settings, **options: Any) -> Iterator[Any]:
    """A function that ingests paths, and has the store as ``.store``; converting processes are shared by its calls."""
    walk = Walk(**{key: options.pop(key) for key in ("follow_symlinks", "hidden", "exclude") if key in options})
    seen: list[FileResult] = []
    with (
        bootstrap.open_store(settings) as store,
        bootstrap.open_ingestion(
            settings,
            store,
            meta=options.pop("meta", {}),
            walk=walk,
            prune=options.pop("prune", False),
            on_done=seen.append,
        ) as ingestion,
    ):

        def ingest(*paths: Path) -> Report:
            return ingestion.run(list(paths))

        ingest.store = store  # type: ignore[attr-defined]
        ingest.ingestion = ingestion  # type: ignore[attr-defined]
        ingest.seen = seen  # type: ignore[attr-defined]
        yield ingest


def ends(report: Report) -> dict[str, str]:
    """How each file of a report ended: its status, or the reason of its rejection."""
    return {result.path: result.reason or result.status for result in report.files}


def snapshot(store: PassageStore) -> list[tuple[str, str, str]]:
    """Every passage as its id, its content's hash and its metadata; equal where two stores hold the same."""
    return sorted(
        (
            document.id,
            hashlib.sha256(document.content.encode()).hexdigest(),
            repr(sorted(document.meta.items(), key=str)),
        )
        for document in store.get_all_documents()
    )


def ranking(store: PassageStore, questions: Iterable[str]) -> list[list[tuple[str, float]]]:
    """The passages of each question with their scores; those that are equally good by their ids.

    Of many more than there are, as which of equally good ones come within the first ten is the store's own matter.
    """
    found = [store.query(question, top_k=500) for question in questions]
    scored = [[(passage.id, round(passage.score or 0.0, 5)) for passage in passages] for passages in found]
    return [sorted(passages, key=lambda one: (-one[1], one[0])) for passages in scored]


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Files under ``folder``, made with their folders."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def half(store: PassageStore, texts: Iterable[str]) -> str:
    """A file of which some passages are found, but not all of one of the texts; empty where there is none."""
    ends = {hashlib.sha256(text.encode()).hexdigest(): len(text.rstrip()) for text in texts}
    found: dict[str, list[Document]] = {}
    for passage in store.get_all_documents():
        found.setdefault(passage.meta["file_id"], []).append(passage)
    for id, passages in found.items():
        places = sorted((passage.meta["start"], passage.meta["end"]) for passage in passages)
        gaps = [(one, two) for one, two in pairwise(places) if two[0] > one[1] + 2]
        versions = {passage.meta["sha256"] for passage in passages}
        if places[0][0] or gaps or len(versions) > 1 or places[-1][1] != ends[versions.pop()]:
            return f"{id} {places}"
    return ""
