"""The state of a run in a file that is whole or not there."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch

from qa_app.errors import SettingsError


class CheckpointFile:
    """A run's last checkpoint, and the ``identity`` of the run: whatever must be the same for it to be continued.

    ``due`` is true when ``minutes`` have passed since the last was written.
    """

    def __init__(self, path: Path, identity: dict[str, Any], minutes: float = 5.0) -> None:
        if not minutes > 0:
            raise SettingsError(f"checkpoint_minutes = {minutes!r} is out of range")
        self.path = path
        self._identity = identity
        self._seconds = 60 * minutes
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for another."""
        return time.monotonic() - self._last >= self._seconds

    def write(self, state: dict[str, Any]) -> None:
        """Replaces the checkpoint; raises SettingsError where the disk does not take it."""
        write_whole(self.path, lambda file: torch.save({"identity": self._identity, **state}, file))
        self._last = time.monotonic()

    def read(self, device: torch.device | str = "cpu") -> dict[str, Any] | None:
        """The state that was written last, None where there is none. Raises SettingsError for one that is damaged, or
        of a run with another identity, and says what differs."""
        try:
            # Only tensors and plain values are unpickled.
            state: dict[str, Any] = torch.load(self.path, map_location=device, weights_only=True)
            identity = state.pop("identity")
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError, ValueError, KeyError, EOFError, AttributeError, pickle.UnpicklingError) as error:
            raise SettingsError(
                f"the checkpoint {self.path} is damaged; begin anew with --overwrite, or name another folder"
            ) from error
        if identity != self._identity:
            raise SettingsError(
                f"{self.path.parent} holds an unfinished run with other options "
                f"({_difference(identity, self._identity)}); repeat its options to continue it, begin anew with "
                "--overwrite, or name another folder"
            )
        return state

    def forget(self) -> None:
        """Removes the checkpoint."""
        self.path.unlink(missing_ok=True)


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file aside and puts it in its place when all of it is on the disk; raises SettingsError."""
    aside = path.with_name(path.name + ".part")
    try:
        with aside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # else a crash of the machine may bring the old name back
        finally:
            os.close(folder)
    except (OSError, RuntimeError) as error:
        # torch.save tells of a full disk in a RuntimeError.
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise SettingsError(
            f"{path} cannot be written: {reason}; make room, and the same command goes on from the last checkpoint"
        ) from error


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    name = names[0]
    return f"{name} is {str(there.get(name))[:120]} there and {str(here.get(name))[:120]} here"
