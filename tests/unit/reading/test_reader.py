"""Answers are the very words of their documents, and know their place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from haystack.nodes import FARMReader
from haystack.schema import Answer, Document
from hypothesis import given, settings
from hypothesis import strategies as st

from qa_app.errors import InvalidRequestError
from qa_app.reading.reader import PassageReader
from qa_app.reading.resolution import BUNDLED_FOLDER
from qa_app.splitting.splitter import PassageSplitter
from tests.unit.reading.tiny import save_random_reader
from tests.unit.splitting.texts import any_text

QUESTION = "Who built the tower?"
TOWER = "The tower was built by Anna Berg in 1904. It is made of iron."
BRIDGE = "The bridge was built by Carl Holm in 1950. It is made of stone."
#: Windows half as wide as usual, which are read twice as fast.
WINDOWS: Any = {"max_seq_len": 128, "doc_stride": 60}
#: Nothing that a tokenizer keeps.
NOTHING = ["", "   ", "\u200d\u200d", "\u202e\ufeff", "\x00\x01"]


@pytest.fixture(scope="module")
def reader() -> PassageReader:
    """The bundled reader."""
    return PassageReader("bundled", engine="openvino", **WINDOWS)


@pytest.fixture(scope="module")
def random_reader(tmp_path_factory: pytest.TempPathFactory) -> PassageReader:
    """The bundled reader's tokenizer with weights that mark spans anywhere."""
    folder = save_random_reader(tmp_path_factory.mktemp("random") / "model", BUNDLED_FOLDER)
    # A small window is fast, and makes a passage be read in several.
    return PassageReader(str(folder), top_k=10, max_seq_len=100, doc_stride=30)


def document(text: str, name: str = "d", **meta: Any) -> Document:
    return Document(content=text, id=name, meta=meta)


def spans(answers: Sequence[Answer]) -> list[tuple[str, str | None, int, int]]:
    return [
        (a.answer, (a.document_ids or [None])[0], a.offsets_in_document[0].start, a.offsets_in_document[0].end)
        for a in answers
    ]


def check(answers: Sequence[Answer], documents: Sequence[Document], files: dict[str, str] | None = None) -> int:
    """Asserts what holds for every answer; gives how many are not "no answer"."""
    contents = {d.id: d.content for d in documents}
    number = 0
    for answer in answers:
        assert math.isfinite(answer.score)
        if not answer.document_ids:
            assert answer.answer == ""
            continue
        number += 1
        content = contents[answer.document_ids[0]]
        (span,) = answer.offsets_in_document
        (within,) = answer.offsets_in_context
        assert 0 <= span.start < span.end <= len(content)
        assert content[span.start : span.end] == answer.answer == answer.answer.strip()
        assert answer.context[within.start : within.end] == answer.answer
        assert content[span.start - within.start :].startswith(answer.context)
        if files:
            text = files[answer.meta["file_id"]]
            assert text[answer.meta["answer_start"] : answer.meta["answer_end"]] == answer.answer
    return number


@pytest.mark.case("F16")
class TestOffsets:
    """`content[start:end] == answer`, whatever stands around it."""

    @settings(max_examples=100, deadline=None)
    @given(st.lists(any_text, min_size=1, max_size=2), st.text(max_size=20))
    def test_answers_are_the_words_at_their_offsets(
        self, random_reader: PassageReader, texts: list[str], question: str
    ) -> None:
        """In the passage, in its context and in the file, for any span that a model may mark."""
        splitter = PassageSplitter(words=30, overlap=10)
        files = {f"f{i}": text for i, text in enumerate(texts)}
        passages = splitter.process(
            [Document(content=text, id=name, meta={"file_id": name}) for name, text in files.items()]
        )
        result = random_reader.predict(f"who {question}", passages)
        check(result["answers"], passages, files)

    def test_random_spans_are_spans(self, random_reader: PassageReader) -> None:
        """The reader of the property above does mark answers, and marks many."""
        texts = [document(f"{TOWER} {i} 👩‍👩‍👧 塔は高い。", f"d{i}") for i in range(5)]
        assert check(random_reader.predict(QUESTION, texts)["answers"], texts) >= 5

    @pytest.mark.reader
    @pytest.mark.parametrize(
        ("name", "around"),
        [
            ("Anna Berg", ""),
            ("Anna Berg", "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 👍🏽 "),
            ("Zoë Öğüt", "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 👍🏽 "),
            ("Zoe\u0308 Mu\u0308ller", "e\u0301te\u0301 nai\u0308f Zoe\u0308 "),
            ("Анна Берг", "המגדל גבוה מאוד. "),
            ("ﬁona Ødegård", "البرج عالٍ جداً. "),
            ("Anna Berg", "\u202eoverride\u202c "),
            ("Zoë Öğüt", "塔は鉄でできている。这座塔很高。"),
            ("Zoe\u0308 Mu\u0308ller", "é\u0301\u0302\u0303\u0304 ﬁ ﬂ ß İ "),
            ("Анна Берг", "First line.\r\nSecond line.\r\n\r\n"),
            ("Anna Berg", "\u200b\u200d\ufeff\u00ad "),
            ("Zoë Öğüt", "\t\t \u00a0\u3000 "),
            ("Anna Berg", "𝕿𝖍𝖊 𐍈 \U0001f9ec "),
        ],
        ids=ascii,
    )
    def test_the_known_answer_is_found_where_it_stands(self, reader: PassageReader, name: str, around: str) -> None:
        """A name amid other scripts is found, whole and at its own code points."""
        texts = [document(f"{around}The tower was built by {name} in 1904.{around}")]
        answers = reader.predict(QUESTION, texts)["answers"]
        check(answers, texts)
        assert any(name in answer.answer for answer in answers)

    def test_offsets_count_code_points(self, random_reader: PassageReader) -> None:
        """A family of emoji counts as its code points, as Python counts them, not as bytes or UTF-16 units."""
        text = "a 😀 b 👨‍👩‍👧 c"
        answers = random_reader.predict(QUESTION, [document(text)])["answers"]
        assert check(answers, [document(text)]) > 0
        assert all(a.offsets_in_document[0].end <= len(text) for a in answers)

    @pytest.mark.reader
    @pytest.mark.parametrize("size", [20, 10_000])
    def test_the_context_holds_the_answer(self, size: int) -> None:
        """However small or large the window around an answer is, the answer is in it at its offsets."""
        reader = PassageReader("bundled", engine="openvino", context_window_size=size, **WINDOWS)
        text = f"{BRIDGE} {TOWER} {BRIDGE}"
        answers = reader.predict(QUESTION, [document(text)])["answers"]
        assert check(answers, [document(text)]) > 0


@pytest.mark.reader
class TestPlaces:
    """Where an answer stands in its file."""

    def test_the_page_counts_from_the_page_breaks(self, reader: PassageReader) -> None:
        """An answer after a page break is on the next page, one before it is not."""
        text = f"{BRIDGE}\n{TOWER}"
        passage = document(text, page=7, page_breaks=[text.index("The tower")], start=1000, file_id="f")
        tower = reader.predict(QUESTION, [passage])["answers"][0]
        bridge = reader.predict("Who built the bridge?", [passage])["answers"][0]
        assert (tower.answer, tower.meta["answer_page"]) == ("Anna Berg", 8)
        assert (bridge.answer, bridge.meta["answer_page"]) == ("Carl Holm", 7)
        assert tower.meta["answer_start"] == 1000 + text.index("Anna Berg")

    def test_no_page_where_the_format_has_none(self, reader: PassageReader) -> None:
        """A passage without a page gives an answer without one, with the passage's own metadata."""
        answer = reader.predict(QUESTION, [document(TOWER, name_of_file="a.txt")])["answers"][0]
        assert "answer_page" not in answer.meta
        assert answer.meta["name_of_file"] == "a.txt"
        assert answer.meta["answer_start"] == TOWER.index("Anna")

    def test_a_start_of_somebody_elses_is_no_offset(self, reader: PassageReader) -> None:
        """Metadata named start that is no number does not stop the answer."""
        answer = reader.predict(QUESTION, [document(TOWER, start="2020-01-01")])["answers"][0]
        assert answer.meta["answer_start"] == TOWER.index("Anna")

    def test_the_same_place_in_two_passages_is_one_answer(self, reader: PassageReader) -> None:
        """Overlapping passages of a file give an answer once, the better scored; two files give it twice."""
        one = document(TOWER, "one", file_id="f", start=0)
        two = document(TOWER[10:], "two", file_id="f", start=10)
        other = document(TOWER, "other", file_id="g", start=0)
        found = spans(reader.predict(QUESTION, [one, two], top_k=10)["answers"])
        assert [answer for answer, *_ in found].count("Anna Berg") == 1
        found = spans(reader.predict(QUESTION, [one, two, other], top_k=10)["answers"])
        assert [answer for answer, *_ in found].count("Anna Berg") == 2


@pytest.mark.reader
class TestNoAnswer:
    """When there is nothing to find."""

    def test_nothing_to_read(self, reader: PassageReader) -> None:
        """No documents, or none that says anything, is surely no answer."""
        for documents in ([], [document(text, f"d{i}") for i, text in enumerate(NOTHING)]):
            (answer,) = reader.predict(QUESTION, documents)["answers"]
            assert (answer.answer, answer.score, answer.document_ids) == ("", 1.0, None)

    def test_no_answer_competes(self, reader: PassageReader) -> None:
        """A question that the documents do not answer has "no answer" first, with a score like any other's."""
        (first, *_) = reader.predict("What is the boiling point of mercury?", [document(TOWER)])["answers"]
        assert first.answer == ""
        assert 0 < first.score < 1

    def test_no_answer_can_be_switched_off(self) -> None:
        """Without it there are only answers, or none at all."""
        reader = PassageReader("bundled", engine="openvino", return_no_answer=False, **WINDOWS)
        assert all(a.answer for a in reader.predict("What is mercury?", [document(TOWER)])["answers"])
        assert reader.predict(QUESTION, [])["answers"] == []

    def test_documents_without_words_are_passed_over(self, reader: PassageReader) -> None:
        """They change nothing in what the others answer, where FARMReader would mix up answers or fail."""
        nothing = [document(text, f"n{i}") for i, text in enumerate(NOTHING)]
        good = document(TOWER, "good")
        expected = spans(reader.predict(QUESTION, [good])["answers"])
        assert spans(reader.predict(QUESTION, [*nothing, good, *nothing])["answers"]) == expected

    @pytest.mark.parametrize("question", ["\u200d", "\u202e\u202c", " ", ""])
    def test_a_question_without_words_is_refused(self, reader: PassageReader, question: str) -> None:
        """A question of which the tokenizer keeps nothing is the asker's error."""
        with pytest.raises(InvalidRequestError, match="question"):
            reader.predict(question, [document(TOWER)])
        with pytest.raises(InvalidRequestError, match="question"):
            reader.predict_batch([QUESTION, question], [[document(TOWER)], [document(TOWER)]])

    def test_a_question_longer_than_the_window(self, reader: PassageReader) -> None:
        """A question of thousands of words still gets an answer or none."""
        assert reader.predict("who " * 3000, [document(TOWER)])["answers"]


@pytest.mark.reader
class TestTopK:
    """As many answers as were asked for."""

    @pytest.mark.parametrize("top_k", [1, 2, 5, 50])
    def test_no_more_than_wanted_best_first(self, reader: PassageReader, top_k: int) -> None:
        """At most so many, in the order of their scores, and the best is the same for any number."""
        documents = [document(TOWER, "t"), document(BRIDGE, "b"), document(f"{BRIDGE} {TOWER}", "bt")]
        answers = reader.predict(QUESTION, documents, top_k=top_k)["answers"]
        assert 1 <= len(answers) <= top_k
        scores = [a.score for a in answers]
        assert scores == sorted(scores, reverse=True)
        assert answers[0].answer == "Anna Berg"

    def test_its_own_number_where_none_is_given(self) -> None:
        """The constructor's top_k counts where a call names none."""
        reader = PassageReader("bundled", engine="openvino", top_k=1, **WINDOWS)
        assert len(reader.predict(QUESTION, [document(TOWER), document(BRIDGE, "b")])["answers"]) == 1

    @pytest.mark.parametrize("top_k", [0, -1, "three", 1.5])
    def test_a_number_that_is_none_is_refused(self, reader: PassageReader, top_k: Any) -> None:
        """A number below one, or no number, is the asker's error."""
        with pytest.raises(InvalidRequestError, match="top_k"):
            reader.predict(QUESTION, [document(TOWER)], top_k=top_k)


@pytest.mark.reader
class TestBatches:
    """Many questions at once are answered like one by one."""

    DOCUMENTS = (
        [document(TOWER, "t"), document(f"{BRIDGE} It is long.", "b"), document("\u200d", "n")],
        [],
        [document("", "e")],
        [document(BRIDGE, "c", page=3, file_id="f", start=5)],
    )
    QUESTIONS = (QUESTION, "Who?", "What is it made of?", "Who built the bridge?")

    def test_lists_of_documents_for_each_question(self, reader: PassageReader) -> None:
        """Each question with its own documents gives what predict gives, spans, places and scores."""
        result = reader.predict_batch(list(self.QUESTIONS), list(self.DOCUMENTS))
        assert result["queries"] == list(self.QUESTIONS)
        assert len(result["answers"]) == 4
        for question, documents, answers in zip(self.QUESTIONS, self.DOCUMENTS, result["answers"]):
            alone = reader.predict(question, documents)["answers"]
            assert spans(answers) == spans(alone)
            assert [a.meta for a in answers] == [a.meta for a in alone]
            for one, two in zip(answers, alone):
                assert abs(one.score - two.score) < 1e-5

    def test_one_question_about_many_lists(self, reader: PassageReader) -> None:
        """One question is asked of each list."""
        result = reader.predict_batch([QUESTION], list(self.DOCUMENTS))
        assert [spans(answers) for answers in result["answers"]] == [
            spans(reader.predict(QUESTION, documents)["answers"]) for documents in self.DOCUMENTS
        ]

    @pytest.mark.parametrize("questions", [[QUESTION], [QUESTION, "Who built the bridge?"]], ids=["one", "two"])
    def test_one_list_for_all_questions(self, reader: PassageReader, questions: list[str]) -> None:
        """Each question is asked of each document, and the answers are nested as Haystack nests them."""
        documents = [document(TOWER, "t"), document("\u200d", "n"), document(BRIDGE, "b")]
        expected = [[spans(reader.predict(q, [d])["answers"]) for d in documents] for q in questions]
        for answers in (
            reader.predict_batch(questions, documents)["answers"],
            reader.run_batch(questions, documents)[0]["answers"],
        ):
            nested = answers if len(questions) > 1 else [answers]
            assert [[spans(one) for one in each] for each in nested] == expected

    def test_top_k_holds_for_each(self, reader: PassageReader) -> None:
        """The number of answers is for each question, not for all."""
        documents = [[document(TOWER, "t"), document(BRIDGE, "b")]] * 2
        answers = reader.predict_batch([QUESTION, QUESTION], documents, top_k=1)["answers"]
        assert [len(each) for each in answers] == [1, 1]

    def test_numbers_that_do_not_fit_are_refused(self, reader: PassageReader) -> None:
        """Two questions with three lists of documents is the caller's error."""
        with pytest.raises(InvalidRequestError, match="2 questions"):
            reader.predict_batch([QUESTION] * 2, [[document(TOWER)]] * 3)

    def test_nothing_to_ask(self, reader: PassageReader) -> None:
        """No documents at all give no answers and no error."""
        assert reader.predict_batch([QUESTION], [])["answers"] == []
        assert reader.run_batch([QUESTION], [])[0]["answers"] == []


@pytest.mark.reader
class TestNode:
    """It is Haystack's reader."""

    def test_it_answers_what_farmreader_answers(self, reader: PassageReader) -> None:
        """On documents without overlap its spans and contexts are those of the stock FARMReader by its raw scores."""
        stock = FARMReader(
            str(BUNDLED_FOLDER),
            top_k=3,
            return_no_answer=True,
            progress_bar=False,
            use_gpu=False,
            context_window_size=150,
            use_confidence_scores=False,
            **WINDOWS,
        )
        documents = [document(TOWER, "t"), document(BRIDGE, "b")]
        expected = stock.predict(QUESTION, documents, top_k=20)["answers"]
        answers = reader.predict(QUESTION, documents, top_k=20)["answers"]
        assert len(answers) > 2
        assert {(*spans([a]), a.context) for a in answers} == {(*spans([a]), a.context) for a in expected}

    def test_run_is_predict(self, reader: PassageReader) -> None:
        """As a node it gives the answers under "answers", with their places."""
        output, edge = reader.run(QUESTION, [document(TOWER, file_id="f", start=3)], top_k=1)
        assert edge == "output_1"
        (answer,) = output["answers"]
        assert (answer.answer, answer.meta["answer_start"]) == ("Anna Berg", 3 + TOWER.index("Anna"))
        batch, _ = reader.run_batch([QUESTION], [[document(TOWER, file_id="f", start=3)]], top_k=1)
        assert spans(batch["answers"][0]) == spans(output["answers"])
        assert reader.run(QUESTION, [])[0]["answers"][0].answer == ""

    def test_its_parameters_are_recorded(self, tmp_path: Path) -> None:
        """What it was made with can be written to a pipeline file."""
        reader = PassageReader("bundled", top_k=2, max_seq_len=200, doc_stride=100)
        assert reader.get_params() == {"model": "bundled", "top_k": 2, "max_seq_len": 200, "doc_stride": 100}
        assert reader.type == "PassageReader"
