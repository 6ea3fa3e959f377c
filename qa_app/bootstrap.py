"""The composition root: settings in, ready services out; the only place that constructs them.

Everything is imported and opened when it is asked for: a store costs milliseconds (SQLite) or a round trip
(Elasticsearch), the reader seconds.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qa_app.errors import ConflictError, StoreError, StoreUnavailableError
from qa_app.settings import Settings

if TYPE_CHECKING:
    from haystack import BaseComponent, Pipeline

    from qa_app.evaluation.pipeline import PipelineEvaluation
    from qa_app.pipelines.ingestion import Ingestion
    from qa_app.pipelines.report import FileResult
    from qa_app.pipelines.uploads import Uploads
    from qa_app.pipelines.walking import Walk
    from qa_app.reading.promoted import PromotedReaders
    from qa_app.reading.reader import PassageReader
    from qa_app.stores.passage_store import PassageStore


def label_index(index: str) -> str:
    """The index of the labels that belong to an index of documents."""
    return f"{index}-labels"


@contextmanager
def open_store(settings: Settings) -> Iterator[PassageStore]:
    """The store that the settings choose, closed at the end. Raises StoreError and SettingsError."""
    store: PassageStore
    if settings.store == "sqlite":
        from qa_app.stores.sqlite import SQLiteDocumentStore

        store = SQLiteDocumentStore(
            path=str(database_path(settings)), index=settings.index, label_index=label_index(settings.index)
        )
    else:
        from qa_app.stores.elasticsearch import ElasticsearchDocumentStore

        store = ElasticsearchDocumentStore(
            url=settings.elasticsearch_url,
            username=settings.elasticsearch_username,
            password=settings.elasticsearch_password,
            api_key=settings.elasticsearch_api_key,
            ca_certs=settings.elasticsearch_ca_certs,
            index=settings.index,
            label_index=label_index(settings.index),
            shards=settings.elasticsearch_shards,
            replicas=settings.elasticsearch_replicas,
            timeout=settings.elasticsearch_timeout,
            wait=settings.elasticsearch_wait,
        )
    try:
        yield store
    finally:
        store.close()


def database_path(settings: Settings) -> Path:
    """Where the embedded store lives."""
    return settings.data_path / "store.sqlite"


def promoted_readers(settings: Settings) -> PromotedReaders:
    """The readers that took the place of those in settings."""
    from qa_app.reading.promoted import PromotedReaders

    return PromotedReaders(settings.data_path / "readers")


def open_reader(settings: Settings, window: int = 256, *, chosen: str | None = None) -> PassageReader:
    """The reader that the settings name or that took its place, as :func:`open_reader_of` opens it.

    A reader that a person has ``chosen`` for this once stands for itself.
    """
    return open_reader_of(settings, chosen or promoted_readers(settings).current(settings.reader_model), window)


def open_reader_of(settings: Settings, model: str, window: int = 256) -> PassageReader:
    """The reader ``model``, loaded, taking ``window`` tokens at once. Raises ModelError, and SettingsError."""
    from qa_app.reading.reader import PassageReader

    return PassageReader(
        model=model,
        engine=settings.reader_engine,
        top_k=settings.reader_top_k,
        context_window_size=settings.reader_context,
        max_seq_len=window,
        engine_cache=str(settings.engine_cache_path),
        calibrations=str(settings.calibrations_path),
        min_precision=settings.reader_min_precision,
    )


def build_answering(settings: Settings, store: PassageStore, reader: PassageReader) -> Pipeline:
    """The pipeline from a question to answers."""
    from qa_app.pipelines.answering import answering_pipeline

    return answering_pipeline(store, reader, passages=settings.retriever_top_k)


@contextmanager
def open_indexing(settings: Settings, store: PassageStore) -> Iterator[Pipeline]:
    """The pipeline from files to the store; its converting processes end with the block."""
    from qa_app.converters.nodes import FileConverter
    from qa_app.pipelines.indexing import indexing_pipeline
    from qa_app.splitting.splitter import PassageSplitter

    converter = FileConverter(
        workers=settings.ingest_workers,
        timeout=settings.ingest_timeout,
        memory_mb=settings.ingest_memory_mb,
        max_file_mb=settings.ingest_max_file_mb,
    )
    splitter = PassageSplitter(words=settings.passage_words, overlap=settings.passage_overlap)
    try:
        yield indexing_pipeline(converter, splitter, store, _enriching(settings))
    finally:
        converter.close()


def _enriching(settings: Settings) -> dict[str, BaseComponent]:
    """The models that enrich passages, loaded, by the names of their nodes. Raises ModelError."""
    if not settings.enriches:
        return {}  # and torch stays outside
    from qa_app.reading.enrichment import PassageClassifier, PassageEntities

    nodes: dict[str, BaseComponent] = {}
    if settings.enrich_classifier:
        nodes["Classifier"] = PassageClassifier(model=settings.enrich_classifier)
    if settings.enrich_entities:
        nodes["Entities"] = PassageEntities(model=settings.enrich_entities)
    return nodes


@contextmanager
def open_ingestion(
    settings: Settings,
    store: PassageStore,
    *,
    meta: Mapping[str, Any],
    walk: Walk,
    prune: bool,
    on_done: Callable[[FileResult], None],
) -> Iterator[Ingestion]:
    """An ingestion, ready to run; one at a time for an embedded index. Raises ConflictError."""
    from qa_app.pipelines.ingestion import Ingestion

    with _alone(settings), open_indexing(settings, store) as pipeline:
        yield Ingestion(
            pipeline=pipeline,
            store=store,
            fingerprint=_fingerprint(settings),
            index=settings.index,
            meta=meta,
            walk=walk,
            prune=prune,
            on_done=on_done,
        )


@contextmanager
def open_uploads(settings: Settings, store: PassageStore) -> Iterator[Uploads]:
    """Uploads, with the threads that index them; also those that another process accepted and left."""
    from qa_app.pipelines.job_runner import JobRunner
    from qa_app.pipelines.jobs import Jobs
    from qa_app.pipelines.originals import Originals
    from qa_app.pipelines.uploads import Uploads

    folder = settings.data_path
    jobs = Jobs(folder / "jobs", settings.ingest_max_file_mb * 2**20)
    originals, wipe = Originals(folder / "originals"), folder / "wipe"
    with open_indexing(settings, store) as pipeline:
        runner = JobRunner(jobs, originals, pipeline, store, _fingerprint(settings), wipe)
        runner.start()
        try:
            yield Uploads(store, runner, wipe)
        finally:
            runner.close()


@contextmanager
def open_pipeline_evaluation(settings: Settings, *, chosen: str | None = None) -> Iterator[PipelineEvaluation]:
    """The answering pipeline over an index of its own, which is gone at the end; what is indexed is left alone.

    ``chosen`` as in :func:`open_reader`.
    """
    from qa_app.evaluation.pipeline import PipelineEvaluation
    from qa_app.pipelines.answering import ask
    from qa_app.splitting.splitter import PassageSplitter

    with _scratch_store(settings) as store:
        reader = open_reader(settings, chosen=chosen)
        pipeline = build_answering(settings, store, reader)
        yield PipelineEvaluation(
            ask=partial(ask, pipeline),
            retrieve=pipeline.get_node("Retriever").retrieve,
            reader=reader,
            splitter=PassageSplitter(words=settings.passage_words, overlap=settings.passage_overlap),
            store=store,
        )


@contextmanager
def _scratch_store(settings: Settings) -> Iterator[PassageStore]:
    """An empty store of the kind that the settings choose; removed at the end, however that comes about."""
    if settings.store == "sqlite":
        with (
            tempfile.TemporaryDirectory(prefix="qa-app-") as folder,
            open_store(replace(settings, data_dir=folder)) as store,
        ):
            yield store
        return
    with open_store(replace(settings, index=f"evaluation-{secrets.token_hex(6)}")) as store:
        try:
            yield store
        finally:
            try:
                store.delete_index(store.index)
            except StoreError as error:
                raise StoreError(f"the index {store.index} could not be removed, delete it by hand: {error}") from error


def _fingerprint(settings: Settings) -> str:
    """The settings that passages depend on, and the models, by what is in them."""
    from qa_app.reading.model_files import CLASSIFIER, ENTITIES, fingerprint
    from qa_app.reading.resolution import resolve

    parts = [f"{settings.passage_words} {settings.passage_overlap}"]
    for purpose, model in ((CLASSIFIER, settings.enrich_classifier), (ENTITIES, settings.enrich_entities)):
        if model:
            parts.append(f"{purpose.setting} {fingerprint(resolve(model, purpose).folder)}")
    return " ".join(parts)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Keeps a second ingestion of the data folder out; the system lets go of the lock however this process ends."""
    if settings.store != "sqlite":
        yield  # Elasticsearch's records tell writers on any machine apart.
        return
    path = settings.data_path / "ingest.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="ascii")
    except OSError as error:
        raise StoreUnavailableError(f"{path} cannot be written: {error.strerror}; choose another data_dir") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConflictError(
                f"another ingestion (process {file.read().strip() or 'unknown'}) is writing to {settings.data_path}; "
                "wait until it is done"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
