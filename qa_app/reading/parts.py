"""Do the weights and the tokenizer make a whole model?

Asked of transformers itself, since it alone knows which names a model expects; it would fill what is missing with
random numbers and only log it, and such a reader answers nonsense with confidence. Costs one more load of the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from qa_app.errors import ModelError

#: Share of the model's rows that its tokenizer knows at least; rows are padded to round numbers, by far less.
_KNOWN = 0.9


def check_parts(folder: Path) -> int:
    """How many tokens the model takes at once.

    Raises ModelError where weights are missing, of another shape or not numbers, or where the tokenizer is of another
    model. Foreign exceptions are the caller's to translate.
    """
    model, info = AutoModelForQuestionAnswering.from_pretrained(
        folder, output_loading_info=True, local_files_only=True, trust_remote_code=False
    )
    # An extractive reader never uses the pooler.
    lost = [name for name in [*info["missing_keys"], *info["mismatched_keys"]] if "pooler" not in name]
    if lost:
        raise ModelError(
            f"the reader in {folder} lacks {len(lost)} of its weights ({lost[0]} is one); copy the model again, whole, "
            "or choose one made for extractive question answering"
        )
    for name, parameter in model.named_parameters():
        # One sum a tensor shows any NaN or infinity in it, ten times faster than looking at each number.
        if not torch.isfinite(parameter.detach().sum(dtype=torch.float64)):
            raise ModelError(
                f"the reader in {folder} has weights that are not numbers ({name}); copy the model again, whole"
            )
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    _check_vocabulary(folder, len(tokenizer), model.config)
    return int(
        min(getattr(model.config, "max_position_embeddings", tokenizer.model_max_length), tokenizer.model_max_length)
    )


def _check_vocabulary(folder: Path, known: int, config: Any) -> None:
    if not _KNOWN * config.vocab_size <= known <= config.vocab_size:
        raise ModelError(
            f"the tokenizer in {folder} knows {known} words but the model {config.vocab_size}; "
            "they are of two models, copy the model again, whole"
        )
