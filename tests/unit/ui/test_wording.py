"""What documents say is shown as it is, and marked where it stands."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui import records
from ui.problems import ProblemError
from ui.records import Answer, Passage
from ui.wording import gather, in_sentence, marked, plain, quotation, sentence, shown, size, source, sure

TEXTS = st.text(max_size=200)


def answer(content: str, start: int, end: int, name: str = "a.txt", score: float = 0.9) -> Answer:
    passage = Passage("id", content, "file", name, 100, 3, "On tea", "2024-01-02")
    return Answer(content[start:end], score, passage, start, end, None, {})


@pytest.mark.case("F17", "U2")
@given(TEXTS, st.data())
def test_marks_are_at_their_offsets_in_any_script(text: str, data: st.DataObject) -> None:
    """Taken apart again, marked HTML gives the text, and the mark just the words at the offsets."""
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    parts = re.fullmatch("(.*)<mark>(.*)</mark>(.*)", marked(text, start, end), re.DOTALL)
    assert parts is not None
    assert [html.unescape(part) for part in parts.groups()] == [text[:start], text[start:end], text[end:]]
    assert "<" not in "".join(parts.groups())


@given(TEXTS, st.data())
def test_a_sentence_holds_its_words(text: str, data: st.DataObject) -> None:
    """Whatever the text, the words are within the sentence that is shown."""
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    first, last = sentence(text, start, end)
    assert 0 <= first <= start <= end <= last <= len(text)


def test_sentences_end_where_they_should() -> None:
    """The sentence around an answer goes from its first word to its full stop."""
    text = "Tea is old. Water should be at 95 degrees! Milk comes later."
    start = text.index("95")
    first, last = sentence(text, start, start + 10)
    assert text[first:last] == "Water should be at 95 degrees!"
    long = "word " * 300 + "answer " + "word " * 300
    first, last = sentence(long, 1500, 1506)
    assert 300 < last - first < 900


@pytest.mark.case("U1", "U2")
@given(TEXTS)
def test_plain_text_is_no_markdown(text: str) -> None:
    """Every mark that Markdown could take for its own is escaped, on one line, and addresses are broken."""
    made = plain(text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_`\[\]<>#$~|]", made)
    assert "\n" not in made
    assert not re.search(r"https?\\:\\/\\/\w", made)


def test_names_hide_nothing() -> None:
    """Marks that turn or hide a name's letters are left out."""
    assert shown("a\u202egnp.exe\nb\x00c\u200b") == "a gnp.exe b c"


def test_equal_answers_are_gathered() -> None:
    """Case, blanks, articles and marks at the ends make no other answer; the first place is the best."""
    answers = [
        answer("The tea is Assam.", 11, 16),
        answer("It is the Assam, says he.", 6, 15, "b.txt"),
        answer("It is Ceylon.", 6, 12),
        Answer("", 0.4, None, 0, 0, None, {}),
    ]
    cards = gather(answers)
    assert [[place.text for place in card.places] for card in cards] == [["Assam", "the Assam"], ["Ceylon"]]


def test_hardly_likely_answers_stand_only_alone() -> None:
    """Beside a better one they are left out; the best is shown however unlikely it is."""
    sure, unlikely = answer("The tea is Assam.", 11, 16), answer("It is Ceylon.", 6, 12)
    unlikely = replace(unlikely, score=0.004)
    assert [card.best.text for card in gather([sure, unlikely])] == ["Assam"]
    assert [card.best.text for card in gather([unlikely])] == ["Ceylon"]


def test_a_quotation_says_where_it_stands() -> None:
    """The sentence in quotation marks, then file, page, heading, date and characters."""
    one = answer("Tea is old. Water should be at\n95 degrees. Milk comes later.", 31, 41)
    assert quotation(one) == (
        "“Water should be at 95 degrees.”\n— a.txt · page 3 · “On tea” · 2024-01-02, characters 131–141"
    )
    assert "<mark>95 degrees</mark>" in in_sentence(one)


@pytest.mark.parametrize(
    ("score", "words"),
    [(0.91, "Quite sure · 91%"), (0.5, "Likely · 50%"), (0.2, "Unsure · 20%"), (0.0, "A guess · 0%")],
)
def test_scores_in_words(score: float, words: str) -> None:
    """A score is a word and a figure."""
    assert sure(score) == words


def test_sizes() -> None:
    """Bytes as people say them."""
    assert [size(n) for n in (None, 83, 2_100, 36_000, 5_000_000)] == ["", "83 bytes", "2.1 kB", "36 kB", "5.0 MB"]


def test_sources_leave_out_what_is_not_known() -> None:
    """Without page, heading and date, the file alone."""
    assert source(Passage("id", "x", "f", "a.txt", None, None, "", "")) == "a.txt"


DOCUMENT = {"id": "d", "content": "It was Anna. It was Anna.", "meta": {"name": "a.txt", "file_id": "f", "start": 0}}
SPAN = {"answer": "Anna", "score": 0.9, "document_ids": ["d"], "offsets_in_document": [{"start": 20, "end": 24}]}


def test_answers_are_read() -> None:
    """What /query gives, with the place in the passage."""
    read = records.read(records.answers, {"answers": [SPAN, {"answer": ""}], "documents": [DOCUMENT]})
    assert [(one.text, one.start, one.passage is None) for one in read.answers] == [("Anna", 20, False), ("", 0, True)]


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        7,
        {"answers": []},
        {"answers": None, "documents": []},
        {"answers": [SPAN], "documents": []},
        {"answers": [{**SPAN, "offsets_in_document": [{"start": 8, "end": 12}]}], "documents": [DOCUMENT]},
        {"answers": [{**SPAN, "offsets_in_document": []}], "documents": [DOCUMENT]},
        {"answers": [{**SPAN, "answer": 5}], "documents": [DOCUMENT]},
        {"answers": [{**SPAN, "score": "much"}], "documents": [DOCUMENT]},
        {"answers": [], "documents": [{**DOCUMENT, "content": None}]},
        {"answers": [], "documents": [{**DOCUMENT, "meta": None}]},
    ],
)
def test_nonsense_is_a_problem(body: Any) -> None:
    """What is not as the API promises is said to be so, whatever it is."""
    with pytest.raises(ProblemError) as raised:
        records.read(records.answers, body)
    assert raised.value.kind == "nonsense"
