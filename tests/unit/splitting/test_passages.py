"""Passages as spans of a text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa_app.splitting.passages import Passage, split
from qa_app.splitting.sentences import sentence_spans
from tests.unit.splitting.texts import any_text

sizes = st.tuples(st.integers(1, 60), st.integers(0, 30))


@st.composite
def text_with_headings(draw: st.DrawFn) -> tuple[str, list[int]]:
    text = draw(any_text)
    offsets = st.integers(0, len(text))
    return text, sorted(draw(st.sets(offsets, max_size=6)))


@settings(max_examples=400, deadline=None)
@given(text_with_headings(), sizes)
def test_passages_hold_every_word_within_their_bound(given_: tuple[str, list[int]], size: tuple[int, int]) -> None:
    """Every character but white space is in a passage, passages go forward, none lies in another or is too long."""
    (text, headings), (words, overlap) = given_, size
    passages = split(text, words, overlap, headings)
    covered = bytearray(len(text))
    for passage in passages:
        assert 0 <= passage.start < passage.end <= len(text)
        assert text[passage.start : passage.end].strip()
        assert passage.end - passage.start <= max(12 * words, 40)
        covered[passage.start : passage.end] = b"\1" * (passage.end - passage.start)
    assert all(covered[i] or text[i].isspace() for i in range(len(text)))
    for one, two in pairwise(passages):
        assert one.start < two.start
        assert one.end < two.end


@settings(max_examples=200, deadline=None)
@given(any_text, sizes)
def test_what_passages_share_is_whole_sentences(text: str, size: tuple[int, int]) -> None:
    """Without headings, a passage begins where a sentence begins, or where the one before ended within a long one."""
    words, overlap = size
    starts = {start for start, _ in sentence_spans(text, 0, len(text))}
    for one, two in pairwise(split(text, words, overlap)):
        if two.start < one.end:
            shared = text[two.start : one.end]
            # Spaces part these words, or they are unspaced script, of which a word is three characters.
            assert len(shared.split()) <= overlap * 1.5
        assert two.start in starts or not text[one.end : two.start].strip()


def test_neighbours_share_the_sentences_that_fit_the_overlap() -> None:
    """The last sentences of a passage, as many as the overlap allows, are the first of the next."""
    text = " ".join(f"Sentence number {number} has six words." for number in range(40))
    passages = split(text, 30, 12)
    assert len(passages) > 5
    for one, two in pairwise(passages):
        shared = text[two.start : one.end]
        assert 12 <= len(shared.split()) <= 18
        assert shared.endswith(".")
        assert shared.startswith("Sentence")


def test_no_overlap_where_none_is_wanted() -> None:
    """With an overlap of 0 each sentence is in one passage."""
    text = " ".join(f"Sentence number {number} has six words." for number in range(40))
    passages = split(text, 30, 0)
    assert all(one.end < two.start for one, two in pairwise(passages))


def test_a_shared_sentence_never_makes_a_passage_of_its_own() -> None:
    """A sentence is shared only where the next one fits beside it; else it would come twice for nothing."""
    short, long = "Ten words are in this sentence of the whole text. ", "Word " + "word " * 93 + "end. "
    text = short + short + long + short
    passages = split(text, 100, 20)
    assert [text[p.start : p.end].count("Ten") for p in passages] == [2, 0, 1]


def test_scripts_without_spaces_make_passages_of_like_size() -> None:
    """Three characters of Han, kana or Thai weigh as much as an English word, with and without punctuation."""
    for text in ("塔建于一九〇四年" * 500, "塔は鉄でできている。" * 400, "หอคอยสร้างขึ้น" * 300):
        lengths = [p.end - p.start for p in split(text, 100, 20)]
        assert max(lengths) <= 300
        assert max(lengths) > 200


@pytest.mark.case("F24")
@pytest.mark.parametrize("character", ["a", "塔", "👩‍👧", "ש"])
def test_one_word_of_three_megabytes_is_cut_to_size(character: str) -> None:
    """Text without any space ends in bounded passages that hold all of it."""
    text = character * (3_000_000 // len(character))
    passages = split(text, 100, 20)
    assert passages[0].start == 0
    assert passages[-1].end == len(text)
    assert all(one.end == two.start for one, two in pairwise(passages))
    assert all(p.end - p.start <= 1200 for p in passages)


def at(text: str, *parts: str) -> list[int]:
    return [text.index(part) for part in parts]


def test_a_heading_begins_a_passage_and_stays_with_its_text() -> None:
    """Passages never run over a heading; headings in a row go together, and the last of them counts."""
    text = "Before it all.\n\nTower\n\nHistory\n\nBuilt in 1904.\n\nUse\n\nIt is a lookout."
    headings = at(text, "Tower", "History", "Use")
    passages = split(text, 100, 20, headings)
    assert [(text[p.start : p.end], p.heading) for p in passages] == [
        ("Before it all.", None),
        ("Tower\n\nHistory\n\nBuilt in 1904.", 1),
        ("Use\n\nIt is a lookout.", 2),
    ]


def test_a_long_section_repeats_its_heading_in_every_passage() -> None:
    """Passages after the first of a section know the heading above them."""
    body = " ".join(f"Sentence number {number} has six words." for number in range(40))
    text = f"Tower\n\n{body}\n\nBridge\n\n{body}"
    passages = split(text, 30, 5, at(text, "Tower", "Bridge"))
    second = text.index("Bridge")
    assert {p.heading for p in passages if p.start < second} == {0}
    assert {p.heading for p in passages if p.start >= second} == {1}
    assert all(p.end < second for p in passages if p.start < second)


@pytest.mark.parametrize(
    ("text", "headings", "expected"),
    [
        ("", [], []),
        (" \n ", [0], []),
        ("Alone", [0], [Passage(0, 5, 0)]),
        ("Text.\n\nLast", [7], [Passage(0, 5, None), Passage(7, 11, 0)]),
        ("One\nTwo\nThree", [0, 4, 8], [Passage(0, 13, 2)]),
    ],
)
def test_headings_without_text_are_passages_too(text: str, headings: list[int], expected: list[Passage]) -> None:
    """A heading with nothing under it is kept, and an empty text has no passages."""
    assert split(text, 100, 20, headings) == expected


def test_ten_thousand_headings_are_one_pass() -> None:
    """A file of headings alone, such as a long table of contents, is cut without comparing each with each."""
    text = "".join(f"Heading {number}\n" for number in range(10_000))
    headings = [i + 1 for i, character in enumerate(text) if character == "\n"]
    passages = split(text, 100, 20, [0, *headings[:-1]])
    assert passages[-1].end == len(text) - 1
