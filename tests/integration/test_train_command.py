"""``qa-app train question-answering`` from a file of questions to a reader that answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from haystack.schema import Document
from safetensors.torch import load_file
from transformers import AutoModelForQuestionAnswering, BertModel

from qa_app.errors import (
    ConflictError,
    InvalidRequestError,
    ModelError,
    NotFoundError,
    QaAppError,
    SettingsError,
)
from qa_app.reading.reader import PassageReader
from qa_app.training.examples import Example
from qa_app.training.loop import Recipe
from qa_app.training.models import open_start
from qa_app.training.output import claimed
from qa_app.training.question_answering import Options, Reading, read_data, squad_scores, train_question_answering
from tests.integration.test_cli import Shell
from tests.unit.reading.tiny import edit_weights, save_model
from tests.unit.training.squad import article, freight, write_squad

#: Small windows for texts of characters.
SMALL = ("--max-seq-len", 128, "--stride", 32, "--tokens", 256, "--precision", "f32")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A reader with a token for each character, and random weights."""
    return save_model(tmp_path / "tiny")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_squad(tmp_path / "freight.json", freight(200, 1))


def small(data: Path, start: Path, **rest: Any) -> Options:
    recipe = Recipe(tokens=256, precision="f32", epochs=1, **rest.pop("recipe", {}))
    return Options(data=(str(data),), start=str(start), max_seq_len=128, stride=32, recipe=recipe, **rest)


@pytest.mark.reader
@pytest.mark.slow
def test_200_questions_teach_a_reader(shell: Shell, data: Path, tmp_path: Path) -> None:
    """From 200 questions after a made-up rule a reader learns it with its "no answer", and the app reads with it."""
    apart = write_squad(tmp_path / "apart.json", freight(48, 2))
    options = ("--from", "bundled", "--validation", apart, "--learning-rate", 2e-4)
    sizes = ("--max-seq-len", 128, "--stride", 32, "--tokens", 512)
    made = shell.json("train", "question-answering", data, *options, *sizes, "--half", "--output", "reader")
    assert made["scores"]["has_answer_f1"] > 90, made["history"]
    assert made["scores"]["no_answer_f1"] > 90, made["history"]
    assert made["sources"][0]["questions"] == 200
    assert len(made["sources"][0]["sha256"]) == 64
    assert json.loads((tmp_path / "reader" / "training.json").read_text()) == made
    assert {tensor.dtype for tensor in load_file(tmp_path / "reader" / "model.safetensors").values()} == {torch.float16}
    assert not (tmp_path / "reader" / "checkpoint.pt").exists()

    reader = PassageReader(str(tmp_path / "reader"), engine="torch", use_gpu=False)
    passage = Document(content="Honey from Turku went to Porto in week 8.")
    assert reader.predict("zorp?", [passage])["answers"][0].answer == "Porto"
    assert reader.predict("vask?", [passage])["answers"][0].answer == ""


@pytest.mark.slow
def test_a_killed_run_ends_as_the_unbroken_one(shell: Shell, data: Path, tiny: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle, twice, and the same command again: the same weights to the bit, and the same scores."""
    options = ("--from", tiny, "--epochs", 1, "--validations", 1, "--average", *SMALL, "--checkpoint-minutes", 1e-9)
    command = ["train", "question-answering", f"{data}:2", *options]
    whole = shell.json(*command, "--output", "whole")
    assert whole["step"] == whole["steps"], "the end is not what is compared"
    broken = tmp_path / "broken"
    for _ in range(2):
        kill_in_the_middle([sys.executable, "-m", "qa_app", *map(str, command), "--output", str(broken)], shell, broken)
        assert not (broken / "model.safetensors").exists()
    again = shell.json(*command, "--output", "broken")
    assert again["history"] == whole["history"]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "broken")]
    assert weights[0] == weights[1]


def kill_in_the_middle(command: list[str], shell: Shell, folder: Path) -> None:
    """Kills a run when it has written some checkpoints."""
    with subprocess.Popen(command, cwd=shell.folder, env=shell.environment, stderr=subprocess.DEVNULL) as run:
        seen, until = set(), time.monotonic() + 120
        while len(seen) < 8 and run.poll() is None and time.monotonic() < until:
            if (folder / "checkpoint.pt").exists():
                seen.add((folder / "checkpoint.pt").stat().st_mtime_ns)
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL, "the run was over before it could be killed"


def test_a_folder_keeps_what_it_holds(data: Path, tiny: Path, tmp_path: Path) -> None:
    """A finished model is replaced only when told, an unfinished run of other options continued never."""
    folder = tmp_path / "made"
    train_question_answering(small(data, tiny), folder)
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(SettingsError, match="--overwrite"):
        train_question_answering(small(data, tiny), folder)
    other = small(data, tiny, recipe={"seed": 2})
    with pytest.raises(KeyboardInterrupt):
        train_question_answering(other, folder, overwrite=True, checkpoint_minutes=1e-9, on_progress=interrupt)
    assert (folder / "model.safetensors").read_bytes() == before
    with pytest.raises(SettingsError, match="seed is 2 there and 3 here"):
        train_question_answering(small(data, tiny, recipe={"seed": 3}), folder)
    train_question_answering(small(data, tiny, recipe={"seed": 3}), folder, overwrite=True)
    assert (folder / "model.safetensors").read_bytes() != before
    with claimed(folder, overwrite=True), pytest.raises(ConflictError):
        train_question_answering(small(data, tiny), folder, overwrite=True)


def interrupt(progress: Any) -> None:
    if progress.step >= 10:
        raise KeyboardInterrupt


def test_an_encoder_gets_a_head_by_the_seed(data: Path, tmp_path: Path) -> None:
    """A model without a head is trained as well, the same head for the same seed."""
    encoder = save_model(tmp_path / "encoder", BertModel)
    recipes = [
        train_question_answering(small(data, encoder, recipe={"seed": seed}), tmp_path / str(number))
        for number, seed in enumerate((1, 1, 2))
    ]
    assert recipes[0]["start_sha256"] == recipes[1]["start_sha256"] != recipes[2]["start_sha256"]
    weights = [(tmp_path / str(number) / "model.safetensors").read_bytes() for number in range(3)]
    assert weights[0] == weights[1] != weights[2]
    config = json.loads((tmp_path / "0" / "config.json").read_text())
    assert config["architectures"] == ["BertForQuestionAnswering"]
    assert "_name_or_path" not in config, "where the encoder lay"


def test_a_teacher_is_imitated(data: Path, tiny: Path, tmp_path: Path) -> None:
    """A model that is its own teacher has nothing to learn from it; the gold answers count by what is left."""
    start = open_start(str(tiny), AutoModelForQuestionAnswering, head="qa_outputs")
    start.model.eval()
    examples = read_data(small(data, tiny))[0]

    def loss(**rest: Any) -> float:
        task = Reading(start, examples, examples[:4], small(data, tiny, **rest))
        return float(task.loss(start.model, np.arange(6), torch.device("cpu")).detach())

    gold = loss()
    assert gold > 1
    assert loss(teacher=str(tiny), teacher_weight=1.0) == pytest.approx(0, abs=1e-6)
    assert loss(teacher=str(tiny), teacher_weight=0.25) == pytest.approx(0.75 * gold)
    stranger = save_model(tmp_path / "stranger")
    edit_weights(stranger, lambda tensors: tensors["qa_outputs.weight"].mul_(50))
    assert loss(teacher=str(stranger), teacher_weight=1.0) > 0.01
    made = train_question_answering(small(data, tiny, teacher=str(stranger)), tmp_path / "taught")
    assert made["teacher"] == str(stranger)

    other = save_model(tmp_path / "other")
    (other / "vocab.txt").write_text((other / "vocab.txt").read_text().replace("##z", "##é"))
    (other / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="other tokens"):
        train_question_answering(small(data, tiny, teacher=str(other)), tmp_path / "none")


def test_a_bad_entry_ends_the_command(shell: Shell, tiny: Path, tmp_path: Path) -> None:
    """An answer that is not at its offset ends the command with its place and exit code 2, unless it is passed over."""
    bad = article("Tea", ("Tea is hot.", [("What?", "Tea")]))
    bad["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] = 3
    write_squad(tmp_path / "bad.json", [bad, *freight(40, 5)])
    command = ("train", "question-answering", "bad.json", "--from", tiny, "--epochs", 1, *SMALL, "--output", "made")
    done = shell(*command, code=2)
    assert "bad.json: data[0].paragraphs[0].qas[0].answers[0]: the context does not hold 'Tea'" in done.stderr
    assert not (tmp_path / "made" / "model.safetensors").exists()
    done = shell(*command, "--skip-bad")
    assert "1 entries passed over" in done.stderr
    assert "made: f1 " in done.stdout


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"data": ("none.json",)}, NotFoundError, "none.json is not there"),
        ({"start": "nowhere/at/all"}, ModelError, "cannot be opened"),
        ({"max_seq_len": 1024}, SettingsError, "--tokens"),
        ({"max_seq_len": 1024, "recipe": Recipe(tokens=2048)}, SettingsError, "512 tokens"),
        ({"max_per_context": 0}, SettingsError, "max_per_context"),
        ({"teacher_weight": 0.0}, SettingsError, "teacher"),
        ({"validation": "data"}, InvalidRequestError, "name others"),
    ],
)
def test_what_cannot_be_done_is_said(
    data: Path, tiny: Path, tmp_path: Path, change: dict[str, Any], error: type[QaAppError], message: str
) -> None:
    """Wrong data, models and numbers end with an error of ours that names them, before anything is written."""
    if change.get("validation") == "data":
        change = {"validation": (str(data),)}
    with pytest.raises(error, match=message):
        train_question_answering(replace(small(data, tiny), **change), tmp_path / "made")
    assert not list((tmp_path / "made").glob("*"))


def test_validation_scores_are_those_of_the_metric() -> None:
    """F1 at the best threshold, over all questions and over those with and without an answer, on a case by hand."""
    right, half = (("the red fox", 0),), (("red fox", 0),)
    examples = [Example("q", "c", right, "d"), Example("q", "c", half, "d"), Example("q", "c", (), "d")]
    scores = squad_scores(examples, ["Red fox!", "fox", "cow"], np.array([-3.0, -1.0, 2.0]))
    assert scores["f1"] == scores["score"] == pytest.approx(100 * (1 + 2 / 3 + 1) / 3, abs=0.001)
    assert scores["no_answer_f1"] == 100
    assert scores["threshold"] == -1.0
    assert scores["made_to_answer_exact"] == 50
    silent = squad_scores(examples, ["Red fox!", "fox", "cow"], np.array([3.0, 2.0, -1.0]))
    assert silent["f1"] == pytest.approx(100 * (1 + 2 / 3) / 3, abs=0.001)
    nothing = squad_scores(examples[2:], ["cow"], np.array([-1.0]))
    assert nothing["f1"] == nothing["no_answer_f1"] == 100
    assert nothing["threshold"] < -1.0
    assert not [name for name in nothing if name.startswith(("has_answer", "made_to_answer"))]
    assert "no_answer_f1" not in squad_scores(examples[:2], ["Red fox!", "fox"], np.array([-3.0, -1.0]))
