"""The folder that a run writes: a checkpoint while it lasts, the model and its recipe in the end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
import transformers
from safetensors.torch import save as to_safetensors

from qa_app import __version__
from qa_app.errors import ConflictError, SettingsError
from qa_app.training.checkpoints import CheckpointFile, write_whole
from qa_app.training.loop import Outcome
from qa_app.training.models import Start

RECIPE = "training.json"
_CHECKPOINT = "checkpoint.pt"
_ASIDE = ".unfinished"
_WEIGHTS = "model.safetensors"


@contextmanager
def claimed(folder: Path, *, overwrite: bool) -> Iterator[None]:
    """Keeps a second run out of the folder, which is made where it is not there.

    Raises SettingsError for a folder that holds a model already and no run to continue, unless ``overwrite``, and
    ConflictError where another run is writing to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written: {error.strerror}; name another folder") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(f"another training run is writing to {folder}; wait until it is done") from error
        unfinished = (folder / _CHECKPOINT).exists()
        if (folder / "config.json").exists() and not unfinished and not overwrite:
            raise SettingsError(f"{folder} holds a model already; name another folder, or give --overwrite")
        yield
    finally:
        os.close(lock)


def open_checkpoint(folder: Path, identity: dict[str, Any], *, minutes: float, overwrite: bool) -> CheckpointFile:
    """The folder's checkpoint; one of another run is given up where ``overwrite``, and else raises SettingsError."""
    # As JSON has them, so that what is read back compares equal.
    checkpoint = CheckpointFile(folder / _CHECKPOINT, json.loads(json.dumps(identity)), minutes)
    try:
        checkpoint.read()
    except SettingsError:
        if not overwrite:
            raise
        checkpoint.forget()
    return checkpoint


def versions() -> dict[str, str]:
    """What ran, for the recipe."""
    return {
        "qa_app": __version__,
        "python": sys.version.split()[0],
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
    }


def save(folder: Path, start: Start, outcome: Outcome, recipe: dict[str, Any], *, half: bool) -> None:
    """Writes the trained model, its tokenizer and ``training.json``, then removes the checkpoint.

    Each file is whole or not there, and the recipe comes last. Raises SettingsError where the disk does not take them.
    """
    dtype = torch.float16 if half else torch.float32
    model = start.model.to("cpu").to(torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(outcome.weights[name])
    model = model.to(dtype)
    aside = folder / _ASIDE
    try:
        shutil.rmtree(aside, ignore_errors=True)
        start.tokenizer.save_pretrained(aside)
        model.config.name_or_path = ""  # where it lay is nobody's business who gets the model
        model.config.update({**start.kept, "torch_dtype": dtype, "architectures": [type(model).__name__]})
        model.config.save_pretrained(aside)
        for path in sorted(aside.iterdir()):
            write_whole(folder / path.name, partial(_write, path.read_bytes()))
        shutil.rmtree(aside)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written: {error.strerror}; make room, and run it again") from error
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    weights = to_safetensors(tensors, metadata={"format": "pt"})
    write_whole(folder / _WEIGHTS, partial(_write, weights))
    text = json.dumps(recipe, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    write_whole(folder / RECIPE, partial(_write, text.encode()))
    (folder / _CHECKPOINT).unlink(missing_ok=True)


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)
