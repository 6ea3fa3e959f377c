"""Ingestion keeps a store in step with folders.

A file is known by where it lies and by what it holds: one whose bytes, metadata and splitting are those of the last
time is skipped, a changed one is replaced in one step, and with ``prune`` what is gone is removed. Nothing is marked as
done before its passages are stored, so the next run completes one that was killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from haystack import Pipeline

from qa_app.converters.identity import OWN_KEYS, file_id
from qa_app.errors import InvalidRequestError
from qa_app.pipelines.answering import run
from qa_app.pipelines.report import FileResult, Report
from qa_app.pipelines.walking import Found, Walk
from qa_app.stores.metadata import checked
from qa_app.stores.passage_store import PassageStore

#: Raised when conversion or splitting changes, so that unchanged files are indexed anew.
CONVERSION = 1
#: One batch is converted while another is written.
_IN_FLIGHT = 2
#: Some two thousand passages of small files: what a write costs beside its passages is then little.
BATCH_FILES = 256
BATCH_BYTES = 4 * 2**20
#: A person's metadata of a file; with the file's own and ours they stay within what stores keep.
_META_KEYS = 64


@dataclass
class Ingestion:
    """One run over paths.

    ``fingerprint`` stands for all settings that passages depend on; ``on_done`` is called for every file's end.
    """

    pipeline: Pipeline
    store: PassageStore
    fingerprint: str
    index: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    walk: Walk = field(default_factory=Walk)
    prune: bool = False
    on_done: Callable[[FileResult], None] = lambda result: None

    def __post_init__(self) -> None:
        self.meta = checked_meta(self.meta)
        self._suffix = version_suffix(self.fingerprint, self.meta)

    def run(self, paths: Sequence[Path]) -> Report:
        """Brings the store in step with ``paths``, files or folders.

        Raises NotFoundError for a path that is not there, before anything is written, and StoreError where the store
        fails; what was written until then stays, and the next run goes on from there.
        """
        started = time.monotonic()
        report = Report()
        for path in paths:
            next(self.walk.files(path), None)
        known = {file.id: file.meta for file in self.store.get_all_files(self.index)}
        present: set[str] = set()
        try:
            with ThreadPoolExecutor(max_workers=_IN_FLIGHT) as threads:
                running: deque[Future[list[FileResult]]] = deque()
                for batch in self._batches(self._changed(paths, known, present, report)):
                    running.append(threads.submit(self._index, batch))
                    if len(running) > _IN_FLIGHT:
                        self._add(report, running.popleft().result())
                while running:
                    self._add(report, running.popleft().result())
        finally:
            self.store.finish_writing(self.index)
        if self.prune:
            self._remove_gone(paths, known, present, report)
        report.seconds = time.monotonic() - started
        return report

    def _add(self, report: Report, results: list[FileResult]) -> None:
        for result in results:
            report.files.append(result)
            self.on_done(result)

    def _changed(
        self, paths: Sequence[Path], known: Mapping[str, Mapping[str, Any]], present: set[str], report: Report
    ) -> Iterator[tuple[Found, str, int]]:
        """Files to be converted with their ids and sizes; the others go into the report."""
        for given in paths:
            for found in self.walk.files(given):
                if found.reason == "skipped":
                    self._add(report, [FileResult(found.relative, "skipped", None, found.message)])
                    continue
                id = file_id(found.path)
                if id in present:
                    continue
                present.add(id)
                if found.reason:
                    self._add(report, [FileResult(found.relative, "rejected", found.reason, found.message)])
                    continue
                version, size = known.get(id, {}).get("version"), _size(found.path)
                if version and known[id].get("size") == size and version == f"{_sha256(found.path)}:{self._suffix}":
                    self._add(report, [FileResult(found.relative, "unchanged")])
                    continue
                yield found, id, size

    @staticmethod
    def _batches(files: Iterator[tuple[Found, str, int]]) -> Iterator[list[tuple[Found, str]]]:
        batch: list[tuple[Found, str]] = []
        size = 0
        for found, id, bytes_ in files:
            batch.append((found, id))
            size += bytes_
            if len(batch) == BATCH_FILES or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _index(self, batch: list[tuple[Found, str]]) -> list[FileResult]:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        metas = [
            {
                **self.meta,
                "file_id": id,
                "path": found.relative,
                "source": str(found.path),
                "fingerprint": self._suffix,
                "ingested_at": when,
            }
            for found, id in batch
        ]
        paths = [found.path for found, _ in batch]
        output = run(self.pipeline, file_paths=paths, meta=metas, params={"Writer": {"index": self.index}})
        rejections = {rejection["path"]: rejection for rejection in output["rejections"]}
        results = []
        for found, id in batch:
            rejection = rejections.get(str(found.path))
            if rejection:
                results.append(FileResult(found.relative, "rejected", rejection["reason"], rejection["message"]))
            elif id in output["written"]:
                results.append(FileResult(found.relative, "indexed", passages=output["written"][id]))
            else:
                results.append(
                    FileResult(found.relative, "rejected", "changed", "another process indexed it at the same time")
                )
        return results

    def _remove_gone(
        self, paths: Sequence[Path], known: Mapping[str, Mapping[str, Any]], present: set[str], report: Report
    ) -> None:
        """Removes known files under the given folders that were not there; what could not be looked into is kept."""
        roots = [Path(os.path.abspath(path.expanduser())) for path in paths]  # noqa: PTH100
        unread = {result.path for result in report.rejected if result.reason == "permission"}
        for root in roots:
            inside = {
                id: meta
                for id, meta in known.items()
                if id not in present and Path(str(meta.get("source", ""))).is_relative_to(root)
            }
            blocked = [root / path for path in unread]
            gone = {
                id: meta
                for id, meta in inside.items()
                if not any(Path(meta["source"]).is_relative_to(folder) for folder in blocked)
            }
            if gone and root.is_dir() and not any(self._files_of(root)):
                raise InvalidRequestError(
                    f"{root} holds no file any more, so --prune would remove all {len(gone)} documents from it; "
                    "is a drive not mounted? 'qa-app documents delete' removes documents"
                )
            self.store.delete_files(sorted(gone), self.index)
            present.update(gone)
            self._add(report, [FileResult(str(meta.get("path")), "removed") for meta in gone.values()])
        self.store.finish_writing(self.index)

    def _files_of(self, root: Path) -> Iterator[Found]:
        return (found for found in self.walk.files(root) if found.reason is None)


def checked_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """A person's metadata of files; raises InvalidRequestError for what cannot be kept, or is ours to write."""
    own = sorted(OWN_KEYS & meta.keys())
    if own:
        raise InvalidRequestError(f"metadata {', '.join(own)} are written by the application; choose other names")
    if any(isinstance(value, (dict, list)) for value in meta.values()):
        raise InvalidRequestError("metadata of files are texts, numbers or true/false")
    if len(meta) > _META_KEYS:
        raise InvalidRequestError(f"there are {len(meta)} metadata; at most {_META_KEYS} are taken")
    return checked(meta)


def version_suffix(fingerprint: str, meta: Mapping[str, Any]) -> str:
    """What a file's version has beside the hash of its bytes: all else that its passages depend on."""
    settings = json.dumps([CONVERSION, fingerprint, meta], sort_keys=True)
    return hashlib.sha256(settings.encode()).hexdigest()[:16]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sha256(path: Path) -> str | None:
    """The hash of the file's bytes; None where it cannot be read, which its conversion will explain."""
    digest = hashlib.sha256()
    try:
        # A pipe put in the file's place since it was looked at must not stop the run.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()
