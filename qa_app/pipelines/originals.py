"""The bytes of uploaded files, under names that we made."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from haystack.schema import Document

from qa_app.errors import NotFoundError, StoreFullError, StoreUnavailableError

_CHUNK = 1 << 20
_PLAIN = re.compile("[a-z0-9][a-z0-9_-]{0,99}")
_SHA256 = re.compile("[0-9a-f]{64}")


class Originals:
    """A folder with a file for each upload that is indexed: ``<index>/<file id>-<beginning of its hash>``.

    For any number of processes; what is there is never written again, only added and removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, staged: Path, index: str, file_id: str, sha256: str) -> bool:
        """Keeps the bytes of ``staged``, which stays where it is; whether they were not kept already.

        Outlives a power cut from the next :meth:`sync` on. Raises StoreFullError and StoreUnavailableError.
        """
        path = self._path(index, file_id, sha256)
        with translated(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(staged, path)
            except FileExistsError:
                return False
            except OSError:
                # A file system without links. A copy that was broken off must not be taken for the file; the next try
                # writes over it, since its name is that of the job.
                temporary = path.with_name(f".{staged.parent.name}-{staged.name}")
                shutil.copyfile(staged, temporary)
                with temporary.open("rb") as copied:
                    os.fsync(copied.fileno())
                temporary.replace(path)
        return True

    def sync(self, index: str) -> None:
        """Makes what was put and removed outlive a power cut."""
        folder = self._folder(index)
        with translated(folder), contextlib.suppress(FileNotFoundError):
            for one in (folder, self.folder, self.folder.parent):
                sync_folder(one)

    def remove(self, index: str, file_id: str, sha256: str) -> None:
        """Removes a file's bytes, where there are any."""
        path = self._path(index, file_id, sha256)
        with translated(path):
            path.unlink(missing_ok=True)

    def remove_others(self, index: str, file_id: str, sha256: str) -> None:
        """Removes the bytes that a file had before; looks through the index's folder, 0.1 s for 100,000 files."""
        path = self._path(index, file_id, sha256)
        with translated(path.parent):
            for other in path.parent.glob(f"{_key(file_id)}-*"):
                if other.name != path.name:
                    other.unlink(missing_ok=True)

    def remove_all(self, index: str) -> None:
        """Removes the bytes of all files of an index."""
        folder = self._folder(index)
        with translated(folder), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)

    def open(self, file: Document, index: str) -> BinaryIO:
        """The bytes that were indexed, at their beginning; the caller closes them.

        They are compared with the record's hash first: a record may have come with an imported archive and name any
        path of this machine. Raises NotFoundError where they are gone or others.
        """
        name, sha256 = file.meta.get("name") or file.id, str(file.meta.get("sha256", ""))
        path = self._path(index, file.id, sha256)
        if file.meta.get("source") and not path.exists():
            path = Path(str(file.meta["source"]))
        kept = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_CHUNK))  # noqa: SIM115 - the caller closes it
        try:
            digest = hashlib.sha256()
            # A pipe put in the file's place must not stop us.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise NotFoundError(f"the original of {name} is no file any more")
                # Spares reading what is far larger by now.
                same = file.meta.get("size", status.st_size) == status.st_size
                while same and (chunk := os.read(descriptor, _CHUNK)):
                    digest.update(chunk)
                    kept.write(chunk)
            finally:
                os.close(descriptor)
            if not same or digest.hexdigest() != sha256:
                raise NotFoundError(f"the original of {name} has changed since it was indexed; ingest it again")
            kept.seek(0)
        except (OSError, ValueError) as error:  # a path with a NUL character is no path
            kept.close()
            raise NotFoundError(f"the original of {name} is gone, or may not be read") from error
        except BaseException:
            kept.close()
            raise
        return kept

    def _path(self, index: str, file_id: str, sha256: str) -> Path:
        return self._folder(index) / f"{_key(file_id)}-{sha256[:16] if _SHA256.fullmatch(sha256) else 'unknown'}"

    def _folder(self, index: str) -> Path:
        return self.folder / _key(index)


def _key(name: str) -> str:
    """A part of a path for an index or an id; those of the settings and of imported records could be anything."""
    return name if _PLAIN.fullmatch(name) else hashlib.sha256(name.encode()).hexdigest()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turns the system's refusals to write into our errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFullError(f"{path} has no space left; free some") from error
        raise StoreUnavailableError(f"{path} cannot be written: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Makes names in the folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
