"""Models that label texts and tag words: what they learn from, and how they are scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from qa_app.datasets.labelled import Sentence, read_texts
from qa_app.errors import InvalidRequestError, SettingsError
from qa_app.training.classification import Options, read_data
from qa_app.training.loop import Recipe
from qa_app.training.models import open_start
from qa_app.training.text_classification import label_scores, train_text_classification
from qa_app.training.token_classification import Tagging, span_scores
from tests.unit.reading.tiny import save_model
from tests.unit.training.labelled import moods, write_csv


def small(*data: Path, start: Path | str = "", **rest: object) -> Options:
    return Options(data=tuple(map(str, data)), start=str(start), recipe=Recipe(tokens=256, epochs=1), **rest)  # type: ignore[arg-type]


def test_label_scores() -> None:
    """Accuracy and macro-F1, reckoned by hand."""
    gold, said = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    scores = label_scores(gold, said)
    assert scores["accuracy"] == round(100 * 4 / 6, 3)
    assert scores["macro_f1"] == scores["score"] == pytest.approx(100 * (4 / 6 + 4 / 5 + 0) / 3, abs=1e-3)


def test_span_scores() -> None:
    """Only whole entities of the right kind count; a boundary or kind that is wrong is wrong twice."""
    gold = ["B-PER I-PER O B-LOC".split(), "B-LOC O".split()]
    said = ["B-PER I-PER O B-PER".split(), "B-LOC I-LOC".split()]
    scores = span_scores(gold, said)
    assert scores["precision"] == scores["recall"] == scores["f1"] == round(100 / 3, 3)
    assert span_scores([["O"]], [["O"]])["f1"] == 0


def test_no_text_is_on_both_sides(tmp_path: Path) -> None:
    """Rows with one text are held out together, and what validates is never trained on."""
    rows = moods(40, 1)
    path = write_csv(tmp_path / "a.csv", rows + rows[:30])
    examples, held, _ = read_data(read_texts, small(path))
    assert 2 <= len(held) <= 15
    assert not {one.text for one in examples} & {one.text for one in held}
    other = write_csv(tmp_path / "b.csv", rows[:10])
    examples, held, _ = read_data(read_texts, small(path, validation=(str(other),)))
    assert len(held) == 10
    assert len(examples) == 70 - 20
    with pytest.raises(InvalidRequestError, match="too few"):
        read_data(read_texts, small(path, validation=(str(path),)))


def test_what_cannot_be_trained(tmp_path: Path) -> None:
    """One label alone, a label that only validation has, and windows beyond the model are errors that say so."""
    start = save_model(tmp_path / "tiny")
    only = write_csv(tmp_path / "only.csv", [(text, "joy") for text, _ in moods(20, 1)])
    with pytest.raises(InvalidRequestError, match="only label is 'joy'"):
        train_text_classification(small(only, start=start), tmp_path / "out")
    both = write_csv(tmp_path / "both.csv", moods(20, 1))
    strange = write_csv(tmp_path / "strange.csv", [("Something else", "awe")])
    with pytest.raises(InvalidRequestError, match="'awe' is only"):
        train_text_classification(small(both, start=start, validation=(str(strange),)), tmp_path / "out")
    wide = Options(data=(str(both),), start=str(start), max_seq_len=1024)
    with pytest.raises(SettingsError, match="512 tokens"):
        train_text_classification(wide, tmp_path / "out")


def test_each_word_has_its_tag_once(tmp_path: Path) -> None:
    """Cut into parts anywhere, every word of the tokenizer has one tag, and words in several pieces are continued."""
    save_model(tmp_path / "tiny")
    labels = {"O": 0, "B-PER": 1, "I-PER": 2}
    start = open_start(
        str(tmp_path / "tiny"),
        AutoModelForTokenClassification,
        head="classifier",
        id2label={number: name for name, number in labels.items()},
        label2id=labels,
    )
    sentence = Sentence(("(Abcdefgh-Ij", "met", "Klmnopqrstuvwxyz", "."), ("B-PER", "O", "B-PER", "O"), "g")
    # The pieces: ( Abcdefgh - Ij met Klmnopqrstuvwxyz .
    for max_seq_len in (8, 11, 64):
        task = Tagging(start, [sentence], [sentence], labels, small(max_seq_len=max_seq_len))
        tags = [int(tag) for gold in task._gold for tag in gold if tag != -100]
        assert tags == [1, 2, 2, 2, 0, 1, 0], max_seq_len
        assert max(task.lengths) <= max_seq_len
        loss = task.loss(start.model, np.arange(len(task.lengths)), torch.device("cpu"))
        assert torch.isfinite(loss)


def test_a_text_classifier_keeps_its_names(tmp_path: Path) -> None:
    """The folder that is written has the labels' names, both ways, and loads as transformers has them."""
    start = save_model(tmp_path / "tiny")
    data = write_csv(tmp_path / "moods.csv", moods(30, 1))
    made = train_text_classification(small(data, start=start), tmp_path / "made")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "made")
    assert model.config.id2label == {0: "joy", 1: "sadness"}
    assert model.config.label2id == {"joy": 0, "sadness": 1}
    assert made["labels"] == ["joy", "sadness"]
    assert made["examples"] + made["held_out"] == 30
