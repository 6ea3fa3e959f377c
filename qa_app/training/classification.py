"""What training for labels of texts and for tags of words have in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from qa_app.datasets.labelled import FileReport
from qa_app.errors import InvalidRequestError, ModelError, SettingsError
from qa_app.training import output
from qa_app.training.batches import cut
from qa_app.training.loop import Progress, Recipe, Task, train
from qa_app.training.models import Start, open_start

_HELD_OUT = 2000
_HELD_OUT_SHARE = 0.1


class Example(Protocol):
    """Something to learn from; those of one ``group`` are held out together."""

    @property
    def group(self) -> Hashable: ...


E = TypeVar("E", bound=Example)


@dataclass(frozen=True)
class Options:
    """What is trained from and how; without ``validation`` a tenth of ``data``, at most 2,000, is held out.

    ``half`` writes float16. Raises SettingsError.
    """

    data: tuple[str, ...]
    start: str
    validation: tuple[str, ...] = ()
    max_seq_len: int = 128
    half: bool = False
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not 8 <= self.max_seq_len <= self.recipe.tokens:
            raise SettingsError(
                f"max_seq_len = {self.max_seq_len} is not from 8 up to {self.recipe.tokens}, a step's tokens (--tokens)"
            )


@dataclass(frozen=True)
class Kind(Generic[E]):
    """A task by its name, transformers' class for it, and functions: reading a file, and an example's labels."""

    name: str
    model: Any
    read: Callable[[Path], tuple[list[E], FileReport]]
    labels: Callable[[Sequence[E]], list[str]]
    task: Callable[[Start, list[E], list[E], dict[str, int], Options], Task]


def train_classifier(
    kind: Kind[E],
    options: Options,
    folder: Path,
    *,
    checkpoint_minutes: float = 5.0,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_message: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Trains a model into ``folder``, which indexing takes; returns its recipe.

    Killed, the same call goes on from the last checkpoint. Raises what reading the files, opening the model and
    writing the folder raise.
    """
    with output.claimed(folder, overwrite=overwrite):
        examples, held, reports = read_data(kind.read, options)
        names = kind.labels(examples if options.validation else [*examples, *held])
        if len(names) < 2:
            raise InvalidRequestError(f"there is nothing to tell apart: the only label is {names[0]!r}")
        labels = {name: number for number, name in enumerate(names)}
        if strange := sorted(set(kind.labels(held)) - set(labels)):
            raise InvalidRequestError(
                f"the label {strange[0]!r} is only in what is held out to validate with; add examples of it"
            )
        start = open_start(
            options.start,
            kind.model,
            head=("classifier", "pre_classifier", "score"),
            seed=options.recipe.seed,
            id2label=dict(enumerate(names)),
            label2id=labels,
        )
        limit = min(_positions(start), start.tokenizer.model_max_length)
        if options.max_seq_len > limit:
            raise SettingsError(
                f"max_seq_len = {options.max_seq_len} is more than the {limit} tokens that {start.name} takes"
            )
        given = asdict(options)
        identity = {
            **given.pop("recipe"),
            **given,
            "sources": [report.to_dict() for report in reports],
            "start_sha256": start.sha256,
        }
        checkpoint = output.open_checkpoint(folder, identity, minutes=checkpoint_minutes, overwrite=overwrite)
        on_message(f"{len(examples)} examples to train on, {len(held)} held out, {len(names)} labels")
        task = kind.task(start, examples, held, labels, options)
        outcome = train(start.model, task, options.recipe, checkpoint, on_progress)
        recipe = {
            "task": kind.name,
            **identity,
            "labels": names,
            "examples": len(examples),
            "held_out": len(held),
            **{key: value for key, value in vars(outcome).items() if key != "weights"},
            "versions": output.versions(),
        }
        output.save(folder, start, outcome, recipe, half=options.half)
    return recipe


def read_data(
    read: Callable[[Path], tuple[list[E], FileReport]], options: Options
) -> tuple[list[E], list[E], list[FileReport]]:
    """What to train on, what is held out, and a report of each file; no group is in both."""
    parts: list[list[E]] = []
    reports: list[FileReport] = []
    for files in (options.data, options.validation):
        parts.append([])
        for file in files:
            some, report = read(Path(file))
            parts[-1] += some
            reports.append(report)
    examples, held = parts
    if held:
        groups = {example.group for example in held}
    else:
        groups = _drawn(examples, np.random.default_rng(options.recipe.seed))
        held = list(dict.fromkeys(example for example in examples if example.group in groups))
    left = [example for example in examples if example.group not in groups]
    if not left or not held:
        raise InvalidRequestError(
            "there are too few different examples to train on some and validate with others; add more"
        )
    return left, held, reports


def _drawn(examples: Sequence[E], generator: np.random.Generator) -> set[Hashable]:
    """Groups with about a tenth of the examples."""
    sizes: dict[Hashable, int] = {}
    for example in examples:
        sizes[example.group] = sizes.get(example.group, 0) + 1
    wanted = min(_HELD_OUT, max(1, round(len(examples) * _HELD_OUT_SHARE)))
    names, groups, count = list(sizes), set[Hashable](), 0
    for number in generator.permutation(len(names)):
        # A group that is far too big for what is missing stays in training, unless nothing was found yet.
        if count < wanted and (count + sizes[names[number]] <= 2 * wanted or not groups):
            groups.add(names[number])
            count += sizes[names[number]]
    return groups


class Sequences:
    """Texts as tokens, each cut into parts of at most ``max_seq_len``, or cut off there where ``whole`` is false.

    ``example`` is the text of each part, ``places`` the code points and the word in which each of its tokens stands,
    shape (tokens, 3), -1 for marks. Raises ModelError for a tokenizer that knows no places.
    """

    def __init__(self, tokenizer: Any, texts: Sequence[str], max_seq_len: int, *, whole: bool) -> None:
        if not tokenizer.is_fast:
            raise ModelError(f"{tokenizer.name_or_path} has no fast tokenizer; choose a model with tokenizer.json")
        self._pad = tokenizer.pad_token_id or 0
        self.ids: list[NDArray[np.int64]] = []
        self.places: list[NDArray[np.int64]] = []
        self.example: list[int] = []
        for first in range(0, len(texts), 1000):
            given = tokenizer(
                list(texts[first : first + 1000]),
                truncation=True,
                max_length=max_seq_len,
                return_offsets_mapping=True,
                return_overflowing_tokens=True,
            )
            for encoding, text in zip(given.encodings, given["overflow_to_sample_mapping"]):
                if not whole and self.example and self.example[-1] == first + text:
                    continue
                words = [-1 if word is None else word for word in encoding.word_ids]
                self.ids.append(np.asarray(encoding.ids, np.int64))
                self.places.append(
                    np.asarray([(*place, word) for place, word in zip(encoding.offsets, words)], np.int64)
                )
                self.example.append(first + text)
        self.lengths = np.asarray([len(one) for one in self.ids], np.int32)

    def batch(self, numbers: NDArray[np.int64], device: torch.device) -> dict[str, torch.Tensor]:
        """Some parts, padded to the longest of them."""
        ids = padded([self.ids[number] for number in numbers], self._pad)
        mask = padded([np.ones_like(self.ids[number]) for number in numbers], 0)
        return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}

    def batches(self, tokens: int) -> Iterator[NDArray[np.int64]]:
        """All parts, by length, at most ``tokens`` together."""
        yield from cut(np.argsort(self.lengths, kind="stable"), self.lengths, tokens)


def padded(rows: Sequence[NDArray[np.int64]], value: int) -> torch.Tensor:
    """Rows of different lengths as one tensor."""
    return torch.nn.utils.rnn.pad_sequence([torch.from_numpy(row) for row in rows], True, float(value))


def _positions(start: Start) -> int:
    return int(start.model.config.to_dict().get("max_position_embeddings", start.tokenizer.model_max_length))
