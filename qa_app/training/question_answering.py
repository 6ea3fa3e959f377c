"""Fine-tuning of extractive readers.

FARMReader's own ``train`` is not used: it pads every window to ``max_seq_len``, sorts nothing by length, and cannot be
continued so that the same reader comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from haystack.modeling.evaluation.squad import compute_exact, compute_f1
from numpy.typing import NDArray
from transformers import AutoModelForQuestionAnswering

from qa_app.datasets.squad import read_questions
from qa_app.errors import InvalidRequestError, ModelError, SettingsError
from qa_app.training import output
from qa_app.training.batches import cut
from qa_app.training.examples import (
    Example,
    Source,
    SourceReport,
    hold_out,
    parse_source,
    read_examples,
    stranger,
    without,
)
from qa_app.training.loop import Progress, Recipe, train
from qa_app.training.models import Start, open_start
from qa_app.training.squad_windows import NEVER, Windows

#: Tokens of the longest answer that validation looks for.
_LONGEST = 30


@dataclass(frozen=True)
class Options:
    """What a reader is trained from and how; files may carry weights, as ``FILE:2`` or ``FILE:0.5``.

    Without ``validation`` some documents of ``data`` are held out. No document, context or question of the files
    ``apart`` is trained on or validated with, wherever else it is. ``teacher`` is a reader whose scores are imitated
    with weight ``teacher_weight``, at ``temperature``. ``half`` writes float16. Raises SettingsError.
    """

    data: tuple[str, ...]
    start: str
    validation: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    max_seq_len: int = 256
    stride: int = 128
    max_per_context: int | None = None
    skip_bad: bool = False
    teacher: str | None = None
    teacher_weight: float = 0.5
    temperature: float = 2.0
    half: bool = False
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if self.max_per_context is not None and self.max_per_context < 1:
            raise SettingsError(f"max_per_context = {self.max_per_context} is not a number from 1 up")
        if not 0 < self.teacher_weight <= 1 or not 0 < self.temperature <= 100:
            raise SettingsError("the teacher's weight must be above 0 and up to 1, its temperature above 0")
        if self.max_seq_len > self.recipe.tokens:
            raise SettingsError(
                f"tokens = {self.recipe.tokens} holds no window of {self.max_seq_len} tokens; raise it (--tokens)"
            )


def train_question_answering(
    options: Options,
    folder: Path,
    *,
    checkpoint_minutes: float = 5.0,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_message: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Trains a reader into ``folder``, which :class:`qa_app.reading.reader.PassageReader` takes; returns its recipe.

    Killed, the same call goes on from the last checkpoint. Raises what reading the files, opening the models and
    writing the folder raise.
    """
    with output.claimed(folder, overwrite=overwrite):
        examples, held, reports = read_data(options)
        for report in (one for one in reports if one.bad):
            on_message(f"{report.path}: {report.bad} entries passed over, the first: {report.first_bad}")
        start = open_start(options.start, AutoModelForQuestionAnswering, head="qa_outputs", seed=options.recipe.seed)
        _check_limit(start, options.max_seq_len)
        given = asdict(options)
        identity = {
            **given.pop("recipe"),
            **given,
            "sources": [report.to_dict() for report in reports],
            "start_sha256": start.sha256,
        }
        checkpoint = output.open_checkpoint(folder, identity, minutes=checkpoint_minutes, overwrite=overwrite)
        on_message(f"{len(examples)} questions to train on, {len(held)} held out")
        task = Reading(start, examples, held, options)
        on_message(f"{len(task.windows)} windows, {int(task.windows.lengths.sum())} tokens")
        if task.windows.lost:
            on_message(f"{task.windows.lost} questions left out, no window holds their answer as a whole")
        outcome = train(start.model, task, options.recipe, checkpoint, on_progress)
        recipe = {
            "task": "question-answering",
            **identity,
            "questions": len(examples),
            "held_out": len(held),
            "windows": len(task.windows),
            "answer_in_no_window": task.windows.lost,
            **{key: value for key, value in vars(outcome).items() if key != "weights"},
            "versions": output.versions(),
        }
        output.save(folder, start, outcome, recipe, half=options.half)
    return recipe


def read_data(options: Options) -> tuple[list[Example], list[Example], list[SourceReport]]:
    """What to train on, what is held out, and a report of each file; no document is in both."""
    generator = np.random.default_rng(options.recipe.seed)
    reports: list[SourceReport] = []

    def read(files: Sequence[str], most: int | None) -> list[Example]:
        found: list[Example] = []
        for file in files:
            source: Source = parse_source(file)
            some, report = read_examples(source, generator, max_per_context=most, skip_bad=options.skip_bad)
            found += some
            reports.append(report)
        return found

    examples = read(options.data, options.max_per_context)
    for file in options.apart:
        is_strange = stranger(read_questions(Path(file)))
        examples = [one for one in examples if is_strange(one.document, one.context, one.question)]
    if options.validation:
        held = read(options.validation, None)
        examples = without(examples, held)
        if not examples:
            raise InvalidRequestError("every document to train on is also one to validate with; name others")
    else:
        examples, held = hold_out(examples, generator)
    return examples, held, reports


def _check_limit(start: Start, max_seq_len: int) -> None:
    limit = min(getattr(start.model.config, "max_position_embeddings", max_seq_len), start.tokenizer.model_max_length)
    if max_seq_len > limit:
        raise SettingsError(f"max_seq_len = {max_seq_len} is more than the {limit} tokens that {start.name} takes")


class Reading:
    """The task: the first and the last token of the answer, or the first mark of the input where there is none."""

    def __init__(self, start: Start, examples: Sequence[Example], held: Sequence[Example], options: Options) -> None:
        make = partial(Windows, start.tokenizer, max_seq_len=options.max_seq_len, stride=options.stride)
        self.windows = make(examples, answered=True)
        self.lengths = self.windows.widths
        self._held = held
        self._held_windows = make(held)
        self._held_batches = cut(
            np.argsort(self._held_windows.widths, kind="stable"),
            self._held_windows.widths,
            4 * options.recipe.tokens,
        )
        self._options = options
        self._teacher = _open_teacher(options.teacher, start) if options.teacher else None

    def loss(self, model: torch.nn.Module, examples: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Cross entropy of start and end, mixed with the distance from the teacher's scores where there is one."""
        inputs = self.windows.batch(examples, device)
        scores = _scores(model, inputs)
        gold = torch.stack(
            [
                torch.from_numpy(one[examples].astype(np.int64))
                for one in (self.windows.answer_start, self.windows.answer_end)
            ]
        ).to(device)
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), gold.flatten())
        if self._teacher is None:
            return loss
        # The teacher computes in the format of the model.
        teacher = self._teacher.to(device=device, dtype=next(model.parameters()).dtype)
        with torch.no_grad():
            wanted = _scores(teacher, inputs)
        heat, weight = self._options.temperature, self._options.teacher_weight
        distance = torch.nn.functional.kl_div(
            (scores / heat).log_softmax(-1).flatten(0, 1),
            (wanted / heat).softmax(-1).flatten(0, 1),
            reduction="batchmean",
        )
        # A temperature shrinks gradients by its square.
        return (1 - weight) * loss + weight * heat**2 * distance

    def scores(self, model: torch.nn.Module, device: torch.device) -> dict[str, float]:
        """See :func:`squad_scores`; ``score`` is the F1 over all questions."""
        windows = self._held_windows
        best = np.full(len(self._held), 2 * NEVER)
        nothing = np.full(len(self._held), np.inf)
        texts = [""] * len(self._held)
        for batch in self._held_batches:
            rows = _scores(model, windows.batch(batch, device)).cpu().numpy().transpose(1, 2, 0)
            for row, window in zip(rows, batch):
                example = int(windows.example[window])
                score, first, last, none = windows.spans(row, int(window), _LONGEST)
                nothing[example] = min(nothing[example], none)
                if score > best[example]:
                    best[example] = score
                    begin, end = windows.text_place(example, first, last)
                    texts[example] = self._held[example].context[begin:end]
        return squad_scores(self._held, texts, nothing - best)


def _scores(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Scores of start and end, float32 of shape (2, windows, tokens); padding is never an answer."""
    given = model(**inputs)
    scores = torch.stack([given.start_logits, given.end_logits]).float()
    return scores.masked_fill(inputs["attention_mask"] == 0, NEVER)


def squad_scores(examples: Sequence[Example], texts: Sequence[str], no_answer: NDArray[np.float64]) -> dict[str, float]:
    """SQuAD 2.0's F1 in percent, where answers are given up to the ``threshold`` of ``no_answer`` that is best.

    ``f1`` is over all questions, ``has_answer_f1`` and ``no_answer_f1`` over those with an answer and without;
    ``made_to_answer_f1`` and ``made_to_answer_exact`` are over those with an answer, all answered. What would be over
    no questions is left out.
    """
    has = np.array([bool(example.answers) for example in examples])
    answered = np.array(
        [max((compute_f1(gold, text) for gold, _ in one.answers), default=0) for one, text in zip(examples, texts)],
        float,
    )
    exact = np.array(
        [max((compute_exact(gold, text) for gold, _ in one.answers), default=0) for one, text in zip(examples, texts)],
        float,
    )
    order = np.argsort(no_answer, kind="stable")
    # The sum after the first n questions in this order are answered and the others are not.
    sums = np.append(0, np.cumsum((answered - ~has)[order])) + (~has).sum()
    count = int(np.argmax(sums))
    given = np.zeros(len(examples), bool)
    given[order[:count]] = True
    f1 = np.where(given, answered, ~has)

    def mean(values: NDArray[Any]) -> float:
        return round(100 * float(values.mean()), 3)

    parts = {
        "has_answer_f1": f1[has],
        "no_answer_f1": f1[~has],
        "made_to_answer_f1": answered[has],
        "made_to_answer_exact": exact[has],
    }
    return {
        "score": mean(f1),
        "f1": mean(f1),
        "threshold": round(float(no_answer[order[count - 1]]), 4) if count else round(float(no_answer.min()) - 1, 4),
        **{name: mean(part) for name, part in parts.items() if part.size},
    }


def _open_teacher(name: str, start: Start) -> Any:
    """A reader with the tokens of ``start``; raises ModelError for any other."""
    teacher = open_start(name, AutoModelForQuestionAnswering, head="\0")
    if teacher.tokenizer.get_vocab() != start.tokenizer.get_vocab():
        raise ModelError(f"the teacher {name} has other tokens than {start.name}; choose one of the same family")
    return teacher.model.eval().requires_grad_(False)
