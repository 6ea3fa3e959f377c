"""Uploaded files from their acceptance to their deletion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from haystack.schema import Document

from qa_app.errors import NotFoundError, StoreDamagedError, StoreError, StoreFullError, StoreUnavailableError
from qa_app.pipelines.job_runner import JobRunner
from qa_app.pipelines.jobs import Intake, Job
from qa_app.pipelines.originals import translated
from qa_app.stores.passage_store import PassageStore

#: What a job waits for to end, by its code.
_WAITED_FOR = {kind.code: kind for kind in (StoreError, StoreUnavailableError, StoreFullError, StoreDamagedError)}


class Uploads:
    """What the API does with files; for any number of threads."""

    def __init__(self, store: PassageStore, runner: JobRunner, wipe: Path) -> None:
        self._store = store
        self._runner = runner
        self._wipe = wipe
        self.jobs = runner.jobs
        self.originals = runner.originals

    @contextmanager
    def receive(self) -> Iterator[Intake]:
        """Where a form's files go; see :meth:`Jobs.receive`."""
        with self.jobs.receive() as intake:
            yield intake
        self._runner.wake()  # not before: within the block the job is still held

    def accept(self, intake: Intake, index: str | None, meta: Mapping[str, Any], replace: bool) -> Job:
        """The job of an intake, which will be done whatever happens; raises InvalidRequestError for metadata."""
        return self.jobs.accept(intake, index or self._store.index, meta, replace=replace)

    def outcome(self, id: str) -> Job:
        """The job, for somebody who waits for it; one that cannot go on is dropped, and the reason raised."""
        job = self.jobs.get(id)
        if job.status != "waiting":
            return job
        if not self.jobs.cancel(id):
            return self.jobs.get(id)  # it went on meanwhile
        raise _WAITED_FOR.get(job.code, StoreUnavailableError)(job.message)

    def delete_file(self, id: str, index: str | None = None) -> Document:
        """Removes a file, its passages and its uploaded original; gives its record, or raises NotFoundError."""
        file = self._store.get_file(id, index)
        if file is None:
            raise NotFoundError(f"there is no file {id[:80]!r}")
        with self._deleting():
            # First: a deletion that is cut off is repeated, an original without a record would be found by nobody.
            self._forget(id, file, index)
            if not self._store.delete_files([id], index):
                raise NotFoundError(f"there is no file {id[:80]!r}")
            self._store.finish_writing(index)
        return file

    def delete_documents(self, filters: Any, index: str | None = None) -> None:
        """Removes the passages that match; files that lose all of theirs go with them. An empty filter is refused."""
        touched = self._store.get_metadata_values_by_key("file_id", filters=filters, index=index) if filters else []
        ids = [str(entry["value"]) for entry in touched]
        files = [file for id in ids if (file := self._store.get_file(id, index)) is not None]
        with self._deleting():
            self._store.delete_documents(index=index, filters=filters)
            self._store.finish_writing(index)
            for file in files:
                if self._store.get_file(file.id, index) is None:
                    self._forget(file.id, file, index)

    def delete_everything(self, index: str) -> None:
        """Empties an index."""
        with self._deleting():
            self.originals.remove_all(index)
            self._store.delete_all_documents(index=index)

    def unfinished(self) -> int:
        """How many jobs are not done."""
        return len(self.jobs.unfinished())

    @contextmanager
    def _deleting(self) -> Iterator[None]:
        """Has traces wiped, of a deletion that is cut off too; twice, as the first time may come before its end."""
        with translated(self._wipe):
            self._wipe.parent.mkdir(parents=True, exist_ok=True)
            self._wipe.touch()
        try:
            yield
        finally:
            with translated(self._wipe):
                self._wipe.touch()

    def _forget(self, id: str, file: Document, index: str | None) -> None:
        self.originals.remove(index or self._store.index, id, str(file.meta.get("sha256", "")))
