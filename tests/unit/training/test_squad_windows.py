"""Windows are the reader's own, and mark the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from haystack.modeling.data_handler.processor import SquadProcessor
from transformers import AutoTokenizer, RobertaTokenizerFast

from qa_app.errors import SettingsError
from qa_app.reading.resolution import BUNDLED_FOLDER
from qa_app.reading.windows import windows_of
from qa_app.training.examples import Example
from qa_app.training.squad_windows import Windows

PLAIN = "The Ærø ferry carries 40 cars, and it leaves Søby at noon. 🚢 Horses travel free on Sundays. "
LONG = PLAIN * 20
EXAMPLES = [
    Example("When does the ferry leave?", PLAIN, (("noon", PLAIN.index("noon")),), "a"),
    Example("Who travels free?", LONG, (("Horses", LONG.rindex("Horses")),), "b"),
    Example("Who swims?", LONG, (), "b"),
    Example("How many " * 60 + "cars?", PLAIN, (("40 cars", PLAIN.index("40 cars")),), "a"),
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(BUNDLED_FOLDER, local_files_only=True)


def test_windows_are_those_of_the_reader(tokenizer: Any) -> None:
    """Ids and segments of all windows are what the reader makes of the same questions, to the number."""
    processor = SquadProcessor(tokenizer=tokenizer, max_seq_len=256, doc_stride=128, data_dir=None)
    asked = [
        {"context": one.context, "qas": [{"id": str(n), "question": one.question, "answers": []}]}
        for n, one in enumerate(EXAMPLES)
    ]
    expected, _ = windows_of(processor, asked)
    made = Windows(tokenizer, EXAMPLES)
    assert len(made) == len(expected) > len(EXAMPLES)
    for number, window in enumerate(expected):
        batch = made.batch(np.array([number]), torch.device("cpu"))
        real = batch["attention_mask"][0] == 1
        assert batch["input_ids"][0][real].tolist() == window.ids.tolist()
        assert batch["token_type_ids"][0][real].tolist() == window.segments.tolist()
        assert made.lengths[number] == len(window)


def test_the_marked_tokens_are_the_answer(tokenizer: Any) -> None:
    """In each window the marked tokens spell the answer, or are the first mark where the window does not hold it."""
    made = Windows(tokenizer, EXAMPLES)
    marked = set()
    for window in range(len(made)):
        ids = made.batch(np.array([window]), torch.device("cpu"))["input_ids"][0]
        start, end = int(made.answer_start[window]), int(made.answer_end[window])
        example = EXAMPLES[made.example[window]]
        if end:
            assert tokenizer.decode(ids[start : end + 1]) == example.answers[0][0].lower()
            marked.add(int(made.example[window]))
        else:
            assert start == 0
            assert not example.answers or example.context == LONG
    assert marked == {0, 1, 3}


def test_marked_tokens_lead_back_to_the_code_points(tokenizer: Any) -> None:
    """The best span of scores that favour the marked tokens has the answer's very code points."""
    made = Windows(tokenizer, EXAMPLES)
    for window in np.flatnonzero(made.answer_end):
        scores = np.zeros((int(made.lengths[window]), 2), np.float32)
        scores[made.answer_start[window], 0] = scores[made.answer_end[window], 1] = 5
        score, first, last, nothing = made.spans(scores, int(window), 30)
        example = EXAMPLES[made.example[window]]
        begin, end = made.text_place(int(made.example[window]), first, last)
        assert example.context[begin:end] == example.answers[0][0]
        assert begin == example.answers[0][1]
        assert (score, nothing) == (10, 0)


def test_spans_end_after_they_begin_and_stay_in_the_passage(tokenizer: Any) -> None:
    """Whatever the scores, the best span is that of a search through all pairs in the passage."""
    made = Windows(tokenizer, EXAMPLES[:1])
    scores = np.random.default_rng(5).normal(size=(int(made.lengths[0]), 2)).astype(np.float32)
    begin = made.passage_first(0)
    count = int(made.end[0])
    pairs = {
        (start, end): scores[begin + start, 0] + scores[begin + end, 1]
        for start in range(count)
        for end in range(start, min(count, start + 4))
    }
    best = max(pairs, key=lambda pair: pairs[pair])
    score, first, last, _ = made.spans(scores, 0, 4)
    assert (first, last) == best
    assert score == pytest.approx(pairs[best])


def test_an_answer_that_fits_no_window_does_not_teach_that_there_is_none(tokenizer: Any) -> None:
    """A question whose answer is longer than a window is left out of training and counted."""
    too_long = Example("What?", LONG, ((LONG[:1500], 0),), "c")
    made = Windows(tokenizer, [*EXAMPLES, too_long], answered=True)
    assert made.lost == 1
    assert set(made.example) == {0, 1, 2, 3}


def test_batches_are_padded_at_the_end(tokenizer: Any) -> None:
    """The mask of a batch counts each window's tokens, and what lies beyond is padding."""
    made = Windows(tokenizer, EXAMPLES)
    batch = made.batch(np.arange(len(made)), torch.device("cpu"))
    assert batch["attention_mask"].sum(1).tolist() == made.lengths.tolist()
    assert (batch["input_ids"][batch["attention_mask"] == 0] == tokenizer.pad_token_id).all()


def test_inputs_are_of_few_widths(tokenizer: Any) -> None:
    """Widths are multiples of eight, and never more than the longest window."""
    made = Windows(tokenizer, [Example("Who?", "word " * count, (), str(count)) for count in range(1, 60)])
    assert (made.widths >= made.lengths).all()
    assert (made.widths - made.lengths < 8).all()
    assert {width % 8 for width in made.widths.tolist() if width < made.lengths.max()} == {0}
    assert made.widths.max() == made.lengths.max()
    assert made.batch(np.arange(3), torch.device("cpu"))["input_ids"].shape == (3, made.widths[:3].max())


def test_a_tokenizer_with_other_marks(tmp_path: Path) -> None:
    """A tokenizer that knows no segments and puts two marks between is followed as well."""
    vocabulary = {mark: number for number, mark in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])}
    vocabulary |= {chr(code): len(vocabulary) + code for code in range(33, 127)} | {"Ġ": 400}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = RobertaTokenizerFast(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    made = Windows(tokenizer, [Example("Who?", "Ann did.", (("Ann", 0),), "x")])
    batch = made.batch(np.array([0]), torch.device("cpu"))
    assert set(batch) == {"input_ids", "attention_mask"}
    assert tokenizer.decode(batch["input_ids"][0]) == "<s>Who?</s></s>Ann did.</s>"
    assert tokenizer.decode(batch["input_ids"][0][made.answer_start[0] : made.answer_end[0] + 1]) == "Ann"


@pytest.mark.parametrize("stride", [0, -1, 190])
def test_a_stride_that_does_not_fit_is_refused(tokenizer: Any, stride: int) -> None:
    """A stride of nothing, or one that would skip text, is an error."""
    with pytest.raises(SettingsError, match="stride"):
        Windows(tokenizer, EXAMPLES, max_seq_len=256, stride=stride)
