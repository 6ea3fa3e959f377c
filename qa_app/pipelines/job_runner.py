"""Indexes uploads: takes jobs from their folder, whoever accepted them, until each is done."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

from haystack import Pipeline

from qa_app.errors import ConflictError, StoreError
from qa_app.pipelines.holding import held
from qa_app.pipelines.jobs import DAMAGED, Job, Jobs, now, read_job, write_job
from qa_app.pipelines.originals import Originals
from qa_app.pipelines.upload_indexing import UploadIndexing, batches
from qa_app.stores.passage_store import PassageStore

logger = logging.getLogger(__name__)

_THREADS = 2
_LOOK = 1.0
_LONGEST_PAUSE = 30.0
_SWEEP = 300.0


class JobRunner:
    """Threads that complete jobs, each by one process at a time, and those with files of one name in their order.

    ``fingerprint`` stands for the settings that passages depend on; ``wipe`` is a file that is there where something
    was deleted. A store that is down or full makes a job wait, and be tried again, for ever.
    """

    def __init__(
        self, jobs: Jobs, originals: Originals, pipeline: Pipeline, store: PassageStore, fingerprint: str, wipe: Path
    ) -> None:
        self.jobs = jobs
        self.originals = originals
        self._indexing = UploadIndexing(originals, pipeline, store, fingerprint)
        self._store = store
        self._wipe = wipe
        self._wiping = wipe.with_name(f"{wipe.name}.begun")
        self._wipe_after = 0.0
        self._stop = threading.Event()
        self._wake = threading.Event()
        #: Job -> when it may be tried again, and the pause after that.
        self._pauses: dict[str, tuple[float, float]] = {}
        #: Job -> the names of its files, with its index.
        self._names: dict[str, frozenset[tuple[str, str]]] = {}
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
                self._sweep()
                if not self._look():
                    self._tidy()
                    self._wake.wait(_LOOK)
            except Exception:
                # An unreadable folder, for one; the thread must not end with it.
                logger.exception("uploads cannot be looked through; tried again")
                self._stop.wait(_LOOK)

    def _look(self) -> bool:
        """Goes through the jobs once; whether anything was done."""
        done = False
        before: set[tuple[str, str]] = set()
        folders = self.jobs.unfinished()
        self._names = {folder.name: self._names_of(folder) for folder in folders}
        for folder in folders:
            if self._stop.is_set():
                break
            # What becomes of a file may depend on those of its name that came before it.
            names = self._names_of(folder)
            if not names & before:
                try:
                    done |= self._try(folder)
                except Exception:
                    # The disk refuses; others' jobs go on.
                    logger.exception("upload %s cannot be worked at; tried again", folder.name)
                    self._pause(folder.name)
            before |= names
        return done

    def _names_of(self, folder: Path) -> frozenset[tuple[str, str]]:
        if folder.name in self._names:
            return self._names[folder.name]
        try:
            job = read_job(folder)
        except (OSError, *DAMAGED):
            return frozenset()
        return frozenset((job.index, file.name) for file in job.files)

    def _pause(self, id: str) -> None:
        _, pause = self._pauses.get(id, (0.0, 1.0))
        self._pauses[id] = (time.monotonic() + pause, min(pause * 2, _LONGEST_PAUSE))

    def _try(self, folder: Path) -> bool:
        """Whether anything was done for the job."""
        if time.monotonic() < self._pauses.get(folder.name, (0.0, 0.0))[0]:
            return False
        with held(folder) as mine:
            if not mine:
                return False
            try:
                job = read_job(folder)
            except DAMAGED as error:
                if not folder.exists():
                    return False
                logger.warning(
                    "upload %s cannot be read (%s) and is given up; its files stay in %s for a week",
                    *(folder.name, error, self.jobs.done),
                )
                job = Job(folder.name, "done", now(), "", {}, replace=False, files=())
                self.jobs.finish(folder, job)
                return True
            if job.status == "done":
                self.jobs.finish(folder, job)  # whose process was killed at that
            else:
                self._attempt(folder, replace(job, status="running", message="", code=""))
            return True

    def _attempt(self, folder: Path, job: Job) -> None:
        try:
            write_job(folder, job)
            for batch in batches(job.pending):
                if self._stop.is_set():
                    write_job(folder, replace(job, status="queued"))
                    return
                try:
                    job = job.with_files(self._indexing.index(folder, job, batch))
                except (StoreError, ConflictError):
                    raise
                except Exception as error:
                    logger.exception("upload %s failed", job.id)
                    cause = error.__cause__ or error  # Haystack wraps what its nodes raise
                    message = f"indexing failed with {type(cause).__name__}; the log has more"
                    job = job.with_files(
                        {
                            f.staged: replace(f, status="rejected", reason="crashed", message=message)
                            for f in job.pending
                        }
                    )
                    break
                write_job(folder, job)
            if job.pending:
                raise ConflictError("another process wrote the same files at the same time")
            self._store.finish_writing(job.index)
            self.originals.sync(job.index)
            self.jobs.finish(folder, job)
            self._pauses.pop(job.id, None)
        except ConflictError as error:
            logger.info("upload %s is tried again: %s", job.id, error)
            self._pause(job.id)
            write_job(folder, replace(job, status="queued"))
        except StoreError as error:
            logger.warning("upload %s waits for the store: %s", job.id, error)
            self._pause(job.id)
            write_job(folder, replace(job, status="waiting", message=str(error), code=error.code))

    def _tidy(self) -> None:
        """What is done where there is nothing else to do."""
        if time.monotonic() > self._wipe_after and (self._wipe.exists() or self._wiping.exists()):
            with held(self._wipe.parent) as mine:
                if mine:
                    self._wipe_traces()

    def _sweep(self) -> None:
        """Removes what was left, first of all at the start: it may be as large as uploads get."""
        if time.monotonic() - self._swept > _SWEEP or not self._swept:
            self._swept = time.monotonic()
            self.jobs.sweep()

    def _wipe_traces(self) -> None:
        # A deletion meanwhile makes the first file anew; a kill leaves the second.
        if self._wipe.exists():
            self._wipe.replace(self._wiping)
        elif not self._wiping.exists():
            return
        try:
            for index in self._store.get_indexes():
                self._store.wipe_traces(index)
            self._wiping.unlink()
        except StoreError as error:
            logger.warning("what was deleted is still to be wiped: %s", error)
            self._wipe_after = time.monotonic() + _LONGEST_PAUSE
