"""Uploaded files from their acceptance to their deletion."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from haystack.schema import Document

from qa_app.errors import NotFoundError, StoreFullError, StoreUnavailableError
from qa_app.pipelines.job_runner import JobRunner
from qa_app.pipelines.jobs import Intake, Job
from qa_app.stores.passage_store import PassageStore


class Uploads:
    """What the API does with files; for any number of threads."""

    def __init__(self, store: PassageStore, runner: JobRunner, wipe: Path) -> None:
        self._store = store
        self._runner = runner
        self._wipe = wipe
        self.jobs = runner.jobs
        self.originals = runner.originals

    def receive(self) -> AbstractContextManager[Intake]:
        """Where a form's files go; see :meth:`Jobs.receive`."""
        return self.jobs.receive()

    def accept(self, intake: Intake, index: str | None, meta: Mapping[str, Any], replace: bool) -> Job:
        """The job of an intake, which will be done whatever happens; raises InvalidRequestError for metadata."""
        job = self.jobs.accept(intake, index or self._store.index, meta, replace=replace)
        self._runner.wake()
        return job

    def outcome(self, id: str) -> Job:
        """The job, for somebody who waits for it; one that cannot go on is dropped, and the reason raised."""
        job = self.jobs.get(id)
        if job.status == "waiting":
            self.jobs.cancel(id)
            raise (StoreFullError if job.code == StoreFullError.code else StoreUnavailableError)(job.message)
        return job

    def delete_file(self, id: str, index: str | None = None) -> Document:
        """Removes a file, its passages and its uploaded original; gives its record, or raises NotFoundError."""
        file = self._store.get_file(id, index)
        if file is None or not self._store.delete_files([id], index):
            raise NotFoundError(f"there is no file {id[:80]!r}")
        self._store.finish_writing(index)
        self._forget(id, file, index)
        self._wipe.touch()
        return file

    def delete_documents(self, filters: Any, index: str | None = None) -> None:
        """Removes the passages that match; files that lose all of theirs go with them. An empty filter is refused."""
        touched = self._store.get_metadata_values_by_key("file_id", filters=filters, index=index) if filters else []
        ids = [str(entry["value"]) for entry in touched]
        files = [file for id in ids if (file := self._store.get_file(id, index)) is not None]
        self._store.delete_documents(index=index, filters=filters)
        self._store.finish_writing(index)
        for file in files:
            if self._store.get_file(file.id, index) is None:
                self._forget(file.id, file, index)
        self._wipe.touch()

    def delete_everything(self, index: str) -> None:
        """Empties an index."""
        self._store.delete_all_documents(index=index)
        self.originals.remove_all(index)
        self._wipe.touch()

    def unfinished(self) -> int:
        """How many jobs are not done."""
        return len(self.jobs.unfinished())

    def _forget(self, id: str, file: Document, index: str | None) -> None:
        self.originals.remove(index or self._store.index, id, str(file.meta.get("sha256", "")))
