"""A portable archive of an index: from either store into either store, with the same ids.

A ZIP of JSON lines: ``files.jsonl`` (a file with its text and passages a line), ``documents.jsonl`` (documents without
a file), ``labels.jsonl``, and ``manifest.json`` with counts and SHA-256 sums. An archive is verified whole before
anything of it is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from haystack.schema import Document, Label

from qa_app.errors import ArchiveError, NotFoundError, SettingsError
from qa_app.stores.passage_store import PassageStore

FORMAT = 1
MEMBERS = ("files.jsonl", "documents.jsonl", "labels.jsonl")
_BATCH = 100
#: A line is one file; longer ones cannot have come from an export, as converted texts are limited.
_LONGEST_LINE = 1 << 30


def export_archive(store: PassageStore, path: Path) -> dict[str, int]:
    """Writes the store's index and labels to ``path``, which appears only when it is whole; returns counts."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    ids: set[str] = set()

    def files() -> Iterator[dict[str, Any]]:
        for listed in store.get_all_files():
            file = store.get_file(listed.id)
            if file is not None:  # deleted since it was listed
                ids.add(file.id)
                passages = [_to_json(passage) for passage in store.get_file_passages(file.id)]
                yield {"id": file.id, "meta": file.meta, "text": file.content, "passages": passages}

    def documents() -> Iterator[dict[str, Any]]:
        return (_to_json(d) for d in store.get_all_documents_generator() if d.meta.get("file_id") not in ids)

    sources: tuple[Callable[[], Iterable[Any]], ...] = (
        files,
        documents,
        lambda: (json.loads(label.to_json()) for label in store.get_all_labels()),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            manifest: dict[str, Any] = {"format": FORMAT, "members": {}}
            for member, source in zip(MEMBERS, sources):
                manifest["members"][member] = _write(archive, member, source())
            archive.writestr("manifest.json", json.dumps(manifest, indent=2))
        partial.replace(path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return {member.partition(".")[0]: entry["count"] for member, entry in manifest["members"].items()}


def import_archive(store: PassageStore, path: Path) -> dict[str, int]:
    """Writes an archive's content over the store's index; what has the same id is replaced. Returns counts.

    Raises ArchiveError for one that is cut, altered or of a later format, before anything is written.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _verified(archive, path)
            for batch in _batched(_lines(archive, "files.jsonl")):
                store.write_files([_file(entry) for entry in batch])
            for batch in _batched(_lines(archive, "documents.jsonl")):
                store.write_documents([Document.from_dict(entry) for entry in batch])
            for batch in _batched(_lines(archive, "labels.jsonl")):
                store.write_labels([Label.from_dict(entry) for entry in batch])
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} is not there; give an archive that 'qa-app export' made") from error
    # RuntimeError is zipfile's for encryption and for ways of compressing that it does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{path} is not a whole archive ({error}); export it again") from error
    store.finish_writing()
    return {member.partition(".")[0]: manifest["members"][member]["count"] for member in MEMBERS}


def _write(archive: zipfile.ZipFile, member: str, entries: Iterable[Any]) -> dict[str, Any]:
    digest, count = hashlib.sha256(), 0
    with archive.open(member, "w", force_zip64=True) as out:
        for entry in entries:
            line = json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n"
            out.write(line)
            digest.update(line)
            count += 1
    return {"count": count, "sha256": digest.hexdigest()}


def _verified(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    """The manifest, once every member is read, summed, counted and understood."""
    try:
        manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
        if manifest["format"] > FORMAT:
            raise ArchiveError(f"{path} was made by a later version of qa_app; upgrade this one")
        expected = {
            member: (manifest["members"][member]["count"], manifest["members"][member]["sha256"]) for member in MEMBERS
        }
    except (KeyError, ValueError, TypeError) as error:
        raise ArchiveError(f"{path} is not an archive of qa_app: its manifest is missing or damaged") from error
    for member in MEMBERS:
        digest, count = hashlib.sha256(), 0
        try:
            for line in _raw_lines(archive, member):
                digest.update(line)
                count += 1
                _understood(member, json.loads(line))
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise ArchiveError(f"{path} is damaged: line {count} of {member} is not what an export writes") from error
        if (count, digest.hexdigest()) != expected[member]:
            raise ArchiveError(f"{path} is damaged: {member} is not what was exported; export it again")
    return manifest


def _understood(member: str, entry: dict[str, Any]) -> None:
    if member == "files.jsonl":
        _file(entry)
    elif member == "documents.jsonl":
        Document.from_dict(entry)
    else:
        Label.from_dict(entry)


def _raw_lines(archive: zipfile.ZipFile, member: str) -> Iterator[bytes]:
    with archive.open(member) as lines:
        while line := lines.readline(_LONGEST_LINE):
            yield line


def _lines(archive: zipfile.ZipFile, member: str) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in _raw_lines(archive, member))


def _batched(entries: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for entry in entries:
        batch.append(entry)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _to_json(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "content": document.content,
        "content_type": "text",
        "meta": document.meta,
        "id_hash_keys": document.id_hash_keys,
    }


def _file(entry: dict[str, Any]) -> tuple[Document, list[Document]]:
    file = Document(id=entry["id"], content=entry["text"], meta=entry["meta"])
    return file, [Document.from_dict(passage) for passage in entry["passages"]]
