from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_app.converters.extraction import Extraction
from qa_app.converters.markdown import extract
from qa_app.errors import FileRejectedError


def _extract(source: str) -> Extraction:
    return extract(source.encode())


def test_markup_goes_and_words_stay() -> None:
    """Emphasis, links, images, code, quotes and rules leave exactly the words a reader sees."""
    text = _extract(
        '# The *big* river\n\nIt is **long**, see [the map](http://x.org/a "t") and ![a bend](b.png).\n'
        "Next `line()`.\n\n"
        "> quoted\n\n---\n\n```python\nif a:\n    *b*\n```\n\n    indented\n\nA<br>B &amp; C \\* <b>bold</b>\n"
    ).text
    assert text == (
        "The big river\n\nIt is long, see the map and a bend.\nNext line().\n\nquoted\n\nif a:\n    *b*\n\nindented\n\n"
        "A\nB & C * bold"
    )


def test_lists_have_one_item_a_line_and_numbers_stay() -> None:
    """Bullets disappear, nested items stand on lines of their own, numbered steps keep their numbers."""
    assert _extract("- a\n- b\n  - c\n- d\n\n3. x\n4. y\n\nend").text == "a\nb\nc\nd\n\n3. x\n4. y\n\nend"


def test_an_empty_numbered_item_leaves_no_number_behind() -> None:
    """The number of an item without text is not put before the paragraph that follows."""
    assert _extract("1. a\n2.\n\nend").text == "1. a\n\nend"


def test_tables_are_rows_of_cells() -> None:
    """A table row is one line with bars between its cells."""
    assert _extract("| a | b |\n|---|---|\n| *c* | |\n| | d |\n").text == "a | b\nc\n| d"


def test_html_blocks_keep_their_text_and_lose_scripts() -> None:
    """Text inside HTML blocks is kept, what a browser would not show is not."""
    assert _extract("<div>\n<p>in a block</p><script>x()</script>\n</div>\n\nafter").text == "in a block\n\nafter"


def test_headings_have_levels_and_places() -> None:
    """Every heading's offset points at its words, in both spellings and within lists."""
    extraction = _extract("# One 😀\ntext\n\nTwo\n---\n\n1. ### Three `x`\n")
    assert [(heading.level, heading.title) for heading in extraction.headings] == [
        (1, "One 😀"),
        (2, "Two"),
        (3, "Three x"),
    ]
    for heading in extraction.headings:
        assert extraction.text.startswith(heading.title, heading.start)


def test_front_matter_becomes_metadata() -> None:
    """Scalars and lists of the front matter are metadata, dates as ISO text, and none of it is in the text."""
    extraction = _extract(
        "---\ntitle: Tea\nyear: 1876\ndate: 2024-02-29\ntags: [a, 2]\nnested: {a: 1}\ndraft: true\n---\n# Tea\n"
    )
    assert extraction.meta == {"title": "Tea", "year": 1876, "date": "2024-02-29", "tags": ["a", 2], "draft": True}
    assert extraction.text == "Tea"


@pytest.mark.parametrize(
    "front",
    [
        "a: [1",
        "a: &x [1]\nb: *x",
        "!!python/object/apply:os.system ['true']",
        "[" * 50_000,
        "just words",
        "a: " + "x" * 70_000,
        "d: 2024-99-99",
        "? [a]\n: b",
        'a: "\\ud800"',
        *("a: !!int ''", "a: !!float ''", "a: !!bool x", "a: !!timestamp x"),
    ],
)
def test_bad_front_matter_costs_only_the_metadata(front: str) -> None:
    """Broken, recursive, typed or oversized YAML never keeps the text from being read."""
    extraction = _extract(f"---\n{front}\n---\n\nThe text.\n")
    assert extraction.text == "The text."
    assert all(isinstance(value, str) and value.encode() for value in extraction.meta.values())


def test_text_without_a_closing_fence_is_no_front_matter() -> None:
    """A rule at the top of a file does not swallow what follows it."""
    assert "words" in _extract("---\n\nwords\n").text


@pytest.mark.case("F13")
@pytest.mark.parametrize("source", [">" * 100_000 + "deep", "\n".join("  " * n + "- x" for n in range(300))])
def test_nesting_beyond_the_parser_is_refused(source: str) -> None:
    """What the parser would leave out is refused as a whole instead."""
    with pytest.raises(FileRejectedError) as caught:
        _extract(source)
    assert caught.value.reason == "too_deep"


@given(
    st.lists(st.sampled_from(["> ", "- ", "1. ", "# ", "`", "*", "_", "[", "](u)", "|", "\n", "\n\n", "    ", "word7"]))
)
def test_no_word_is_ever_lost(pieces: list[str]) -> None:
    """However markup is mixed, each word of the source is in the text and each heading points at its title."""
    source = "".join(pieces)
    extraction = _extract("x\n\n" + source)
    # A word may be a link's target or the language of a fence, which are no text.
    if "](u)" not in source and "```" not in source.replace(" ", "") and "[" not in source:
        assert extraction.text.count("word7") == source.count("word7")
    for heading in extraction.headings:
        first = heading.title.split()[0]
        assert extraction.text.startswith(first, heading.start)
