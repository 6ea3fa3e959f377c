"""Pairs of question and context are read as transformers reads them, with the reader's own weights."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from haystack.schema import Document
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel
from transformers import RobertaConfig, RobertaForQuestionAnswering, RobertaTokenizerFast, pipeline

from qa_app.errors import InvalidRequestError
from qa_app.reading.pairs import MAX_CONTEXT, PairAnswer, PairReader
from qa_app.reading.reader import PassageReader
from qa_app.reading.resolution import BUNDLED_FOLDER
from tests.conftest import REPOSITORY
from tests.unit.reading.tiny import edit_weights, save_random_reader
from tests.unit.splitting.texts import any_text

#: The example of the reader's card.
CARD = [
    ("What's my name?", "My name is John and I live in Hyderabad."),
    ("Where do I live?", "My name is John and I live in Hyderabad."),
]
TOWER = "The tower was built by Anna Berg in 1904. It is made of iron."
NOTHING = ["", " ", "\n\t", "\u00a0\u3000", "\u200d\u200d", "\u202e\ufeff", "\x00\x01", "half \ud83d"]


@pytest.fixture(scope="module")
def reader() -> PassageReader:
    """The bundled reader."""
    return PassageReader("bundled", engine="openvino")


@pytest.fixture(scope="module")
def pairs(reader: PassageReader) -> PairReader:
    return PairReader(reader)


@pytest.fixture(scope="module")
def random_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that marks spans anywhere, with the bundled reader's tokenizer."""
    return save_random_reader(tmp_path_factory.mktemp("random") / "model", BUNDLED_FOLDER)


@pytest.fixture(scope="module")
def random_pairs(random_folder: Path) -> PairReader:
    return PairReader(PassageReader(str(random_folder)))


@pytest.fixture(scope="module")
def byte_pairs(tmp_path_factory: pytest.TempPathFactory) -> PairReader:
    """Random weights over a tokenizer of bytes, whose tokens for spaces have no width."""
    folder = tmp_path_factory.mktemp("bytes") / "model"
    folder.mkdir()
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = RobertaTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=512)
    tokenizer.save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=len(names),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=514,
        initializer_range=1.0,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    RobertaForQuestionAnswering(config).save_pretrained(folder)
    return PairReader(PassageReader(str(folder)))


def sample_pairs(count: int) -> list[tuple[str, str]]:
    """Questions on the samples with their paragraphs, some unanswerable, always the same."""
    articles = json.loads((REPOSITORY / "samples" / "questions.json").read_text())["data"]
    found = [(q["question"], p["context"]) for a in articles for p in a["paragraphs"] for q in p["qas"]]
    return random.Random(5).sample(found, count)


def check(found: Sequence[PairAnswer], given: Sequence[tuple[str, str]], impossible: bool = False) -> None:
    """Asserts what holds for every answer."""
    assert len(found) == len(given)
    for answer, (_, context) in zip(found, given):
        assert context[answer.start : answer.end] == answer.answer
        assert 0 <= answer.start <= answer.end <= len(context)
        assert 0 <= answer.score <= 1
        if impossible and not answer.answer:
            assert (answer.start, answer.end) == (0, 0)
        else:
            assert answer.answer.strip()


def spans(answers: Sequence[PairAnswer]) -> list[tuple[int, int, str]]:
    return [(a.start, a.end, a.answer) for a in answers]


@pytest.mark.reader
class TestLikeTransformers:
    """The same answers as the question-answering pipeline gives."""

    def test_the_example_of_the_card(self, pairs: PairReader) -> None:
        """The two questions of the reader's card get John and Hyderabad at their places."""
        assert spans(pairs.predict(CARD)) == [(11, 15, "John"), (30, 39, "Hyderabad")]
        assert spans(pairs.predict(CARD, handle_impossible_answer=True)) == [(11, 15, "John"), (30, 39, "Hyderabad")]

    @pytest.mark.parametrize(("count", "impossible"), [(100, False), (40, True)], ids=["answer", "impossible"])
    def test_the_same_as_a_pipeline_of_its_own(self, pairs: PairReader, count: int, impossible: bool) -> None:
        """On samples, and on contexts of several windows, spans are those of a pipeline with weights of its own."""
        given = sample_pairs(count)
        given += [(question, context * 5) for question, context in given[:5]]
        plain = pipeline("question-answering", model=str(BUNDLED_FOLDER), device="cpu")
        expected = [plain(question=q, context=c, handle_impossible_answer=impossible) for q, c in given]
        found = pairs.predict(given, handle_impossible_answer=impossible)
        check(found, given, impossible)
        assert spans(found) == [(one["start"], one["end"], one["answer"]) for one in expected]
        assert [one.score for one in found] == pytest.approx([one["score"] for one in expected], abs=1e-5)
        assert any(not one.answer for one in found) == impossible

    def test_the_weights_are_the_readers(self, reader: PassageReader, pairs: PairReader) -> None:
        """Every number it reads with is the reader's, in the same memory."""
        own = {parameter.data_ptr() for parameter in reader.inferencer.model.parameters()}
        parameters = list(pairs._pipeline.model.parameters())
        assert len(parameters) > 90
        assert {parameter.data_ptr() for parameter in parameters} <= own
        assert not pairs._pipeline.model.training

    def test_the_reader_reads_on_as_before(self, reader: PassageReader, pairs: PairReader) -> None:
        """Pairs and passages in turn do not disturb each other, though they share the model and the tokenizer."""
        passage = [Document(content=TOWER * 20, id="t")]
        fresh = PassageReader("bundled", engine="openvino")
        for question in ("Who built the tower?", "What is it made of?"):
            pairs.predict([(question, TOWER * 20), *CARD])
            mine, expected = (one.predict(question, passage)["answers"] for one in (reader, fresh))
            assert [(a.answer, a.meta["answer_start"] if a.answer else None) for a in mine] == [
                (a.answer, a.meta["answer_start"] if a.answer else None) for a in expected
            ]
            assert [a.score for a in mine] == pytest.approx([a.score for a in expected], abs=1e-6)
        assert spans(pairs.predict(CARD)) == [(11, 15, "John"), (30, 39, "Hyderabad")]


class TestOffsets:
    """`context[start:end] == answer`, for any span that a model may mark."""

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.tuples(st.text(max_size=20), any_text), min_size=1, max_size=4), st.booleans())
    def test_answers_are_the_words_at_their_offsets(
        self, random_pairs: PairReader, given: list[tuple[str, str]], impossible: bool
    ) -> None:
        """In every script, among emoji, combining marks and spaces; never empty unless that is allowed."""
        given = [(f"who {question}", f" a{context}") for question, context in given]
        check(random_pairs.predict(given, impossible), given, impossible)

    @settings(max_examples=100, deadline=None)
    @given(any_text, st.sampled_from([" ", "\n\n", "\t", "\u00a0", "", "\u3000 "]), st.booleans())
    def test_a_tokenizer_of_bytes(self, byte_pairs: PairReader, text: str, around: str, impossible: bool) -> None:
        """Nor is an answer empty or off where single bytes and spaces are tokens."""
        context = f"{around * 9}{text}{around * 9}"
        assume(context.strip())
        check(byte_pairs.predict([("who?", context)], impossible), [("who?", context)], impossible)

    @pytest.mark.parametrize("impossible", [False, True], ids=["answer", "impossible"])
    def test_words_among_spaces(self, byte_pairs: PairReader, impossible: bool) -> None:
        """Where hardly anything but spaces can be marked, the answer is a word nevertheless."""
        given = [(f"who {n}?", f"{space * n}x{space * n}") for n in range(1, 10) for space in (" ", "\n", " \n")]
        found = byte_pairs.predict(given, impossible)
        check(found, given, impossible)
        assert all(answer.score > 0 for answer in found)

    @pytest.mark.parametrize(
        "around", ["", "👩‍👩‍👧‍👦 🏳️‍🌈 ", "e\u0301te\u0301 ", "המגדל ", "塔は", "\u3000\n\t "], ids=ascii
    )
    @pytest.mark.reader
    def test_offsets_count_code_points(self, pairs: PairReader, around: str) -> None:
        """A known answer is found at its place, whatever stands around it."""
        context = f"{around}{TOWER}{around}"
        (answer,) = pairs.predict([("Who built the tower?", context)])
        assert (answer.answer, answer.start) == ("Anna Berg", context.index("Anna"))

    @pytest.mark.parametrize("factor", [1e3, 1e6, -1e6])
    def test_scores_that_round_to_zero(self, random_folder: Path, tmp_path: Path, factor: float) -> None:
        """A model so sure that the scores of all spans vanish still marks words, with a score that is a number."""
        folder = save_random_reader(tmp_path / "model", BUNDLED_FOLDER)
        edit_weights(folder, lambda tensors: tensors["qa_outputs.weight"].mul_(factor))
        given = [("who?", text) for text in (TOWER, "  a", "塔は高い。 👩‍👩‍👧", TOWER * 40)]
        found = PairReader(PassageReader(str(folder))).predict(given)
        check(found, given)


class TestRefused:
    """What cannot be read is the asker's error, by number."""

    @pytest.mark.parametrize("text", NOTHING, ids=ascii)
    @pytest.mark.parametrize("side", ["question", "context"])
    def test_nothing_to_read(self, random_pairs: PairReader, side: str, text: str) -> None:
        """An empty question or context, or one that the tokenizer drops whole, is named with its pair's number."""
        bad = (text, TOWER) if side == "question" else ("Who?", text)
        given = [("Who?", TOWER)] * 3 + [bad] + [("Who?", TOWER)]
        with pytest.raises(InvalidRequestError, match=f"pair 3: the {side}"):
            random_pairs.predict(given)
        with pytest.raises(InvalidRequestError, match=f"pair 103: the {side}"):
            random_pairs.predict(given, first=100)

    def test_a_context_of_a_whole_library(self, random_pairs: PairReader) -> None:
        """A context that would take minutes is refused before it is read."""
        with pytest.raises(InvalidRequestError, match="pair 0: the context has 200001 characters"):
            random_pairs.predict([("Who?", "a" * (MAX_CONTEXT + 1))])

    @pytest.mark.parametrize("question", ["who " * 300, "who " * 5000, "👩‍👩‍👧" * 900, "x" * 900, "塔" * 2000], ids=len)
    def test_a_question_that_leaves_no_room(
        self, random_pairs: PairReader, byte_pairs: PairReader, question: str
    ) -> None:
        """A question longer than a window is cut, where transformers' tokenizer would end the thread in a panic."""
        given = [(question, TOWER), (question, TOWER * 40), ("who?", TOWER)]
        for one in (random_pairs, byte_pairs):
            check(one.predict(given), given)

    @pytest.mark.reader
    def test_a_long_question_that_fits_is_read_whole(self, pairs: PairReader) -> None:
        """A question of 120 words gets the answer that transformers gives it."""
        question = "who built it " * 40
        plain = pipeline("question-answering", model=str(BUNDLED_FOLDER), device="cpu")
        expected = plain(question=question, context=TOWER * 10)
        (answer,) = pairs.predict([(question, TOWER * 10)])
        assert (answer.start, answer.end) == (expected["start"], expected["end"])
        assert answer.score == pytest.approx(expected["score"], abs=1e-5)


class TestMany:
    """Any number of pairs, in order."""

    def test_no_pairs(self, random_pairs: PairReader) -> None:
        """Nothing asked is nothing answered."""
        assert random_pairs.predict([]) == []

    def test_together_as_one_by_one(self, random_pairs: PairReader) -> None:
        """Hundreds of pairs of all lengths get what each gets alone, each its own."""
        dice = random.Random(2)
        given = [(f"who is {i}?", f"Mark {i} " + TOWER * dice.choice([0, 1, 2, 30])) for i in range(300)]
        found = random_pairs.predict(given)
        check(found, given)
        alone = [random_pairs.predict([pair])[0] for pair in given]
        assert spans(found) == spans(alone)
        assert [one.score for one in found] == pytest.approx([one.score for one in alone], abs=1e-5)

    @pytest.mark.reader
    def test_each_answer_is_its_own_pairs(self, pairs: PairReader) -> None:
        """In a shuffled batch every name comes back for its own question."""
        names = [f"{first}{last}" for first in ("Anna ", "Carl ", "Zoë ") for last in ("Berg", "Holm", "Fox", "Ohm")]
        given = [("Who built the tower?", TOWER.replace("Anna Berg", name)) for name in names]
        assert [answer.answer for answer in pairs.predict(given)] == names


def test_answers_are_plain_values() -> None:
    """An answer's fields have the names and the order of transformers."""
    answer = PairAnswer(0.5, 1, 2, "x")
    assert list(vars(answer)) == ["score", "start", "end", "answer"]
