"""A question answering model of some kilobytes, and ways to damage it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertForQuestionAnswering, BertTokenizerFast

_WORDS = [
    *["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    *[chr(code) for code in range(33, 127)],
    *[f"##{chr(code)}" for code in range(97, 123)],
]


def save_model(folder: Path, kind: type = BertForQuestionAnswering, **options: Any) -> Path:
    """A whole model of two layers and its tokenizer in ``folder``, always the same random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(_WORDS) + "\n")
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(_WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    kind(config).save_pretrained(folder, **options)  # type: ignore[attr-defined]
    return folder


def save_random_reader(folder: Path, like: Path) -> Path:
    """A model with the tokenizer of the one in ``like`` and random weights, which marks spans anywhere, and fast."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).write_bytes((like / name).read_bytes())
    torch.manual_seed(7)
    rows = json.loads((like / "config.json").read_text())["vocab_size"]
    config = BertConfig(
        vocab_size=rows,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        initializer_range=1.0,
    )
    BertForQuestionAnswering(config).save_pretrained(folder)
    return folder


def save_masked_model(folder: Path) -> Path:
    """A language model that fills gaps and answers no questions."""
    return save_model(folder, BertForMaskedLM)


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a JSON file in place."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Changes the tensors of ``model.safetensors``, leaving a whole file."""
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def edit_header(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the header of ``model.safetensors`` and leaves its data."""
    path = folder / "model.safetensors"
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change(header)
    changed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(changed)) + changed + content[8 + length :])
