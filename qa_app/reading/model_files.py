"""Is this folder a question answering model that may be loaded?

Checked before any library opens it: what is missing or damaged gets a message with the way out, and nothing in the
folder can make a library run code.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from qa_app.errors import ModelError

#: Configuration that lets transformers import code from the folder or elsewhere.
_CODE_KEYS = ("auto_map", "trust_remote_code", "custom_pipelines")
_MAX_HEADER = 100 * 1024 * 1024
_TYPE_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}


def check_model(folder: Path) -> None:
    """Raises ModelError where ``folder`` does not hold a whole extractive question answering model."""
    if not folder.is_dir():
        raise ModelError(
            f"the reader's folder {folder} is not there; set reader.model to a folder with a question answering model, "
            "or to 'bundled' for the one that ships with the application"
        )
    config = _config(folder)
    for key in config:
        if key in _CODE_KEYS or key.startswith("_attn_implementation"):
            raise ModelError(
                f"{folder / 'config.json'} holds {key!r}, which could run code; remove it if you trust the model"
            )
    architectures = config.get("architectures")
    named = architectures if isinstance(architectures, list) else []
    if named and not any(isinstance(name, str) and name.endswith("ForQuestionAnswering") for name in named):
        raise ModelError(
            f"{folder} holds a {named[0]}, which does not answer questions; "
            "choose a model made for extractive question answering"
        )
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model")):
        raise ModelError(f"{folder} has no tokenizer (tokenizer.json or vocab.txt); copy the model again, whole")
    weights = folder / "model.safetensors"
    if weights.is_file():
        names = _tensor_names(weights)
        if not any(name.endswith("qa_outputs.weight") for name in names):
            raise ModelError(f"{weights} has no question answering head (qa_outputs.weight); choose another model")
    elif not any(folder.glob("*.safetensors.index.json")) and not (folder / "pytorch_model.bin").is_file():
        raise ModelError(f"{folder} has no weights (model.safetensors); copy the model again, whole")
    _check_sums(folder)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder} has no config.json, so it is not a model; copy the model again, whole") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); copy the model again, whole") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} is not a model's configuration; copy the model again, whole")
    return config


def _tensor_names(path: Path) -> list[str]:
    """Names in a safetensors file whose header and length fit; the format is 8 bytes of length, JSON, then the data."""
    damaged = f"{path} is cut or damaged; copy the model again, whole"
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            raise ModelError(damaged)
        try:
            header = json.loads(file.read(length))
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            end = 0
            for entry in tensors.values():
                first, last = entry["data_offsets"]
                count = 1
                for dimension in entry["shape"]:
                    count *= dimension
                if not 0 <= first <= last or last - first != count * _TYPE_BYTES.get(entry["dtype"], 1):
                    raise ModelError(damaged)
                end = max(end, last)
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ModelError(damaged) from error
    if 8 + length + end != size:
        raise ModelError(damaged)
    return list(tensors)


def _check_sums(folder: Path) -> None:
    """Compares the files with ``SHA256SUMS`` where the folder has it, as the bundled reader does."""
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        return
    for line in sums.read_text(encoding="ascii").splitlines():
        expected, name = line.split(maxsplit=1)
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise ModelError(
                f"{path} is not the file that shipped (checksum mismatch); install the application again, "
                "or copy the model again"
            )
