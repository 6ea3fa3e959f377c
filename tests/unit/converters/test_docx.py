from __future__ import annotations

import datetime
import io

import docx
import pytest
from docx.enum.section import WD_SECTION
from docx.enum.text import WD_BREAK

from qa_app.converters.docx import extract
from qa_app.errors import FileRejectedError
from tests import make_bad
from tests.make_bad import paragraph

_LIST_ITEM = "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>"


def _saved(document: docx.document.Document) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def test_a_file_from_another_writer_is_read_in_order() -> None:
    """Headings, paragraphs, tables in tables and core properties of a python-docx file come out in document order."""
    document = docx.Document()
    document.core_properties.title = "The Tide"
    document.core_properties.author = "A. Writer"
    document.core_properties.created = datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc)
    document.add_heading("Tides 😀", 0)
    document.add_heading("Causes", 1)
    document.add_paragraph("The moon").add_run(" pulls.")
    table = document.add_table(2, 2)
    for cell, text in zip(table._cells, "abcd", strict=True):
        cell.text = text
    inner = table.cell(1, 1).add_table(1, 2)
    inner.cell(0, 0).text, inner.cell(0, 1).text = "e", "f"
    document.add_heading("Effects", 2)
    extraction = extract(_saved(document))
    assert extraction.text == "Tides 😀\n\nCauses\n\nThe moon pulls.\n\na | b\nc | d\n\ne | f\n\nEffects"
    found = [(heading.level, heading.title) for heading in extraction.headings]
    assert found == [(1, "Tides 😀"), (1, "Causes"), (2, "Effects")]
    for heading in extraction.headings:
        assert extraction.text.startswith(heading.title, heading.start)
    assert extraction.meta == {"title": "The Tide", "author": "A. Writer", "created": "2024-02-29"}
    assert extraction.page_starts == ()


def test_page_and_section_breaks_start_pages() -> None:
    """Asked-for breaks and new sections each begin a page with the text that follows them."""
    document = docx.Document()
    document.add_paragraph("one").add_run().add_break(WD_BREAK.PAGE)
    document.add_paragraph("two")
    document.add_section(WD_SECTION.NEW_PAGE)
    document.add_paragraph("three")
    document.add_section(WD_SECTION.CONTINUOUS)
    document.add_paragraph("still three")
    extraction = extract(_saved(document))
    pages = [extraction.text[start:].split()[0] for start in extraction.page_starts]
    assert pages == ["one", "two", "three"]


def test_a_break_noted_twice_counts_once() -> None:
    """Where Word notes both the break and where the page began when laid out, there is one new page."""
    body = (
        paragraph("one")
        + '<w:p><w:r><w:br w:type="page"/></w:r></w:p>'
        + "<w:p><w:pPr><w:pageBreakBefore/></w:pPr><w:r><w:lastRenderedPageBreak/><w:t>two </w:t></w:r>"
        + "<w:r><w:lastRenderedPageBreak/><w:t>three</w:t></w:r></w:p>"
    )
    extraction = extract(make_bad.word(body))
    assert extraction.text == "one\n\ntwo three"
    assert extraction.page_starts == (0, 5, 9)


def test_only_what_a_reader_sees_is_text() -> None:
    """Deleted, hidden and field-code text goes; inserted text, links, controls, boxes and breaks stay."""
    body = (
        "<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:ins><w:r><w:t>kept</w:t></w:r></w:ins>"
        "<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r><w:r><w:instrText>PAGE</w:instrText></w:r>"
        '<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t> shown</w:t></w:r>'
        "<w:hyperlink><w:r><w:tab/><w:t>link</w:t><w:br/><w:t>co</w:t><w:noBreakHyphen/>"
        "<w:t>op</w:t></w:r></w:hyperlink></w:p>"
        f"<w:sdt><w:sdtPr/><w:sdtContent>{paragraph('control')}</w:sdtContent></w:sdt>"
        f"<w:p><w:r><w:drawing><w:txbxContent>{paragraph('box')}</w:txbxContent></w:drawing></w:r></w:p>"
    )
    assert extract(make_bad.word(body)).text == "kept shown\tlink\nco-op\n\ncontrol\n\nbox"


@pytest.mark.parametrize("code", ["", "zz", "-1", "F0B7", "9" * 99])
def test_a_symbol_without_a_sign_is_passed_over(code: str) -> None:
    """Symbols whose number is none, or means nothing without its font, cost no word beside them."""
    body = f'<w:p><w:r><w:t>one</w:t><w:sym w:char="{code}"/><w:t> two</w:t></w:r></w:p>'
    assert extract(make_bad.word(body)).text == "one two"


def test_list_items_stand_on_lines_of_their_own() -> None:
    """Items of a list follow each other without empty lines."""
    body = paragraph("Take:") + _LIST_ITEM.format("milk") + _LIST_ITEM.format("tea") + paragraph("Stir.")
    assert extract(make_bad.word(body)).text == "Take:\n\nmilk\ntea\n\nStir."


def test_notes_follow_the_text() -> None:
    """Footnotes come at the end, without the rulers Word keeps among them."""
    notes = (
        f'<w:footnotes xmlns:w="{make_bad.WORD_NAMESPACE}">'
        f'<w:footnote w:type="separator">{paragraph("---")}</w:footnote>'
        f"<w:footnote>{paragraph('the note')}</w:footnote></w:footnotes>"
    )
    assert extract(make_bad.word(paragraph("text"), word__footnotes__xml=notes)).text == "text\n\nthe note"


def test_headings_follow_styles_and_outline_levels() -> None:
    """A style based on a heading style is a heading; an outline level overrides; circles of styles end."""
    styles = (
        f'<w:styles xmlns:w="{make_bad.WORD_NAMESPACE}"><w:style w:styleId="H"><w:name w:val="heading 3"/></w:style>'
        '<w:style w:styleId="Mine"><w:basedOn w:val="H"/></w:style>'
        '<w:style w:styleId="Body"><w:basedOn w:val="H"/><w:pPr><w:outlineLvl w:val="9"/></w:pPr></w:style>'
        '<w:style w:styleId="X"><w:basedOn w:val="Y"/></w:style><w:style w:styleId="Y"><w:basedOn w:val="X"/></w:style>'
        "</w:styles>"
    )
    body = "".join(
        f"<w:p><w:pPr>{style}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"
        for style, text in [
            ('<w:pStyle w:val="Mine"/>', "mine"),
            ('<w:pStyle w:val="Body"/>', "body"),
            ('<w:pStyle w:val="X"/>', "circle"),
            ('<w:pStyle w:val="None"/><w:outlineLvl w:val="1"/>', "outline"),
        ]
    )
    headings = extract(make_bad.word(body, word__styles__xml=styles)).headings
    assert [(heading.level, heading.title) for heading in headings] == [(3, "mine"), (2, "outline")]


def test_the_strict_variant_is_read() -> None:
    """A file in the namespaces of ISO's strict variant gives the same text."""
    strict = make_bad.word(paragraph("strict"))
    document = f'<w:document xmlns:w="http://purl.oclc.org/ooxml/wordprocessingml/main"><w:body>{paragraph("strict")}</w:body></w:document>'
    assert extract(make_bad.package({"word/document.xml": document})).text == extract(strict).text == "strict"


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><w>&b;</w>', "forbidden_content"),
        (
            '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b "c">]><w>&b;</w>'.encode("utf-16"),
            "forbidden_content",
        ),
        ('<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE a+AD4-<w/>', "forbidden_content"),
        ("<w:p>" * 1000, "too_deep"),
        ("<w><p>unclosed", "corrupt"),
        ("not xml", "corrupt"),
        ("", "corrupt"),
    ],
)
def test_bad_parts_are_refused_with_their_reason(part: str | bytes, reason: str) -> None:
    """Entities in any encoding, endless nesting and broken XML are told apart."""
    for name in ("word/document.xml", "word/styles.xml", "docProps/core.xml"):
        parts: dict[str, str | bytes] = {"word/document.xml": f'<w:d xmlns:w="x">{paragraph("a")}</w:d>'}
        if reason == "too_deep":
            part = f'<w:d xmlns:w="x">{part}'
        with pytest.raises(FileRejectedError) as caught:
            extract(make_bad.package(parts | {name: part}))
        assert caught.value.reason == reason
