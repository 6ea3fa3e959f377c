"""Uploads as folders: accepted when a folder was renamed into place, and from then on completed whatever happens.

``<data folder>/jobs/<id>/`` holds ``job.json`` and the files until they are indexed. Every process that sees the folder
sees the same jobs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
import unicodedata
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from qa_app.errors import FileRejectedError, NotFoundError, StoreFullError, StoreUnavailableError
from qa_app.pipelines.ingestion import checked_meta
from qa_app.pipelines.originals import sync_folder

_ID = re.compile("[0-9a-f]{32}")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}$")
_INCOMING = ".incoming-"
_LOCK = "lock"
UNREADABLE = (OSError, ValueError, TypeError, KeyError)
_NAME_BYTES = 255
# Controls, halves of surrogate pairs and line ends; and what reorders the text around it.
_UNSHOWN = ("Cc", "Cs", "Zl", "Zp")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: A folder that was made this many seconds ago and is held by nobody was left by a killed process.
_ABANDONED = 60
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
        self.files: list[JobFile] = []

    def add(self, name: str) -> Sink:
        """Where the next file's bytes go; its name is cleaned, and its bytes lie under one of ours."""
        shown = cleaned(name)
        # Markdown and HTML are told from text by the end of their names.
        suffix = _SUFFIX.search(shown.lower())
        staged = f"{len(self.files)}{suffix.group() if suffix else ''}"
        return Sink(self, shown, staged, self._max)


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
            self._file.close()
            raise FileRejectedError("too_large", f"{self._name} is over {self._most // 2**20} MB; split it")
        self._digest.update(piece)
        with translated(self._intake.folder):
            self._file.write(piece)

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

    @contextmanager
    def receive(self) -> Iterator[Intake]:
        """An intake; what is not accepted within the block is removed, by a later process if this one is killed."""
        folder = self.folder / f"{_INCOMING}{uuid.uuid4().hex}"
        with translated(self.folder):
            folder.mkdir(parents=True, mode=0o700)
        try:
            with held(folder):
                intake = Intake(folder, self._max)
                yield intake
        finally:
            shutil.rmtree(folder, ignore_errors=True)

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
            except UNREADABLE:
                continue
        raise NotFoundError(f"there is no job {id}; jobs are kept for a week after their end")

    def unfinished(self) -> list[Path]:
        """The folders of jobs that are not done, oldest first."""
        if not self.folder.is_dir():
            return []
        found = []
        for folder in self.folder.iterdir():
            with contextlib.suppress(OSError):  # it may have moved just now
                if _ID.fullmatch(folder.name):
                    found.append((folder.stat().st_ctime_ns, folder))
        return [folder for _, folder in sorted(found)]

    def finish(self, folder: Path, job: Job) -> None:
        """Marks a job as done: its files leave, what became of them stays."""
        write_job(folder, replace(job, status="done", finished_at=now(), message="", code=""))
        for file in job.files:
            (folder / file.staged).unlink(missing_ok=True)
        self.done.mkdir(exist_ok=True)
        folder.rename(self.done / folder.name)

    def cancel(self, id: str) -> None:
        """Drops a job of which nothing more is wanted."""
        folder = self.folder / id
        with held(folder, wait=True) as mine:
            if mine:
                shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Removes what killed processes were still receiving, and jobs that ended long ago."""
        for folder in self.folder.glob(f"{_INCOMING}*"):
            if _age(folder) > _ABANDONED:
                with held(folder) as mine:
                    if mine:
                        shutil.rmtree(folder, ignore_errors=True)
        for folder in self.done.glob("*"):
            if _age(folder) > KEPT:
                shutil.rmtree(folder, ignore_errors=True)


def _age(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0


@contextmanager
def held(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Whether this caller alone has the folder; the system lets go however its process ends."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield False  # it is gone
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def read_job(folder: Path) -> Job:
    """The job in a folder; raises one of ``UNREADABLE`` for what is none."""
    content = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    return Job(**{**content, "files": tuple(JobFile(**file) for file in content["files"])})


def write_job(folder: Path, job: Job) -> None:
    """Puts the job into its folder, in one step."""
    temporary = folder / "job.json.new"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(asdict(job), file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / "job.json")
    sync_folder(folder)


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turns the system's refusals to write into our errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (28, 122):  # no space, over quota
            raise StoreFullError(f"{folder} has no space left; free some") from error
        raise StoreUnavailableError(f"{folder} cannot be written: {error.strerror}") from error


def cleaned(name: str) -> str:
    """A file's name for people: its last part, on one line, of at most 255 bytes; never empty."""
    last = re.split(r"[/\\]", name)[-1]
    shown = "".join(c for c in last if c not in _BIDI and unicodedata.category(c) not in _UNSHOWN).strip()
    encoded = shown.encode("utf-8", "ignore")
    if len(encoded) > _NAME_BYTES:
        # The end of a name says more of a file's kind than its middle.
        stem, dot, suffix = shown.rpartition(".")
        end = f"{dot}{suffix}" if len(suffix) <= 8 else ""
        encoded = (stem or shown).encode("utf-8", "ignore")[: _NAME_BYTES - len(end.encode())]
        shown = encoded.decode("utf-8", "ignore") + end
    return shown if shown.strip(". ") else "document"


def now() -> str:
    """The time as jobs and files have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
