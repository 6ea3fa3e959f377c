"""Is this folder a model of the wanted kind that may be loaded?

Checked before any library opens it: what is missing or damaged gets a message with the way out, and nothing in the
folder can make a library run code.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qa_app.errors import ModelError

#: Configuration that lets transformers import code from the folder or elsewhere.
_CODE_KEYS = ("auto_map", "trust_remote_code", "custom_pipelines", "attn_implementation")
_CODE_PREFIX = "_attn_implementation"
#: Files that Haystack or PEFT would load instead of the weights that were checked.
_OTHER_WEIGHTS = ("language_model.bin", "language_model_config.json", "model.onnx", "adapter_config.json")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
_INDEX = "model.safetensors.index.json"
_MAX_HEADER = 100 * 1024 * 1024
_TYPE_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
_AGAIN = "copy the model again, whole"


@dataclass(frozen=True)
class Purpose:
    """What a model is for: how messages name it, and how it is known.

    ``architecture`` is how its class in transformers ends, ``heads`` are possible ends of its last layer's name.
    """

    setting: str
    noun: str
    does: str
    called: str
    architecture: str
    heads: tuple[str, ...]
    otherwise: str


READER = Purpose(
    setting="reader.model",
    noun="reader",
    does="answer questions",
    called="question answering",
    architecture="ForQuestionAnswering",
    heads=("qa_outputs.weight",),
    otherwise="to 'bundled' for the one that ships with the application",
)
_CLASSIFIERS = ("classifier.weight", "classifier.out_proj.weight", "score.weight")
CLASSIFIER = Purpose(
    setting="enrich.classifier",
    noun="classifier",
    does="classify texts",
    called="text classification",
    architecture="ForSequenceClassification",
    heads=_CLASSIFIERS,
    otherwise="to nothing, so that passages get no label",
)
ENTITIES = Purpose(
    setting="enrich.entities",
    noun="entity finder",
    does="find entities",
    called="token classification",
    architecture="ForTokenClassification",
    heads=_CLASSIFIERS,
    otherwise="to nothing, so that passages get no entities",
)


def has_weights(folder: Path) -> bool:
    """Whether ``folder`` holds weights in a form that is loaded."""
    return any((folder / name).is_file() for name in ("model.safetensors", _INDEX, "pytorch_model.bin"))


def check_model(folder: Path, purpose: Purpose = READER) -> None:
    """Raises ModelError where ``folder`` does not hold a whole model for ``purpose``."""
    if not folder.is_dir():
        raise ModelError(
            f"the {purpose.noun}'s folder {folder} is not there; set {purpose.setting} to a folder with a "
            f"{purpose.called} model, or {purpose.otherwise}"
        )
    try:
        _check_files(folder, purpose)
    except OSError as error:
        raise ModelError(f"the {purpose.noun} in {folder} cannot be read ({error.strerror}); {_AGAIN}") from error
    except RecursionError as error:
        raise ModelError(f"the configuration in {folder} is nested too deeply; {_AGAIN}") from error


def _check_files(folder: Path, purpose: Purpose) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json, so it is not a model; {_AGAIN}")
    config = _json(folder / "config.json")
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            _check_no_code(folder / name, _json(folder / name))
    for name in _OTHER_WEIGHTS:
        if (folder / name).exists():
            raise ModelError(
                f"{folder / name} would be loaded instead of the model beside it; move it out of the folder, "
                "or save the model in the format of transformers"
            )
    architectures = config.get("architectures")
    named = architectures if isinstance(architectures, list) else []
    if named and not any(isinstance(name, str) and name.endswith(purpose.architecture) for name in named):
        raise ModelError(
            f"{folder} holds a {named[0]}, which does not {purpose.does}; "
            f"choose a model made for {'extractive ' if purpose is READER else ''}{purpose.called}"
        )
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ModelError(f"{folder} has no tokenizer (tokenizer.json or vocab.txt); {_AGAIN}")
    _check_weights(folder, purpose)
    _check_sums(folder)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is damaged ({error}); {_AGAIN}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a model's configuration; {_AGAIN}")
    return value


def _check_no_code(path: Path, value: Any) -> None:
    """Refuses, at any depth, what could run code; a bare switch such as ``_attn_implementation_autoset`` cannot."""
    if isinstance(value, list):
        for item in value:
            _check_no_code(path, item)
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        prefixed = key.startswith(_CODE_PREFIX) and not isinstance(inner, bool | None)
        if key in _CODE_KEYS or prefixed:
            raise ModelError(f"{path} holds {key!r}, which could run code; remove it if you trust the model")
        _check_no_code(path, inner)


def _check_weights(folder: Path, purpose: Purpose) -> None:
    if not has_weights(folder):
        raise ModelError(f"{folder} has no weights (model.safetensors); {_AGAIN}")
    single, index = folder / "model.safetensors", folder / _INDEX
    if single.is_file():
        weights, names = single, _tensor_names(single)
    elif index.is_file():
        weights, names = index, _sharded_names(index)
    else:
        return  # The names in a pickle are known only once torch has loaded it, weights only.
    if not any(name.endswith(purpose.heads) for name in names):
        raise ModelError(f"{weights} has no {purpose.called} head ({purpose.heads[0]}); choose another model")


def _sharded_names(index: Path) -> list[str]:
    """Names of the tensors of weights in several files, every one of them where the index says."""
    shards = _json(index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
        raise ModelError(f"{index} lists no weights; {_AGAIN}")
    held: dict[str, set[str]] = {}
    for shard in set(shards.values()):
        path = index.parent / shard
        if Path(shard).name != shard or not path.is_file():
            raise ModelError(f"{index} names {shard!r}, which is not beside it; {_AGAIN}")
        held[shard] = set(_tensor_names(path))
    if lost := [name for name, shard in shards.items() if name not in held[shard]]:
        raise ModelError(f"{index} and its files do not match ({lost[0]} is missing); {_AGAIN}")
    return list(shards)


def _tensor_names(path: Path) -> list[str]:
    """Names in a safetensors file whose header and length fit; the format is 8 bytes of length, JSON, then the data."""
    damaged = f"{path} is cut or damaged; {_AGAIN}"
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
    """Compares the files with ``SHA256SUMS`` where the folder has it, and with their names in the hub's cache."""
    expected: dict[str, str] = {}
    # The hub's cache names what it downloads by its hash and links to that.
    for weights in (*folder.glob("*.safetensors"), folder / "pytorch_model.bin"):
        blob = weights.resolve()
        if weights.is_symlink() and blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name):
            expected[weights.name] = blob.name
    sums = folder / "SHA256SUMS"
    if sums.is_file():
        for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
            digest, _, name = line.partition(" ")
            expected[name.strip(" *")] = digest
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != digest:
            raise ModelError(
                f"{path} is not the file that shipped (checksum mismatch); install the application again, "
                "or remove this copy of the model and fetch it again"
            )


def fingerprint(folder: Path) -> str:
    """What tells the model in ``folder`` from others: a hash of its weights and of how they are put together."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".bin") or path.name in ("config.json", "model.safetensors.index.json"):
            digest.update(f"{path.name} {sha256_of(path)} ".encode())
    return digest.hexdigest()[:32]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
