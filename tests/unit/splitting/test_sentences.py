"""Sentences as spans."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from qa_app.splitting.sentences import sentence_spans
from tests.unit.splitting.texts import any_text


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text, 0, len(text))]


@settings(max_examples=300, deadline=None)
@given(any_text)
def test_sentences_hold_every_word_once_and_in_order(text: str) -> None:
    """Sentences follow one another, are trimmed and not empty, and nothing but white space lies between them."""
    position = 0
    for start, end in sentence_spans(text, 0, len(text)):
        assert position <= start < end <= len(text)
        assert not text[position:start].strip()
        assert text[start:end] == text[start:end].strip()
        position = end
    assert not text[position:].strip()


@pytest.mark.parametrize(
    "text",
    [
        "It was Dr. Berg who built it.",
        "Written by J. R. R. Tolkien in Oxford.",
        "The U.S. Senate and the U.K. Parliament agreed.",
        "See Fig. 3 and Eq. 4, vol. 2, pp. 10-12, No. 7.",
        "Many metals, e.g. Iron and i.e. Steel.",
        "He lived from ca. 1850 to Sept. 1900.",
        "It rose to 3.5 million on example.com today.",
        "Acme Corp. Ltd. Inc. was founded in St. Moritz.",
        "Wait... what is it",
    ],
)
def test_abbreviations_initials_and_numbers_end_no_sentence(text: str) -> None:
    """A full stop that belongs to a word leaves its sentence whole."""
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("He said “No.” Then he left.", ["He said “No.”", "Then he left."]),
        ("It ended (at last). “Why?” asked Ann.", ["It ended (at last).", "“Why?” asked Ann."]),
        ("Is it open? No. The door is shut.", ["Is it open?", "No.", "The door is shut."]),
        ("In 1904. 12 men built it.", ["In 1904.", "12 men built it."]),
        ("塔は高い。鉄だ！本当？はい", ["塔は高い。", "鉄だ！", "本当？", "はい"]),
        ("यह लोहा है। वह सोना है।", ["यह लोहा है।", "वह सोना है।"]),
        ("من بناه؟ بناه علي۔ نعم", ["من بناه؟", "بناه علي۔", "نعم"]),
        ("Он пришёл. Она ушла.", ["Он пришёл.", "Она ушла."]),
        ("A title\n\nand text", ["A title", "and text"]),
        ("A title\r\n\r\nand text", ["A title", "and text"]),
        ("He met Dr.\r\n\r\nThe end.", ["He met Dr.", "The end."]),
        ("He met Dr.\n \nThe end.", ["He met Dr.", "The end."]),
        ("one\ntwo", ["one\ntwo"]),
        (" \t\r\n ", []),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, expected: list[str]) -> None:
    """Marks of every script end a sentence, with the quotes and brackets after them, and so does an empty line."""
    assert sentences(text) == expected


@pytest.mark.parametrize(
    "text",
    ["." * 1_000_000, "…!?" * 300_000, "." + '"' * 1_000_000, ". " + " " * 1_000_000 + "x", "\n" + " \t" * 500_000],
    ids=["dots", "marks", "quotes", "spaces", "blanks"],
)
def test_a_million_marks_are_one_pass(text: str) -> None:
    """Runs of marks, quotes or blanks are read once; in a square of their length this test would take hours."""
    assert len(sentences(text)) <= 2
