"""What a training run says while it runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qa_app.cli import train
from qa_app.training.loop import Progress

NOW = Progress(step=40, steps=200, epoch=1, loss=1.25, tokens_per_second=2400.0, seconds_left=5400.0)


def test_plain_lines_tell_the_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal standard error gets a line now and then, and every score; standard output nothing."""
    monkeypatch.setattr(train, "_EVERY", 0.0)
    with train.TrainingProgress() as progress:
        progress.show(NOW)
        progress.show(replace(NOW, seconds_left=50.0, scores={"score": 71.5, "f1": 71.5}))
        progress.show(replace(NOW, seconds_left=2.0))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "step 40 of 200, epoch 1, loss 1.250, 2400 tokens/s, 1 h 30 min left",
        "step 40: f1 71.5",
        "step 40 of 200, epoch 1, loss 1.250, 2400 tokens/s, 1 min left",
        "step 40 of 200, epoch 1, loss 1.250, 2400 tokens/s, 2 s left",
    ]
