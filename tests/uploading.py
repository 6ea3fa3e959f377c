"""Uploads as the API makes them, within a test's own process and on a store of its choice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from qa_app import bootstrap
from qa_app.pipelines.jobs import Job
from qa_app.pipelines.uploads import Uploads
from qa_app.settings import Settings
from qa_app.stores.passage_store import PassageStore

Files = Mapping[str, str | bytes] | Sequence[tuple[str, str | bytes]]


@contextmanager
def uploading(settings: Settings, store: PassageStore | None = None) -> Iterator[Uploads]:
    """Uploads with threads that index them, over a store of the settings or the given one."""
    if store is None:
        with bootstrap.open_store(settings) as opened, uploading(settings, opened) as uploads:
            yield uploads
        return
    with bootstrap.open_uploads(settings, store) as uploads:
        yield uploads


def upload(
    uploads: Uploads, files: Files, meta: Mapping[str, Any] | None = None, *, replace: bool = False, index: str = ""
) -> Job:
    """A job that was accepted for the files, given by their names or in pairs."""
    with uploads.receive() as intake:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            sink = intake.add(name)
            sink.write(content.encode() if isinstance(content, str) else content)
            sink.close()
        return uploads.accept(intake, index or None, meta or {}, replace)


def finished(uploads: Uploads, *jobs: Job, seconds: float = 60) -> list[Job]:
    """The jobs as they ended, when their files are gone from their folder."""
    for job in jobs:
        folder = uploads.jobs.folder / job.id
        eventually(lambda folder=folder: not folder.exists(), f"job {job.id} is done", seconds)  # type: ignore[misc]
    ended = [uploads.jobs.get(job.id) for job in jobs]
    assert {job.status for job in ended} <= {"done"}
    return ended


def eventually(is_so: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Returns as soon as ``is_so()``; fails where it never is."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"not so: {what}"
        time.sleep(0.02)
