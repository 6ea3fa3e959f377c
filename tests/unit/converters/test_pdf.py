from __future__ import annotations

import pytest

from qa_app.converters.pdf import extract
from qa_app.errors import FileRejectedError
from tests import make_bad
from tests.faults.test_bombs import forms


def test_pages_are_found_where_they_start() -> None:
    """Each page's text begins at its recorded start, empty pages included."""
    extraction = extract(make_bad.pdf(["Page one\nsecond line", "", "Café (three)"]))
    assert extraction.text == "Page one\nsecond line\n\n\n\nCafé (three)"
    assert extraction.page_starts == (0, 22, 24)
    assert extraction.text[24:] == "Café (three)"
    assert "partial" not in extraction.meta


def test_bookmarks_are_headings() -> None:
    """A bookmark points at its title on its page, or at the page where the title is not on it; repeats in order."""
    pages = ["Front", "Alpha part\ntext\nBeta\nmore\nBETA", "Gamma"]
    bookmarks = [("alpha  Part", 1), ("Beta", 1), ("Beta", 1), ("Elsewhere", 2)]
    extraction = extract(make_bad.pdf(pages, bookmarks=bookmarks))
    second = extraction.page_starts[1]
    assert [(heading.start, heading.title) for heading in extraction.headings] == [
        (second, "alpha Part"),
        (second + 16, "Beta"),
        (second + 26, "Beta"),
        (extraction.page_starts[2], "Elsewhere"),
    ]


def test_document_information_is_metadata() -> None:
    """Title and creation date are kept, the date as ISO text."""
    assert extract(make_bad.pdf(["x"], title="The Tide")).meta == {"title": "The Tide", "created": "2024-02-29"}


@pytest.mark.case("F4")
def test_a_password_is_needed_or_not() -> None:
    """A file with a password is refused; one that opens with an empty password is read."""
    with pytest.raises(FileRejectedError) as caught:
        extract(make_bad.encrypted_pdf("Secret", "pw"))
    assert caught.value.reason == "encrypted"
    assert extract(make_bad.encrypted_pdf("Open", "")).text == "Open"


def test_a_broken_page_costs_itself_and_is_said() -> None:
    """With one page's content damaged, the others are read and the extraction is marked as partial."""
    good = make_bad.pdf(["first page", "second page"])
    content = good.index(b"stream\n", good.index(b"7 0 obj")) + 7
    extraction = extract(good[:content] + b"\xff\xfe\xfd\xfc" + good[content + 4 :])
    assert extraction.text.startswith("first page")
    assert extraction.page_starts == (0, 12)
    assert extraction.meta["partial"] is True


def test_a_page_of_too_many_forms_is_said_to_be_cut() -> None:
    """Where the parser gives up forms that are shown over and over, the extraction is marked as partial."""
    extraction = extract(forms(20))
    assert extraction.text.count("words") > 1000
    assert extraction.meta["partial"] is True
    assert "partial" not in extract(forms(5)).meta


@pytest.mark.case("F6")
def test_too_many_pages_are_refused() -> None:
    """A hundred thousand references to one page are refused before any is read."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [" + b"3 0 R " * 100_000 + b"] /Count 100000 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>",
    ]
    with pytest.raises(FileRejectedError) as caught:
        extract(make_bad.pdf_of_objects(objects))
    assert caught.value.reason == "too_large"
