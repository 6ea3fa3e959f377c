"""The bytes of uploaded files, under names that we made."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO, cast

from haystack.schema import Document

from qa_app.errors import NotFoundError

_CHUNK = 1 << 20


class Originals:
    """A folder with a file for each upload that is indexed: ``<index>/<file id>-<beginning of its hash>``.

    For any number of processes; what is there is never written again, only added and removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, staged: Path, index: str, file_id: str, sha256: str) -> None:
        """Keeps the bytes of ``staged``, which stays where it is; does nothing where they are kept already."""
        path = self._path(index, file_id, sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return
        # Complete under another name first: a copy that was broken off must not be taken for the file.
        temporary = path.with_name(f".{path.name}-{os.getpid()}")
        temporary.unlink(missing_ok=True)
        try:
            os.link(staged, temporary)
        except OSError:
            shutil.copyfile(staged, temporary)
            with temporary.open("rb") as copied:
                os.fsync(copied.fileno())
        temporary.replace(path)
        sync_folder(path.parent)

    def remove(self, index: str, file_id: str, sha256: str) -> None:
        """Removes a file's bytes, where there are any."""
        self._path(index, file_id, sha256).unlink(missing_ok=True)

    def remove_all(self, index: str) -> None:
        """Removes the bytes of all files of an index."""
        shutil.rmtree(self.folder / index, ignore_errors=True)

    def open(self, file: Document, index: str) -> BinaryIO:
        """The bytes that were indexed, at their beginning; the caller closes them.

        They are compared with the record's hash first: a record may have come with an imported archive and name any
        path of this machine. Raises NotFoundError where they are gone or others.
        """
        name, sha256 = file.meta.get("name") or file.id, str(file.meta.get("sha256", ""))
        path = self._path(index, file.id, sha256)
        if not path.exists() and file.meta.get("source"):
            path = Path(str(file.meta["source"]))
        kept = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_CHUNK))  # noqa: SIM115 - the caller closes it
        try:
            digest = hashlib.sha256()
            # A pipe put in the file's place must not stop us.
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as source:
                if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                    raise NotFoundError(f"the original of {name} is no file any more")
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    kept.write(chunk)
            if digest.hexdigest() != sha256:
                raise NotFoundError(f"the original of {name} has changed since it was indexed; ingest it again")
            kept.seek(0)
        except OSError as error:
            kept.close()
            raise NotFoundError(f"the original of {name} is gone, or may not be read") from error
        except BaseException:
            kept.close()
            raise
        return kept

    def _path(self, index: str, file_id: str, sha256: str) -> Path:
        # Ids of imported records could be anything.
        key = file_id if file_id.isalnum() else hashlib.sha256(file_id.encode()).hexdigest()
        return self.folder / index / f"{key}-{sha256[:16] if sha256.isalnum() else 'unknown'}"


def sync_folder(folder: Path) -> None:
    """Makes names in the folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
