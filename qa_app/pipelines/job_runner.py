"""Indexes uploads: takes jobs from their folder, whoever accepted them, until each is done."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from haystack import Pipeline
from haystack.schema import Document

from qa_app.errors import StoreError
from qa_app.pipelines.answering import run
from qa_app.pipelines.ingestion import BATCH_BYTES, BATCH_FILES, version_suffix
from qa_app.pipelines.jobs import UNREADABLE, Job, JobFile, Jobs, held, now, read_job, write_job
from qa_app.pipelines.originals import Originals
from qa_app.stores.passage_store import PassageStore

logger = logging.getLogger(__name__)

#: Marks files that came as uploads; ingestion's are marked by their ``source``.
UPLOADED = "uploaded"
_THREADS = 2
_LOOK = 1.0
_LONGEST_PAUSE = 30.0
_SWEEP = 3600.0


class JobRunner:
    """Threads that complete jobs, each by one process at a time.

    ``fingerprint`` stands for the settings that passages depend on. A store that is down or full makes a job wait, and
    be tried again, for ever.
    """

    def __init__(
        self, jobs: Jobs, originals: Originals, pipeline: Pipeline, store: PassageStore, fingerprint: str, wipe: Path
    ) -> None:
        self.jobs = jobs
        self.originals = originals
        self._pipeline = pipeline
        self._store = store
        self._fingerprint = fingerprint
        self._wipe = wipe
        self._stop = threading.Event()
        self._wake = threading.Event()
        #: Job -> when it may be tried again, and the pause after that.
        self._pauses: dict[str, tuple[float, float]] = {}
        self._swept = 0.0
        self._threads = [threading.Thread(target=self._serve, name=f"jobs-{n}", daemon=True) for n in range(_THREADS)]

    def start(self) -> None:
        """Begins; jobs that a killed process left come first."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is a new job."""
        self._wake.set()

    def close(self) -> None:
        """Ends at the next batch; what is not done is left to others, or to the next start."""
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                self._wake.clear()
                done = 0
                for folder in self.jobs.unfinished():
                    done += not self._stop.is_set() and self._try(folder)
                if not done:
                    self._tidy()
                    self._wake.wait(_LOOK)
            except Exception:
                # A full disk, for one; the thread must not end with it.
                logger.exception("uploads cannot be looked through; tried again")
                self._stop.wait(_LOOK)

    def _try(self, folder: Path) -> bool:
        """Whether anything was done for the job."""
        if time.monotonic() < self._pauses.get(folder.name, (0.0, 0.0))[0]:
            return False
        with held(folder) as mine:
            if not mine:
                return False
            try:
                job = read_job(folder)
            except UNREADABLE as error:
                if not folder.exists():
                    return False
                logger.warning("upload %s cannot be read and is given up: %s", folder.name, error)
                job = Job(folder.name, "done", now(), "", {}, replace=False, files=())
                self.jobs.finish(folder, job)
                return True
            self._attempt(folder, job)
            return True

    def _attempt(self, folder: Path, job: Job) -> None:
        try:
            write_job(folder, replace(job, status="running", message="", code=""))
            for batch in _batches(job.pending):
                if self._stop.is_set():
                    write_job(folder, replace(job, status="queued"))
                    return
                job = job.with_files(self._index(folder, job, batch))
                write_job(folder, replace(job, status="running"))
            self._store.finish_writing(job.index)
            self.jobs.finish(folder, job)
            self._pauses.pop(job.id, None)
        except StoreError as error:
            _, pause = self._pauses.get(job.id, (0.0, 1.0))
            self._pauses[job.id] = (time.monotonic() + pause, min(pause * 2, _LONGEST_PAUSE))
            logger.warning("upload %s waits for the store: %s", job.id, error)
            write_job(folder, replace(job, status="waiting", message=str(error), code=error.code))
        except Exception as error:
            logger.exception("upload %s failed", job.id)
            crashed = f"indexing failed with {type(error).__name__}; the log has more"
            ended = {f.staged: replace(f, status="rejected", reason="crashed", message=crashed) for f in job.pending}
            self.jobs.finish(folder, job.with_files(ended))

    def _index(self, folder: Path, job: Job, batch: list[JobFile]) -> dict[str, JobFile]:
        """How each file of the batch ended, by its staged name."""
        suffix = version_suffix(self._fingerprint, job.meta)
        ended: dict[str, JobFile] = {}
        todo: list[tuple[JobFile, str, Document | None]] = []
        for file in batch:
            id, known = self._identity(job, file)
            if known is not None and known.meta.get("version") == f"{file.sha256}:{suffix}":
                passages = int(known.meta.get("passages", 0))
                ended[file.staged] = replace(file, status="unchanged", file_id=id, passages=passages)
                self._replace_others(job, file, id)
                continue
            # First, so that whatever can be found can be downloaded.
            self.originals.put(folder / file.staged, job.index, id, file.sha256)
            todo.append((file, id, known))
        if todo:
            ended.update(self._written(folder, job, suffix, todo))
        return ended

    def _written(
        self, folder: Path, job: Job, suffix: str, todo: list[tuple[JobFile, str, Document | None]]
    ) -> dict[str, JobFile]:
        metas = [
            {
                **job.meta,
                "name": file.name,
                "path": file.name,
                "file_id": id,
                "fingerprint": suffix,
                "ingested_at": now(),
                UPLOADED: True,
            }
            for file, id, _ in todo
        ]
        paths = [folder / file.staged for file, _, _ in todo]
        output = run(self._pipeline, file_paths=paths, meta=metas, params={"Writer": {"index": job.index}})
        rejections = {Path(rejection["path"]).name: rejection for rejection in output["rejections"]}
        ended: dict[str, JobFile] = {}
        for file, id, known in todo:
            before = known.meta.get("sha256") if known else None
            rejection = rejections.get(file.staged)
            if rejection or id not in output["written"]:
                reason, message = "changed", "another process indexed it at the same time"
                if rejection:
                    reason, message = rejection["reason"], rejection["message"].replace(file.staged, file.name)
                ended[file.staged] = replace(file, status="rejected", reason=reason, message=message)
                if before != file.sha256:
                    self.originals.remove(job.index, id, file.sha256)
                continue
            ended[file.staged] = replace(file, status="indexed", file_id=id, passages=output["written"][id])
            if before is not None and before != file.sha256:
                self.originals.remove(job.index, id, before)
            self._replace_others(job, file, id)
        return ended

    def _identity(self, job: Job, file: JobFile) -> tuple[str, Document | None]:
        """The file's id, and what the store has under it.

        It is a hash of name and bytes, so that the same file is itself again and others of its name stay beside it; a
        replacement takes the id of what it replaces.
        """
        if job.replace:
            for id in self._uploads_named(job, file.name):
                known = self._store.get_file(id, job.index)
                if known is not None:
                    return id, known
        number = 0
        while True:
            key = f"upload\0{file.name}\0{file.sha256}\0{number}"
            id = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
            known = self._store.get_file(id, job.index)
            if known is None or known.meta.get("sha256") == file.sha256:
                return id, known
            number += 1  # what was there has been replaced by something else since

    def _replace_others(self, job: Job, file: JobFile, id: str) -> None:
        if job.replace:
            for other in self._uploads_named(job, file.name):
                if other != id and (known := self._store.get_file(other, job.index)) is not None:
                    self._store.delete_files([other], job.index)
                    self.originals.remove(job.index, other, str(known.meta.get("sha256", "")))

    def _uploads_named(self, job: Job, name: str) -> list[str]:
        found = self._store.get_metadata_values_by_key(
            "file_id", filters={"name": name, UPLOADED: True}, index=job.index
        )
        return sorted(str(entry["value"]) for entry in found)

    def _tidy(self) -> None:
        """What is done where there is nothing else to do."""
        if self._wipe.exists():
            self._wipe.unlink(missing_ok=True)
            try:
                for index in self._store.get_indexes():
                    self._store.wipe_traces(index)
            except StoreError:
                self._wipe.touch()
        if time.monotonic() - self._swept > _SWEEP or not self._swept:
            self._swept = time.monotonic()
            self.jobs.sweep()


def _batches(files: tuple[JobFile, ...]) -> Iterator[list[JobFile]]:
    """Files that are converted at once, no two of one name: what becomes of the second may depend on the first."""
    batch: list[JobFile] = []
    names: set[str] = set()
    size = 0
    for file in files:
        if batch and (file.name in names or len(batch) == BATCH_FILES or size + file.size > BATCH_BYTES):
            yield batch
            batch, names, size = [], set(), 0
        batch.append(file)
        names.add(file.name)
        size += file.size
    if batch:
        yield batch
