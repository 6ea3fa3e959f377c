from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from qa_app.converters.plain_text import extract


def test_text_comes_back_with_its_encoding() -> None:
    """Words, blanks and line breaks are the file's own."""
    extraction = extract("  One\r\n\r\n\tTwo é\n".encode())
    assert (extraction.text, extraction.encoding, extraction.media_type) == (
        "  One\n\n\tTwo é\n",
        "utf-8",
        "text/plain",
    )
    assert extraction.page_starts == ()


@given(st.lists(st.text(st.sampled_from("ab é\n😀")).filter(str.strip), min_size=2))
def test_form_feeds_start_pages(pages: list[str]) -> None:
    """Text between form feeds is a page, and its start counts code points."""
    extraction = extract("\f".join(pages).encode("utf-8-sig"))
    starts = [*extraction.page_starts, len(extraction.text) + 1]
    assert [extraction.text[start : end - 1] for start, end in pairwise(starts)] == pages


def test_a_final_form_feed_starts_no_page() -> None:
    """A form feed at the end closes the last page and opens none."""
    assert extract(b"one\ftwo\f\n").page_starts == (0, 4)
    assert extract(b"one\f").page_starts == ()


def test_underlined_lines_are_headings() -> None:
    """A line of its own with a rule of its length below is a heading; a separator and a table rule are not."""
    source = "Title 😀\n=======\n\ntext\n----\n\n  Part one\n  --------\nText\n\nPart two\n--------\n"
    extraction = extract((source + "\nOther\n--------------------\n").encode())
    found = [(heading.level, heading.title) for heading in extraction.headings]
    assert found == [(1, "Title 😀"), (2, "text"), (2, "Part two")]
    for heading in extraction.headings:
        assert extraction.text.startswith(heading.title, heading.start)


def test_a_lone_short_line_over_running_text_is_a_heading() -> None:
    """Titles of plain text are lines of their own; sentences, list items and the last line are none."""
    running = "The river rises in the Alps, runs through the lake and the city, and ends in the sea."
    text = f"The Rhône\n\n{running}\n\nCourse of the river\n{running}\n\nIt is long.\n\n{running}"
    text += f"\n\n- item\n\n{running}\n\nEnd"
    found = extract(text.encode())
    assert [(heading.title, heading.level) for heading in found.headings] == [
        ("The Rhône", 1),
        ("Course of the river", 2),
    ]
    assert all(found.text[heading.start :].startswith(heading.title) for heading in found.headings)
