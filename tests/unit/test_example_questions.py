"""Questions made of sentences: only where the grammar leaves no doubt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_app.pipelines.example_questions import question


@pytest.mark.parametrize(
    ("sentence", "made"),
    [
        ("Ada Lovelace was born in London on 10 December 1815.", "When was Ada Lovelace born?"),
        ("Alfred North Whitehead was born in Ramsgate, Kent, in a house.", "Where was Alfred North Whitehead born?"),
        ("The Titanic was built by Harland and Wolff in Belfast.", "Who built the Titanic?"),
        ("The piano was invented in Florence by Bartolomeo Cristofori.", "Who invented the piano?"),
        ("Sequoia National Park was founded on 25 September 1890.", "When was Sequoia National Park founded?"),
        ("The Great Hall was begun in 1163 under a bishop.", "When was the Great Hall begun?"),
        ("The Great Hall was begun by Maurice de Sully.", "Who began the Great Hall?"),
        (
            "Hollerith founded the Tabulating Machine Company in 1896.",
            "When did Hollerith found the Tabulating Machine Company?",
        ),
        ("In Wales, Thomas Telford built the Menai Bridge, which stands.", "Who built the Menai Bridge?"),
        ("Isambard Kingdom Brunel died in 1859 before it was done.", "When did Isambard Kingdom Brunel die?"),
        ("A standard piano has 88 keys, of which 52 are white.", "How many keys does a standard piano have?"),
        ("Lake Baikal lies in southern Siberia.", "Where is Lake Baikal?"),
        ("A prime is a whole number that nothing divides.", "What is a prime?"),
        ("The Wayback Machine is a digital archive of the Web.", "What is the Wayback Machine?"),
        ("John Snow was an English physician who worked in London.", "Who was John Snow?"),
    ],
)
def test_plain_sentences(sentence: str, made: str) -> None:
    """A plain sentence becomes the question that a person would ask."""
    assert question(sentence, sentence) == made


@pytest.mark.parametrize(
    "sentence",
    [
        "He was born in London in 1815.",
        "This was built in 1889 by Gustave Eiffel.",
        "During 1889 Eiffel built the tower.",
        "The bridge was built in 1889.",
        "The largest has 58 rooms.",
        "The building has four floors, and a cellar.",
        "An example is a thing that shows something.",
        "The Tower was a success in every way.",
        "Jane Roe was a presenter for this season.",
        "Vienna is a week away by coach.",
        "Improvisation stands at the centre of his work.",
        "Lake Titicaca lies at about 3,812 metres above the sea.",
        "Some people wrote the Great Book in 1900.",
        "Ada Lovelace wurde 1815 in London geboren.",
        "Ada Lovelace est née à Londres en 1815.",
        "Was it built by Gustave Eiffel in 1889?",
        "",
    ],
)
def test_sentences_that_are_left_alone(sentence: str) -> None:
    """What speaks of something named elsewhere, defines nothing or is not English makes no question."""
    assert question(sentence, sentence) is None


@pytest.mark.parametrize(
    ("around", "made"),
    [
        ("Porcelain is a white ceramic that lets light through. In Europe porcelain came late.", "What is porcelain?"),
        ("Roquefort is a blue cheese made in France. Nobody but Roquefort ripens so.", "What is Roquefort?"),
        ("Porcelain is a white ceramic that lets light through.", None),
        ("Garbo is a star of the screen. Everybody knew Garbo, and her hats.", None),
    ],
)
def test_whether_a_first_word_is_a_name(around: str, made: str | None) -> None:
    """The other places of a word say how it is written within a sentence; without any, nothing is asked."""
    assert question(around.split(". ")[0] + ".", around) == made


@given(
    st.text(max_size=200), st.sampled_from(["was born in", "was built by", "is a", "has 3", "founded the", "lies in"])
)
def test_whatever_is_written(text: str, middle: str) -> None:
    """Any text makes a question or none: one that begins with a question's word and ends with its mark."""
    made = question(f"{text} {middle} {text}", text)
    assert made is None or (made.split()[0] in {"Who", "What", "When", "Where", "How"} and made.endswith("?"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["A", "Aa ", "Aa of ", "a-", "The Aa ", "Aa was ", "Aa was a b ", "has 1 "])
def test_sentences_made_to_take_long(piece: str) -> None:
    """Repeating what the patterns look for ends, as it takes time by the length alone."""
    made = question(piece * 20_000, piece)
    assert made is None or made.endswith("?")
