"""Indexes the files of an upload, beside or in place of those that were uploaded before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from haystack import Pipeline
from haystack.schema import Document

from qa_app.pipelines.answering import run
from qa_app.pipelines.ingestion import BATCH_BYTES, BATCH_FILES, version_suffix
from qa_app.pipelines.jobs import Job, JobFile, now
from qa_app.pipelines.originals import Originals
from qa_app.stores.passage_store import PassageStore

#: Marks files that came as uploads; ingestion's are marked by their ``source``.
UPLOADED = "uploaded"


@dataclass(frozen=True)
class _Placed:
    """A file, the id that it gets, what the store has under that, and the ids of what it replaces beside it."""

    file: JobFile
    id: str
    known: Document | None
    replaced: list[str]


class UploadIndexing:
    """Brings a store, and the originals beside it, in step with uploaded files; for any number of threads.

    ``fingerprint`` stands for the settings that passages depend on.
    """

    def __init__(self, originals: Originals, pipeline: Pipeline, store: PassageStore, fingerprint: str) -> None:
        self.originals = originals
        self.store = store
        self._pipeline = pipeline
        self._fingerprint = fingerprint

    def index(self, folder: Path, job: Job, batch: list[JobFile]) -> dict[str, JobFile]:
        """How files of the batch ended, by their staged names; others changed the files that are missing."""
        if job.replace:
            self.store.finish_writing(job.index)  # what was written just now is found by its name from then on
        suffix = version_suffix(self._fingerprint, job.meta)
        ended: dict[str, JobFile] = {}
        todo: list[_Placed] = []
        for file in batch:
            placed = self._place(job, file)
            known = placed.known
            if known is not None and known.meta.get("version") == f"{file.sha256}:{suffix}":
                passages = int(known.meta.get("passages", 0))
                ended[file.staged] = replace(file, status="unchanged", file_id=placed.id, passages=passages)
                self._settle(folder, job, placed)
            else:
                todo.append(placed)
        if todo:
            ended.update(self._written(folder, job, suffix, todo))
        return ended

    def _written(self, folder: Path, job: Job, suffix: str, todo: list[_Placed]) -> dict[str, JobFile]:
        metas = [
            {
                **job.meta,
                "name": placed.file.name,
                "path": placed.file.name,
                "file_id": placed.id,
                "fingerprint": suffix,
                "ingested_at": now(),
                UPLOADED: True,
            }
            for placed in todo
        ]
        paths = [folder / placed.file.staged for placed in todo]
        output = run(self._pipeline, file_paths=paths, meta=metas, params={"Writer": {"index": job.index}})
        rejections = {Path(rejection["path"]).name: rejection for rejection in output["rejections"]}
        ended: dict[str, JobFile] = {}
        for placed in todo:
            file, rejection = placed.file, rejections.get(placed.file.staged)
            if rejection:
                reason, message = rejection["reason"], rejection["message"]
                ended[file.staged] = replace(file, status="rejected", reason=reason, message=message)
            elif placed.id in output["written"]:
                passages = output["written"][placed.id]
                ended[file.staged] = replace(file, status="indexed", file_id=placed.id, passages=passages)
                self._settle(folder, job, placed)
        return ended

    def _place(self, job: Job, file: JobFile) -> _Placed:
        """The file's id, and what the store has under it.

        It is a hash of name and bytes, so that the same file is itself again and others of its name stay beside it; a
        replacement takes the id of what it replaces.
        """
        named = self._uploads_named(job, file.name) if job.replace else []
        for id in named:
            known = self.store.get_file(id, job.index)
            if known is not None:
                return _Placed(file, id, known, [other for other in named if other != id])
        number = 0
        while True:
            key = f"upload\0{file.name}\0{file.sha256}\0{number}"
            id = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
            known = self.store.get_file(id, job.index)
            if known is None or known.meta.get("sha256") == file.sha256:
                return _Placed(file, id, known, [])
            number += 1  # what was there has been replaced by something else since

    def _settle(self, folder: Path, job: Job, placed: _Placed) -> None:
        """Brings originals in step with a file that is in the store now, and removes what it replaces.

        Last of all, and again after a kill: an original without a record would be found by nobody.
        """
        index, id, sha256 = job.index, placed.id, placed.file.sha256
        added = self.originals.put(folder / placed.file.staged, index, id, sha256)
        if added and self.store.get_file(id, index) is None:
            self.originals.remove(index, id, sha256)  # it was deleted at this moment
        if job.replace:
            self.originals.remove_others(index, id, sha256)
        for other in placed.replaced:
            if (known := self.store.get_file(other, index)) is not None:
                self.originals.remove(index, other, str(known.meta.get("sha256", "")))
                self.store.delete_files([other], index)

    def _uploads_named(self, job: Job, name: str) -> list[str]:
        found = self.store.get_metadata_values_by_key(
            "file_id", filters={"name": name, UPLOADED: True}, index=job.index
        )
        return sorted(str(entry["value"]) for entry in found)


def batches(files: tuple[JobFile, ...]) -> Iterator[list[JobFile]]:
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
