"""The loop, with a task that is a line through points: no language, the same steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from qa_app.errors import ModelError, SettingsError
from qa_app.training.checkpoints import CheckpointFile
from qa_app.training.loop import Outcome, Progress, Recipe, train
from qa_app.training.weights import ExactWeights

RECIPE = Recipe(epochs=4, learning_rate=0.05, tokens=64, validations=2, precision="f32", weight_decay=0.0)


class Line:
    """Learns y = 3x - 1; scores are fixed where ``told``."""

    def __init__(self, told: list[float] | None = None) -> None:
        self.x = torch.linspace(-1, 1, 200).unsqueeze(1)
        self.y = 3 * self.x - 1
        self.lengths = np.random.default_rng(1).integers(4, 9, 200).astype(np.int32)
        self.told = told
        self.weights_seen: list[torch.Tensor] = []

    def loss(self, model: torch.nn.Module, examples: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        dtype = next(model.parameters()).dtype
        return ((model(self.x[examples].to(dtype)) - self.y[examples]) ** 2).mean().float()

    def scores(self, model: torch.nn.Module, device: torch.device) -> dict[str, float]:
        self.weights_seen.append(next(model.parameters()).detach().float().clone())
        dtype = next(model.parameters()).dtype
        error = float(((model(self.x.to(dtype)) - self.y) ** 2).mean())
        return {"score": self.told.pop(0) if self.told else -error, "error": error}


def model() -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Dropout(0.1), torch.nn.Linear(8, 1))


def ended(folder: Path, recipe: Recipe = RECIPE, task: Any = None, **rest: Any) -> Outcome:
    return train(model(), task or Line(), recipe, CheckpointFile(folder / "checkpoint.pt", {}, minutes=60), **rest)


class StopError(Exception):
    """The end of a run that does not get to say good-bye."""


@pytest.mark.parametrize("change", [{}, {"precision": "bf16", "average": True}])
def test_a_broken_run_ends_as_the_whole_one(tmp_path: Path, change: dict[str, Any]) -> None:
    """Broken off at any step and continued, a run ends with the same weights, to the bit, and the same history."""
    recipe = replace(RECIPE, **change)
    whole = ended(tmp_path, recipe)

    for last in (3, 4, 17, 60):

        def stop(progress: Progress, last: int = last) -> None:
            if progress.step > last:
                raise StopError

        with pytest.raises(StopError):
            train(model(), Line(), recipe, CheckpointFile(tmp_path / "checkpoint.pt", {}, 1e-9), stop)
    steps: list[int] = []
    again = ended(tmp_path, recipe, on_progress=lambda progress: steps.append(progress.step))
    assert steps[0] > 60
    assert again.history == whole.history
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in whole.weights.items())


def test_it_learns_and_says_where_it_is(tmp_path: Path) -> None:
    """The loss sinks, steps are reported to the last, and validations come with their scores."""
    told: list[Progress] = []
    outcome = ended(tmp_path, on_progress=told.append)
    assert outcome.scores["error"] < 0.1
    assert told[-1].step == told[-1].steps == outcome.steps
    assert told[-1].loss < told[0].loss / 3
    assert told[-1].seconds_left == 0
    assert [one.step for one in told if one.scores] == [entry["step"] for entry in outcome.history]
    assert len(outcome.history) == 8
    assert {one.epoch for one in told} == {1, 2, 3, 4}


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    """Of all validations, the weights of the one with the best score come out, whatever comes later."""
    task = Line(told=[0.1, 0.9, 0.5, 0.9, 0.2, 0.1, 0.0, 0.3])
    outcome = ended(tmp_path, replace(RECIPE, patience=8), task)
    assert outcome.scores["score"] == 0.9
    assert outcome.step == outcome.history[1]["step"]
    assert torch.equal(outcome.weights["0.weight"], task.weights_seen[1])
    assert not torch.equal(outcome.weights["0.weight"], task.weights_seen[-1])
    assert not outcome.stopped_early


def test_it_stops_when_nothing_gets_better(tmp_path: Path) -> None:
    """After ``patience`` validations in a row without a better score the run ends."""
    outcome = ended(tmp_path, replace(RECIPE, patience=2), Line(told=[0.5, 0.6, 0.1, 0.7, 0.2, 0.7, 0.1, 0.1]))
    assert outcome.stopped_early
    assert [entry["score"] for entry in outcome.history] == [0.5, 0.6, 0.1, 0.7, 0.2, 0.7]


def test_averaged_weights_are_scored_and_kept(tmp_path: Path) -> None:
    """With ``average`` validation sees the mean of the weights, and training goes on without it."""
    task, plain = Line(), Line()
    ended(tmp_path, replace(RECIPE, average=True), task)
    ended(tmp_path, RECIPE, plain)
    assert not torch.equal(task.weights_seen[0], plain.weights_seen[0])
    # At the end the rate is next to nothing, so that both arrive at one place.
    assert torch.allclose(task.weights_seen[-1], plain.weights_seen[-1], atol=0.05)


def test_small_steps_add_up_in_bfloat16(tmp_path: Path) -> None:
    """Steps that bfloat16 would round away are kept in float32 and reach the model when they are enough."""
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    weights = ExactWeights(layer, torch.bfloat16, average=False, horizon=1)
    for step in range(1, 101):
        with torch.no_grad():
            weights.exact["weight"] += 1e-3  # half of what bfloat16 can tell from 1 is 4e-3
        weights.give_back(step)
    assert float(layer.weight.detach()) == pytest.approx(1.1, abs=0.005)


def test_the_rate_rises_and_sinks() -> None:
    """It rises over the warm-up, has its height once, and is nearly nothing at the last step."""
    rates = [Recipe(learning_rate=1.0 - 1e-9, warmup=0.1).rate(step, 100) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[9] == max(rates)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.02
    assert Recipe(warmup=0).rate(0, 1) > 0


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    """A run that diverged is an error with a way out, not a model of NaN."""
    task = Line()
    task.y[:] = torch.inf
    with pytest.raises(ModelError, match="--learning-rate"):
        ended(tmp_path, task=task)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("warmup", 1.0),
        ("tokens", 0),
        ("seed", -1),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, value: float) -> None:
    """A recipe's numbers are checked when it is made, and named."""
    with pytest.raises(SettingsError, match=name):
        Recipe(**{name: value})  # type: ignore[arg-type]


def test_an_unknown_precision_is_refused() -> None:
    """Only formats that there are can be asked for."""
    with pytest.raises(SettingsError, match="fp8"):
        Recipe(precision="fp8")


def test_checkpoints_are_of_their_run(tmp_path: Path) -> None:
    """A checkpoint of other options is refused with what differs, a damaged one with the way out; both are kept."""
    path = tmp_path / "checkpoint.pt"
    CheckpointFile(path, {"seed": 1, "epochs": 2}).write({"x": torch.ones(3)})
    same = CheckpointFile(path, {"seed": 1, "epochs": 2}).read()
    assert same is not None
    assert torch.equal(same["x"], torch.ones(3))
    with pytest.raises(SettingsError, match="seed is 1 there and 2 here"):
        CheckpointFile(path, {"seed": 2, "epochs": 2}).read()
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"nonsense"):
        path.write_bytes(damaged)
        with pytest.raises(SettingsError, match="--overwrite"):
            CheckpointFile(path, {}).read()
        assert path.read_bytes() == damaged
    assert CheckpointFile(tmp_path / "none.pt", {}).read() is None


def test_a_checkpoint_that_cannot_be_written_leaves_the_last(tmp_path: Path) -> None:
    """Where the disk is full the former checkpoint stays whole, and the error says so."""
    path = tmp_path / "checkpoint.pt"
    CheckpointFile(path, {}).write({"step": 1})
    full = CheckpointFile(path, {})
    full.path = Path("/dev/full/checkpoint.pt")
    with pytest.raises(SettingsError, match="cannot be written"):
        full.write({"step": 2})
    (tmp_path / "checkpoint.pt.part").symlink_to("/dev/full")
    with pytest.raises(SettingsError, match="make room"):
        CheckpointFile(path, {}).write({"step": 2})
    state = CheckpointFile(path, {}).read()
    assert state == {"step": 1}
