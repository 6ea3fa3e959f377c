"""The model that training starts from."""

from __future__ import annotations

import hashlib
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

from qa_app.errors import ModelError, QaAppError
from qa_app.reading.resolution import BUNDLED, BUNDLED_FOLDER

_DROPOUT = "attention_probs_dropout_prob"


@dataclass(frozen=True)
class Start:
    """A model in float32, its tokenizer, and the name it was asked for by.

    ``kept`` are values of its configuration that are others while it is trained.
    """

    name: str
    model: Any
    tokenizer: Any
    kept: dict[str, Any]

    @property
    def sha256(self) -> str:
        """A hash of its weights, a drawn head's included."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()


def open_start(name: str, kind: Any, *, head: str | tuple[str, ...], seed: int = 1, **options: Any) -> Start:
    """The model ``name``: a folder, a name on the hub, or ``bundled``, opened as transformers' class ``kind``.

    Weights of its head, whose names begin with ``head``, are drawn with the seed where it has none; any other that is
    missing raises ModelError, as does what cannot be opened. ``options`` go into the configuration. No code of the
    model's is run.
    """
    folder = BUNDLED_FOLDER if name == BUNDLED else Path(name).expanduser()
    local = folder.is_dir()
    where = {"local_files_only": local, "trust_remote_code": False}
    source = str(folder) if local else name
    # transformers says of each model with a new head that it should be trained.
    chatter = logging.getLogger("transformers.modeling_utils")
    level = chatter.level
    try:
        chatter.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = AutoConfig.from_pretrained(source, **where, **options)
            kept = {_DROPOUT: config.to_dict()[_DROPOUT]} if _DROPOUT in config.to_dict() else {}
            # Drawing what to drop of them takes a quarter of a step on a processor.
            config.update(dict.fromkeys(kept, 0.0))
            tokenizer = AutoTokenizer.from_pretrained(source, **where)
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                model, info = kind.from_pretrained(
                    source,
                    config=config,
                    torch_dtype=torch.float32,
                    # On a processor the fused attention's way back takes longer than plain products.
                    attn_implementation=None if torch.cuda.is_available() else "eager",
                    output_loading_info=True,
                    **where,
                )
    except QaAppError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"the model {name} to start from cannot be opened: {reason}; name a folder with a model and its "
            "tokenizer, a model on the hub, or 'bundled'"
        ) from error
    finally:
        chatter.setLevel(level)
    lost = [key for key in info["missing_keys"] if not key.startswith(head) and "pooler" not in key]
    lost += [key for key, *_ in info["mismatched_keys"] if not key.startswith(head)]
    if lost:
        raise ModelError(f"{name} lacks {len(lost)} of its weights ({lost[0]} is one); copy the model again, whole")
    return Start(name, model, tokenizer, kept)
