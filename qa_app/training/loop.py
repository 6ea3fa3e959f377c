"""The training loop, of whatever task: steps, validation, early stop, checkpoints.

A run is a function of its options, its data and the machine: which examples a step takes follows from the seed
alone, and each step seeds its own chance, so that a run that was killed and continued ends, on a processor, bit for bit
as the one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from qa_app.errors import ModelError, SettingsError
from qa_app.training.batches import padding_share, plan
from qa_app.training.checkpoints import CheckpointFile
from qa_app.training.memory import kept_memory
from qa_app.training.weights import PRECISIONS, ExactWeights, State, precision

#: Share of the run over which weights are averaged.
_AVERAGED = 0.05
#: Steps between two reports of progress.
_REPORTED = 5


class Task(Protocol):
    """What is learnt: examples with a loss, and a score on others."""

    lengths: NDArray[np.int32]
    """Tokens of each example to train on, shape (examples,)."""

    def loss(self, model: torch.nn.Module, examples: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """The mean loss of some examples, by their numbers; float32."""
        ...

    def scores(self, model: torch.nn.Module, device: torch.device) -> dict[str, float]:
        """How good the model is on what was held out; ``score`` is what counts, the higher the better."""
        ...


@dataclass(frozen=True)
class Recipe:
    """The numbers of a run.

    ``tokens`` is the size of a batch, padding counted; ``warmup`` the share of steps in which the learning rate rises,
    before it sinks to zero in a line; ``clip`` the largest norm of the gradient; ``validations`` the number of
    validations in an epoch, of which ``patience`` in a row without a better score end the run. ``average`` scores and
    keeps a running mean of the weights. Raises SettingsError for numbers out of range.
    """

    epochs: int = 2
    learning_rate: float = 1e-4
    warmup: float = 0.06
    weight_decay: float = 0.01
    clip: float = 1.0
    tokens: int = 4096
    validations: int = 2
    patience: int = 3
    average: bool = False
    seed: int = 1
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name, good in (
            ("epochs", self.epochs >= 1),
            ("learning_rate", 0 < self.learning_rate < 1),
            ("warmup", 0 <= self.warmup < 1),
            ("weight_decay", 0 <= self.weight_decay < 1),
            ("clip", self.clip > 0),
            ("tokens", self.tokens >= 1),
            ("validations", self.validations >= 1),
            ("patience", self.patience >= 1),
            ("seed", 0 <= self.seed < 2**31),
        ):
            if not good:
                raise SettingsError(f"{name} = {getattr(self, name)!r} is out of range")
        if self.precision not in PRECISIONS:
            raise SettingsError(f"precision = {self.precision!r} is not one of: {', '.join(PRECISIONS)}")

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of the step with this number, counted from 0."""
        rising = max(1, round(self.warmup * steps))
        share = (step + 1) / rising if step < rising else (steps - step) / max(1, steps - rising)
        return self.learning_rate * share


@dataclass(frozen=True)
class Progress:
    """Where a run is; ``scores`` are those of a validation that was just made, else None."""

    step: int
    steps: int
    epoch: int
    loss: float
    tokens_per_second: float
    seconds_left: float
    scores: dict[str, float] | None = None


@dataclass
class Outcome:
    """What a run ends with: the best weights by score, and how it went.

    ``history`` has an entry with ``step`` and the scores for each validation; ``seconds`` add up over continuations.
    """

    weights: State
    scores: dict[str, float]
    step: int
    steps: int
    stopped_early: bool
    seconds: float
    padding: float
    precision: str
    history: list[dict[str, float]]


@dataclass
class _Standing:
    """What a run knows beside its weights; all of it is in a checkpoint."""

    step: int = 0
    best: State = field(default_factory=dict)
    best_scores: dict[str, float] = field(default_factory=dict)
    best_step: int = 0
    stale: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def find_device() -> torch.device:
    """A graphics card where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(
    model: torch.nn.Module,
    task: Task,
    recipe: Recipe,
    checkpoint: CheckpointFile,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Trains ``model`` in place, from its checkpoint where there is one.

    The model has other weights, in another format, afterwards: what was learnt is in the outcome. Raises ModelError
    where the loss is not a number or memory does not suffice, and what writing checkpoints raises.
    """
    try:
        with torch.random.fork_rng(), kept_memory():
            return _Run(model, task, recipe, checkpoint, on_progress).to_the_end()
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ModelError(
            f"there is not enough memory for batches of {recipe.tokens} tokens; choose fewer (--tokens)"
        ) from error


class _Run:
    def __init__(
        self,
        model: torch.nn.Module,
        task: Task,
        recipe: Recipe,
        checkpoint: CheckpointFile,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.task, self.recipe, self.checkpoint, self.on_progress = task, recipe, checkpoint, on_progress
        self.device = find_device()
        self.model = model.to(self.device).train()
        self.batches = plan(task.lengths, epochs=recipe.epochs, tokens=recipe.tokens, seed=recipe.seed)
        self.steps = len(self.batches)
        self.dtype = precision(recipe.precision, self.device)
        horizon = max(1, round(_AVERAGED * self.steps))
        self.weights = ExactWeights(self.model, self.dtype, average=recipe.average, horizon=horizon)
        self.optimizer = _optimizer(self.weights.exact, recipe)
        self.validated = {
            round(self.steps * (number + 1) / (recipe.epochs * recipe.validations))
            for number in range(recipe.epochs * recipe.validations)
        }
        self.now = _Standing()
        self._resume()
        self._began, self._began_step, self._tokens = time.monotonic(), self.now.step, 0
        self._loss = 0.0

    def to_the_end(self) -> Outcome:
        now = self.now
        while now.step < self.steps and now.stale < self.recipe.patience:
            loss = self._step(self.batches[now.step])
            now.step += 1
            self._loss = 0.98 * self._loss + 0.02 * loss if self._loss else loss
            scores = self._validate() if now.step in self.validated else None
            if scores or now.step % _REPORTED == 0:
                self.on_progress(self._progress(scores))
            if self.checkpoint.due:
                self._save()
        return Outcome(
            weights=now.best,
            scores=now.best_scores,
            step=now.best_step,
            steps=self.steps,
            stopped_early=now.step < self.steps,
            seconds=self._seconds,
            padding=padding_share(self.batches, self.task.lengths),
            precision=str(self.dtype).removeprefix("torch."),
            history=now.history,
        )

    def _step(self, batch: NDArray[np.int64]) -> float:
        """One change of the weights; the loss before it."""
        # Chance that depends on the step alone needs no state in the checkpoint.
        torch.manual_seed(self.recipe.seed * 2**32 + self.now.step)
        loss = self.task.loss(self.model, batch, self.device)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise ModelError(f"the loss of step {self.now.step + 1} is not a number; choose a smaller --learning-rate")
        loss.backward()
        self.weights.take_gradients()
        torch.nn.utils.clip_grad_norm_(self.weights.exact.values(), self.recipe.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.now.step, self.steps)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.weights.give_back(self.now.step + 1)
        self._tokens += int(self.task.lengths[batch].sum())
        return value

    def _validate(self) -> dict[str, float]:
        now = self.now
        with self.weights.scored() as model:
            scores = self.task.scores(model, self.device)
        now.history.append({"step": now.step, **scores})
        if not now.best or scores["score"] > now.best_scores["score"]:
            now.best = {name: tensor.cpu().clone() for name, tensor in self.weights.best_guess().items()}
            now.best_scores, now.best_step, now.stale = scores, now.step, 0
        else:
            now.stale += 1
        return scores

    @property
    def _seconds(self) -> float:
        return self.now.seconds + time.monotonic() - self._began

    def _progress(self, scores: dict[str, float] | None) -> Progress:
        passed = time.monotonic() - self._began
        step = self.now.step
        return Progress(
            step=step,
            steps=self.steps,
            epoch=min(self.recipe.epochs, 1 + step * self.recipe.epochs // self.steps),
            loss=self._loss,
            tokens_per_second=self._tokens / passed,
            seconds_left=passed / (step - self._began_step) * (self.steps - step),
            scores=scores,
        )

    def _save(self) -> None:
        exact = {name: tensor.detach() for name, tensor in self.weights.exact.items()}
        standing = {**vars(self.now), "seconds": self._seconds}
        self.checkpoint.write(
            {
                "weights": exact,
                "average": self.weights.average,
                "optimizer": self.optimizer.state_dict(),
                "standing": standing,
            }
        )

    def _resume(self) -> None:
        state: dict[str, Any] | None = self.checkpoint.read(self.device)
        if state is None:
            return
        self.weights.restore(state["weights"], state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.now = _Standing(**state["standing"])


def _optimizer(weights: State, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; biases and the scales of normalisations, which have one dimension, do not decay."""
    groups = [
        {"params": [one for one in weights.values() if one.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [one for one in weights.values() if one.ndim < 2], "weight_decay": 0.0},
    ]
    # Fused, an update takes a tenth of the time on a processor.
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
