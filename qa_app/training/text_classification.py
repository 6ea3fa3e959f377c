"""Fine-tuning of models that give a text one label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification

from qa_app.datasets.labelled import LabelledText, read_texts
from qa_app.training.classification import Kind, Options, Sequences, train_classifier
from qa_app.training.models import Start


def train_text_classification(options: Options, folder: Path, **rest: Any) -> dict[str, Any]:
    """Trains a classifier for the setting ``enrich.classifier``, as :func:`train_classifier` does."""
    return train_classifier(_KIND, options, folder, **rest)


class Labelling:
    """The task: the label of a text, which is cut off where it is too long."""

    def __init__(
        self,
        start: Start,
        examples: Sequence[LabelledText],
        held: Sequence[LabelledText],
        labels: dict[str, int],
        options: Options,
    ) -> None:
        def encode(some: Sequence[LabelledText]) -> tuple[Sequences, NDArray[np.int64]]:
            texts = [one.text for one in some]
            gold = np.asarray([labels[one.label] for one in some], np.int64)
            return Sequences(start.tokenizer, texts, options.max_seq_len, whole=False), gold

        self._texts, self._gold = encode(examples)
        self._held, self._held_gold = encode(held)
        self.lengths = self._texts.lengths
        self._tokens = 4 * options.recipe.tokens

    def loss(self, model: torch.nn.Module, examples: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Cross entropy."""
        logits = model(**self._texts.batch(examples, device)).logits.float()
        return torch.nn.functional.cross_entropy(logits, torch.from_numpy(self._gold[examples]).to(device))

    def scores(self, model: torch.nn.Module, device: torch.device) -> dict[str, float]:
        """See :func:`label_scores`; ``score`` is the macro-F1."""
        said = np.zeros_like(self._held_gold)
        for batch in self._held.batches(self._tokens):
            said[batch] = model(**self._held.batch(batch, device)).logits.argmax(-1).cpu().numpy()
        return label_scores(self._held_gold, said)


def label_scores(gold: NDArray[np.int64], said: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, and the mean F1 of the labels that are there or were said, in percent."""
    f1 = []
    for label in np.union1d(gold, said):
        right = int(((gold == label) & (said == label)).sum())
        f1.append(2 * right / int((gold == label).sum() + (said == label).sum()))
    macro = round(100 * float(np.mean(f1)), 3)
    return {"score": macro, "macro_f1": macro, "accuracy": round(100 * float((gold == said).mean()), 3)}


_KIND: Kind[LabelledText] = Kind(
    name="text-classification",
    model=AutoModelForSequenceClassification,
    read=read_texts,
    labels=lambda examples: sorted({example.label for example in examples}),
    task=Labelling,
)
