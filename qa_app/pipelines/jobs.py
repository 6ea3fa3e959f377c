"""Uploads as folders: accepted when a folder was renamed into place, and from then on completed whatever happens.

``<data folder>/jobs/<id>/`` holds ``job.json`` and the files until they are indexed, for every process that sees it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from qa_app.errors import FileRejectedError, NotFoundError, StoreUnavailableError
from qa_app.pipelines.holding import LOCK, held
from qa_app.pipelines.ingestion import checked_meta
from qa_app.pipelines.names import cleaned
from qa_app.pipelines.originals import sync_folder, translated

_ID = re.compile("[0-9a-f]{32}")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}$")
_INCOMING = ".incoming-"
#: A new folder may be swept away before it is held; a sweep comes once in minutes.
_TRIES = 3
#: What :func:`read_job` raises where there is no job; other errors, such as too many open files, may pass.
DAMAGED = (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError)
#: Seconds for which finished jobs can be looked at.
KEPT = 7 * 24 * 3600


@dataclass(frozen=True)
class JobFile:
    """One file of an upload; ``status`` is pending, indexed, unchanged or rejected."""

    name: str
    size: int
    sha256: str
    staged: str
    status: str = "pending"
    reason: str | None = None
    message: str = ""
    file_id: str | None = None
    passages: int = 0


@dataclass(frozen=True)
class Job:
    """An upload; ``status`` is queued, running, waiting (``message`` says for what) or done."""

    id: str
    status: str
    created_at: str
    index: str
    meta: Mapping[str, Any]
    replace: bool
    files: tuple[JobFile, ...]
    finished_at: str | None = None
    message: str = ""
    #: The code of the error that is waited for to end.
    code: str = ""

    @property
    def pending(self) -> tuple[JobFile, ...]:
        """The files that are still to be indexed."""
        return tuple(file for file in self.files if file.status == "pending")

    def with_files(self, ended: Mapping[str, JobFile]) -> Job:
        """The job with files, by their staged names, as they ended."""
        return replace(self, files=tuple(ended.get(file.staged, file) for file in self.files))


class Intake:
    """A form's files on their way to the disk."""

    def __init__(self, folder: Path, max_file_bytes: int) -> None:
        self.folder = folder
        self._max = max_file_bytes
        self._sink: Sink | None = None
        self.files: list[JobFile] = []

    def add(self, name: str) -> Sink:
        """Where the next file's bytes go; its name is cleaned, and its bytes lie under one of ours."""
        shown = cleaned(name)
        # Markdown and HTML are told from text by the end of their names.
        suffix = _SUFFIX.search(shown.lower())
        staged = f"{len(self.files)}{suffix.group() if suffix else ''}"
        self._sink = Sink(self, shown, staged, self._max)
        return self._sink

    def close(self) -> None:
        """Lets go of a file that has broken off."""
        if self._sink is not None:
            self._sink.abandon()


class Sink:
    """Takes a file's bytes; raises FileRejectedError beyond the limit."""

    def __init__(self, intake: Intake, name: str, staged: str, most: int) -> None:
        self._intake = intake
        self._name, self._staged, self._most = name, staged, most
        self._digest = hashlib.sha256()
        self._size = 0
        with translated(intake.folder):
            self._file: BinaryIO = (intake.folder / staged).open("xb")

    def write(self, piece: bytes) -> None:
        """The next bytes."""
        self._size += len(piece)
        if self._size > self._most:
            self.abandon()
            raise FileRejectedError("too_large", f"{self._name} is over {self._most // 2**20} MB; split it")
        self._digest.update(piece)
        with translated(self._intake.folder):
            self._file.write(piece)

    def abandon(self) -> None:
        """The file is not wanted, where it is not whole."""
        with contextlib.suppress(OSError):
            self._file.close()

    def close(self) -> None:
        """The file is whole."""
        with translated(self._intake.folder), self._file:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._intake.files.append(JobFile(self._name, self._size, self._digest.hexdigest(), self._staged))


class Jobs:
    """The jobs in a folder; for any number of threads and processes."""

    def __init__(self, folder: Path, max_file_bytes: int) -> None:
        self.folder = folder
        self.done = folder / "done"
        self._max = max_file_bytes

    @contextlib.contextmanager
    def receive(self) -> Iterator[Intake]:
        """An intake; what is not accepted within the block is removed, by a later process if this one is killed."""
        with contextlib.ExitStack() as holding:
            with translated(self.folder):
                if not self.folder.is_dir():
                    self.folder.mkdir(parents=True, exist_ok=True)
                    sync_folder(self.folder.parent)
                folder = self._new_folder(holding)
            with contextlib.suppress(OSError):  # behind those that wait, also where the clock was set back meanwhile
                when = max([time.time_ns(), *(begun + 1 for begun, _ in _jobs_in(self.folder))])
                os.utime(folder / LOCK, ns=(when, when))
            intake = Intake(folder, self._max)
            try:
                yield intake
            finally:
                intake.close()
                shutil.rmtree(folder, ignore_errors=True)

    def _new_folder(self, holding: contextlib.ExitStack) -> Path:
        """A folder that is held as long as ``holding`` is open."""
        for _ in range(_TRIES):
            folder = self.folder / f"{_INCOMING}{uuid.uuid4().hex}"
            folder.mkdir(mode=0o700)
            if holding.enter_context(held(folder)):
                return folder
        raise StoreUnavailableError(f"{self.folder} has no folder that can be held; are too many files open?")

    def accept(self, intake: Intake, index: str, meta: Mapping[str, Any], *, replace: bool) -> Job:
        """The job of an intake, which survives from now on; raises InvalidRequestError for its metadata."""
        job = Job(
            id=intake.folder.name.removeprefix(_INCOMING),
            status="queued",
            created_at=now(),
            index=index,
            meta=checked_meta(meta),
            replace=replace,
            files=tuple(intake.files),
        )
        with translated(self.folder):
            write_job(intake.folder, job)
            intake.folder.rename(self.folder / job.id)
            sync_folder(self.folder)
        return job

    def get(self, id: str) -> Job:
        """The job; raises NotFoundError."""
        if not _ID.fullmatch(id):
            raise NotFoundError(f"there is no job {id[:80]!r}")
        # It may end, and move, between two looks.
        for folder in (self.folder / id, self.done / id, self.folder / id):
            try:
                return read_job(folder)
            except (OSError, *DAMAGED):
                continue
        raise NotFoundError(f"there is no job {id}; jobs are kept for a week after their end")

    def newest(self, limit: int, *, rejected: bool = False) -> list[Job]:
        """The last jobs, done or not, the newest first; with ``rejected``, those with a file that was not taken."""
        with translated(self.folder):
            # In this order: a job that moves meanwhile is met again.
            begun = {folder.name: when for parent in (self.folder, self.done) for when, folder in _jobs_in(parent)}
        found: list[Job] = []
        for id in sorted(begun, key=lambda id: (begun[id], id), reverse=True):
            with contextlib.suppress(NotFoundError):  # it was swept away just now, or is damaged
                job = self.get(id)
                if not rejected or any(file.status == "rejected" for file in job.files):
                    found.append(job)
            if len(found) == limit:
                break
        return found

    def unfinished(self) -> list[Path]:
        """The folders of jobs that are not done, in the order in which they began to come in."""
        return [folder for _, folder in sorted(_jobs_in(self.folder))]

    def finish(self, folder: Path, job: Job) -> None:
        """Marks a job as done: its files leave, what became of them stays."""
        write_job(folder, replace(job, status="done", finished_at=job.finished_at or now(), message="", code=""))
        with translated(folder):
            for file in job.files:
                (folder / file.staged).unlink(missing_ok=True)
            self.done.mkdir(exist_ok=True)
            folder.rename(self.done / folder.name)

    def cancel(self, id: str) -> bool:
        """Drops a job of which nothing more is wanted; False where it is done, or gone, already."""
        folder = self.folder / id
        with held(folder, wait=True) as mine:
            if not mine:
                return False
            shutil.rmtree(folder, ignore_errors=True)
            return True

    def sweep(self) -> None:
        """Removes what killed processes were still receiving, and jobs that ended long ago."""
        for folder in self.folder.glob(f"{_INCOMING}*"):
            with held(folder) as mine:
                if mine:
                    shutil.rmtree(folder, ignore_errors=True)
        for folder in self.done.glob("*"):
            if _age(folder) > KEPT:
                shutil.rmtree(folder, ignore_errors=True)


def _jobs_in(parent: Path) -> Iterator[tuple[int, Path]]:
    """When the jobs in a folder began to come in, in nanoseconds, and their own folders."""
    for folder in parent.iterdir() if parent.is_dir() else ():
        if _ID.fullmatch(folder.name):
            with contextlib.suppress(OSError):  # it may have moved just now
                # The lock is made first and never written; the folder's own time changes with the job.
                lock = folder / LOCK
                yield (lock if lock.exists() else folder).stat().st_mtime_ns, folder


def _age(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0


def read_job(folder: Path) -> Job:
    """The job in a folder; raises OSError, or one of ``DAMAGED`` for what is none."""
    content = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    return Job(**{**content, "files": tuple(JobFile(**file) for file in content["files"])})


def write_job(folder: Path, job: Job) -> None:
    """Puts the job into its folder, in one step; raises StoreFullError and StoreUnavailableError."""
    temporary = folder / "job.json.new"
    with translated(folder):
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(asdict(job), file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / "job.json")
        sync_folder(folder)


def now() -> str:
    """The time as jobs and files have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
