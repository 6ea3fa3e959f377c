"""What runs the reader's forward pass."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from haystack.modeling.model.adaptive_model import AdaptiveModel
from numpy.typing import NDArray

from qa_app.errors import ModelError
from qa_app.reading.deadline import check
from qa_app.reading.windows import Window


class Engine(Protocol):
    """A model's forward pass. Stops at the deadline of :mod:`qa_app.reading.deadline`. One caller at a time.

    Where it fails, as for want of memory, it raises ModelError, and takes the next windows as if nothing had been.
    """

    name: str

    def logits(self, windows: Sequence[Window]) -> list[NDArray[np.float32]]:
        """Scores of every token as the start and the end of the answer, (length, 2) for each window, in order."""
        ...


_opened = False
_orphaned = False


def _forked() -> None:
    global _orphaned  # noqa: PLW0603 - a fork is another process
    _orphaned = _opened


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def check_process() -> None:
    """Raises ModelError in a fork of a process that had opened a reader: without its threads, reading would not end."""
    global _opened  # noqa: PLW0603 - for the forks of this process
    if _orphaned:
        raise ModelError(
            "a reader was open when this process was forked, so none can work here; start processes with the method "
            '"spawn", or fork them before a reader is opened'
        )
    _opened = True


@contextmanager
def translated(*errors: type[Exception]) -> Iterator[None]:
    """Turns ``errors`` into ours; a forward pass tells of missing memory in a RuntimeError, others in a MemoryError."""
    try:
        yield
    except errors as error:
        reason = " ".join(str(error).split())[-200:]  # the cause stands last
        raise ModelError(
            f"the reader could not finish reading ({reason or 'out of memory'}); ask for fewer or shorter passages, "
            "or give it more memory"
        ) from error


class TorchEngine:
    """PyTorch, on the device where the model is: the reference for the others, and what a GPU is used with."""

    name = "torch"

    def __init__(self, model: AdaptiveModel, device: torch.device, batch_size: int) -> None:
        self._model = model
        self._device = device
        self._batch_size = batch_size

    @translated(MemoryError, RuntimeError)
    def logits(self, windows: Sequence[Window]) -> list[NDArray[np.float32]]:
        """As :class:`Engine` says; windows of like length go together, padded to the longest of their batch."""
        check_process()
        found: dict[int, NDArray[np.float32]] = {}
        order = sorted(range(len(windows)), key=lambda number: len(windows[number]))
        for start in range(0, len(order), self._batch_size):
            check()
            numbers = order[start : start + self._batch_size]
            batch = [windows[number] for number in numbers]
            shape = (len(batch), len(batch[-1]))
            ids, segments, mask = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
            for row, window in enumerate(batch):
                ids[row, : len(window)] = torch.from_numpy(window.ids)
                segments[row, : len(window)] = torch.from_numpy(window.segments)
                mask[row, : len(window)] = 1
            with torch.inference_mode():
                scores = self._model.forward(
                    input_ids=ids.to(self._device),
                    segment_ids=segments.to(self._device),
                    padding_mask=mask.to(self._device),
                )[0]
            rows = scores.float().cpu().numpy()
            found.update((number, rows[row, : len(windows[number])]) for row, number in enumerate(numbers))
        return [found[number] for number in range(len(windows))]
