"""Readers that took the place of the one they were trained from, and the way back."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qa_app.errors import ConflictError, ModelError, StoreUnavailableError


class PromotedReaders:
    """The readers in ``folder`` and, for each name that settings may have, which of them stand for it.

    Imports nothing heavy; one process promotes at a time. Raises ModelError for a damaged list.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "promoted.json"

    def current(self, wanted: str) -> str:
        """The folder of the reader that stands for ``wanted``; itself where none was promoted."""
        promoted = self._line(wanted)
        return str(self.folder / promoted[-1]["reader"]) if promoted else wanted

    def learnt(self, wanted: str) -> set[str]:
        """The ids of the judgements that the current reader and those before it were trained on or compared with."""
        return {label for one in self._line(wanted) for label in one["labels"]}

    @contextmanager
    def candidate(self) -> Iterator[Path]:
        """An empty folder for a candidate, which is gone at the end unless it was promoted.

        What killed rounds and rolled back readers left goes, too. Raises ConflictError while another round lasts.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder, os.O_RDONLY)
        except OSError as error:
            raise StoreUnavailableError(f"{self.folder} cannot be written: {error.strerror}") from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError("another 'qa-app improve' is at work here; wait until it is done") from error
            self._sweep()
            number = 1
            while (path := self.folder / f"reader-{number}").exists():
                number += 1
            try:
                yield path
            finally:
                self._sweep()
        finally:
            os.close(lock)

    def _sweep(self) -> None:
        """Removes the readers that are in no list, and so neither in use nor to be gone back to."""
        listed = {one["reader"] for line in self._read().values() for one in line}
        for path in self.folder.glob("reader-*"):
            if path.name not in listed:
                shutil.rmtree(path, ignore_errors=True)

    def promote(self, wanted: str, candidate: Path, labels: list[str]) -> None:
        """Has ``candidate``, a folder that :meth:`candidate` gave, stand for ``wanted`` from now on."""
        self._write(wanted, [*self._line(wanted), {"reader": candidate.name, "labels": labels}])

    def rollback(self, wanted: str) -> str:
        """Gives the former reader its place back, and returns what :meth:`current` is now. Raises ConflictError."""
        promoted = self._line(wanted)
        if not promoted:
            raise ConflictError(f"no reader was promoted in place of {wanted}, so there is none to go back from")
        self._write(wanted, promoted[:-1])
        return self.current(wanted)

    def _line(self, wanted: str) -> list[dict[str, Any]]:
        line = self._read().get(wanted, [])
        return list(line)

    def _read(self) -> dict[str, list[dict[str, Any]]]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            if all({"reader", "labels"} <= one.keys() for line in found.values() for one in line):
                return dict(found)
            raise ValueError("entries lack their reader")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise ModelError(
                f"{self._path} cannot be read ({error}); remove it to go back to the reader of the settings"
            ) from error

    def _write(self, wanted: str, line: list[dict[str, Any]]) -> None:
        aside = self._path.with_suffix(".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps({**self._read(), wanted: line}, indent=1) + "\n", encoding="utf-8")
            aside.replace(self._path)
        except OSError as error:
            raise StoreUnavailableError(f"{self._path} cannot be written: {error.strerror}") from error
