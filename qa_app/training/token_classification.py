"""Fine-tuning of models that find entities: a tag for each word."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForTokenClassification

from qa_app.datasets.labelled import Sentence, read_sentences, spans
from qa_app.errors import InvalidRequestError
from qa_app.training.classification import Kind, Options, Sequences, padded, train_classifier
from qa_app.training.models import Start

_UNLABELLED = -100


def train_token_classification(options: Options, folder: Path, **rest: Any) -> dict[str, Any]:
    """Trains a model for the setting ``enrich.entities``, as :func:`train_classifier` does."""
    return train_classifier(_KIND, options, folder, **rest)


class Tagging:
    """The task: a tag for the first token of what the tokenizer takes for a word.

    A word of the data may be several to the tokenizer, such as "Smith-Jones": the first has the tag and the others
    continue it, since running text, which the model will see, comes in the tokenizer's words.
    """

    def __init__(
        self,
        start: Start,
        examples: Sequence[Sentence],
        held: Sequence[Sentence],
        labels: dict[str, int],
        options: Options,
    ) -> None:
        self._parts = _encode(start, examples, options)
        self._gold = [
            _gold(examples[sentence].tags, labels, places, int(length))
            for (sentence, places), length in zip(_words(self._parts, examples), self._parts.lengths)
        ]
        #: Parts of a single long word have nothing to learn from.
        self._taught = np.asarray([n for n, gold in enumerate(self._gold) if (gold != _UNLABELLED).any()], np.int64)
        if not len(self._taught):
            raise InvalidRequestError(f"{start.name} has tokens for none of the words; choose another model")
        self.lengths = self._parts.lengths[self._taught]
        self._held = held
        self._held_parts = _encode(start, held, options)
        self._held_words = list(_words(self._held_parts, held))
        self._names = {number: name for name, number in labels.items()}
        self._tokens = 4 * options.recipe.tokens

    def loss(self, model: torch.nn.Module, examples: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Cross entropy, over all words of the batch."""
        parts = self._taught[examples]
        logits = model(**self._parts.batch(parts, device)).logits.float()
        gold = padded([self._gold[part] for part in parts], _UNLABELLED).to(device)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), gold.flatten(), ignore_index=_UNLABELLED)

    def scores(self, model: torch.nn.Module, device: torch.device) -> dict[str, float]:
        """See :func:`span_scores`; ``score`` is the F1."""
        said = [["O"] * len(sentence.words) for sentence in self._held]
        for batch in self._held_parts.batches(self._tokens):
            best = model(**self._held_parts.batch(batch, device)).logits.argmax(-1).cpu().numpy()
            for row, part in zip(best, batch):
                sentence, places = self._held_words[part]
                for token, word, begins in places:
                    if begins:
                        said[sentence][word] = self._names[int(row[token])]
        return span_scores([sentence.tags for sentence in self._held], said)


Words = tuple[int, list[tuple[int, int, bool]]]


def _encode(start: Start, sentences: Sequence[Sentence], options: Options) -> Sequences:
    return Sequences(start.tokenizer, [" ".join(one.words) for one in sentences], options.max_seq_len, whole=True)


def _words(parts: Sequences, sentences: Sequence[Sentence]) -> Iterator[Words]:
    """For each part its sentence, and the tokens that begin a word of the tokenizer: token, word of the sentence, and
    whether it begins that too."""
    last = (-1, -1, -1)
    for example, places in zip(parts.example, parts.places):
        begins = [0, *accumulate(len(word) + 1 for word in sentences[example].words)]
        found: list[tuple[int, int, bool]] = []
        for token, (start, end, piece) in enumerate(places.tolist()):
            if piece < 0 or start == end:
                continue
            word = bisect_right(begins, start) - 1
            # A sentence's parts follow one another, so that the last word may go on in the next.
            if (example, word, piece) != last:
                found.append((token, word, (example, word) != last[:2]))
            last = (example, word, piece)
        yield example, found


def _gold(
    tags: Sequence[str], labels: dict[str, int], places: list[tuple[int, int, bool]], length: int
) -> NDArray[np.int64]:
    """The number of each token's tag, in a part of ``length`` tokens."""
    gold = np.full(length, _UNLABELLED, np.int64)
    for token, word, begins in places:
        tag = tags[word]
        gold[token] = labels[tag if begins or tag == "O" else f"I-{tag[2:]}"]
    return gold


def span_scores(gold: Sequence[Sequence[str]], said: Sequence[Sequence[str]]) -> dict[str, float]:
    """Precision, recall and F1 of whole entities with their kinds, in percent, 0 where there are none."""
    right = given = wanted = 0
    for tags, guess in zip(gold, said):
        one, other = spans(tuple(tags)), spans(tuple(guess))
        right, given, wanted = right + len(one & other), given + len(other), wanted + len(one)

    def percent(part: int, whole: int) -> float:
        return round(100 * part / whole, 3) if whole else 0.0

    f1 = percent(2 * right, given + wanted)
    return {"score": f1, "f1": f1, "precision": percent(right, given), "recall": percent(right, wanted)}


def _names(sentences: Sequence[Sentence]) -> list[str]:
    """``O``, and both tags of each kind."""
    kinds = sorted({tag[2:] for sentence in sentences for tag in sentence.tags if tag != "O"})
    return ["O", *(f"{mark}-{kind}" for kind in kinds for mark in "BI")]


_KIND: Kind[Sentence] = Kind(
    name="token-classification",
    model=AutoModelForTokenClassification,
    read=read_sentences,
    labels=_names,
    task=Tagging,
)
