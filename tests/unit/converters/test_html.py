from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_app.converters.extraction import Extraction
from qa_app.converters.html import extract
from qa_app.errors import FileRejectedError


def _extract(source: str) -> Extraction:
    return extract(source.encode())


def test_blocks_break_lines_and_inline_tags_do_not() -> None:
    """The text reads in lines as a browser would show it, white space collapsed and entities decoded."""
    extraction = _extract(
        "<html><head><title> The  River </title><style>p{}</style></head><body>\n<h1>The <em>big</em>\n river</h1>"
        "<p>It is <b>lo</b>ng,\n   &eacute;&amp;&#128512; <br>second line</p>"
        "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"
        "<div>d<span>e</span></div><pre>x\n  y</pre><script>var z;</script><template>t</template></body></html>"
    )
    assert extraction.text == "The big river\n\nIt is long, é&😀\nsecond line\n\na\nb\nc\nde\n\nx\n  y"
    assert extraction.meta == {"title": "The River"}
    assert [(heading.start, heading.level, heading.title) for heading in extraction.headings] == [
        (0, 1, "The big river")
    ]


def test_tables_are_rows_of_cells() -> None:
    """Cells of a row are joined by bars, paragraphs within cells included, and empty cells keep their place."""
    text = _extract(
        "<table><tr><th>a<th>b</tr><tr><td><p>c</p><td><p>d</p><p>e</p></tr><tr><td><td>f<td><td>g</tr></table><p>end"
    ).text
    assert text == "a | b\nc | d\n\ne\n| f | | g\n\nend"


def test_nested_tables_keep_every_cell() -> None:
    """A table inside a cell keeps its own rows."""
    text = _extract("<table><tr><td>a<table><tr><td>b<td>c</tr></table></td><td>d</td></tr></table>").text
    assert text == "a\n\nb | c | d"


def test_the_main_part_is_taken_where_a_page_names_it() -> None:
    """With one main element, only its text counts, without navigation, footers and asides in it."""
    page = "<body><nav>menu</nav><main><h1>T</h1><p>text</p><aside>ad</aside></main><footer>legal</footer></body>"
    assert _extract(page).text == "T\n\ntext"
    assert _extract(page.replace("main", "article")).text == "T\n\ntext"


def test_without_a_main_part_everything_visible_is_text() -> None:
    """Navigation and footers of a page that does not say what its text is are kept."""
    assert _extract("<body><nav>menu</nav><p>text</p><footer>legal</footer>").text == "menu\n\ntext\n\nlegal"


def test_an_empty_main_part_loses_nothing() -> None:
    """A main element that a script would fill does not hide the text around it."""
    assert _extract("<body><p>text</p><main></main>").text == "text"


def test_hidden_elements_are_no_text() -> None:
    """What carries the hidden attribute goes, what follows it stays."""
    assert _extract("<p>a<span hidden>b</span>c</p><div hidden><p>d</p></div>e").text == "ac\n\ne"


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        ("<meta charset=iso-8859-1><p>Café €".encode("cp1252"), "Café €", "cp1252"),
        ("<meta charset='shift_jis'><p>日本".encode("cp932"), "日本", "shift_jis"),
        ("<meta http-equiv=x content='text/html; charset=koi8-r'><p>Волга".encode("koi8-r"), "Волга", "koi8-r"),
        ("<meta charset=iso-8859-1><p>Café".encode(), "Café", "utf-8"),
        ("<meta charset=rot13><p>plain é".encode(), "plain é", "utf-8"),
        (b"<meta charset=unicode_escape><p>plain \\x41", "plain \\x41", "utf-8"),
        ("<meta charset=no-such-thing><p>Caf\xe9 au lait".encode("cp1252"), "Café au lait", "cp1252"),
        ("\ufeff<meta charset=ascii><p>é".encode("utf-16-le"), "é", "utf-16"),
    ],
)
def test_declared_encodings_are_believed_within_reason(data: bytes, text: str, encoding: str) -> None:
    """A page's declaration decides unless it is wrong, unknown, or names a codec that is no encoding."""
    extraction = extract(data)
    assert (extraction.text, extraction.encoding) == (text, encoding)


@pytest.mark.case("F13")
@pytest.mark.parametrize("depth", [300, 100_000])
def test_deep_pages_are_refused_not_cut(depth: int) -> None:
    """Elements nested beyond the parser's limit are refused, since it would drop the rest of the page."""
    with pytest.raises(FileRejectedError) as caught:
        _extract("<div>" * depth + "deep")
    assert caught.value.reason == "too_deep"


def test_a_piece_over_the_parser_limit_is_refused_not_cut() -> None:
    """A run of text that the parser would drop is refused."""
    with pytest.raises(FileRejectedError) as caught:
        _extract("<p>" + "x" * 12_000_000)
    assert caught.value.reason == "too_large"


@pytest.mark.case("F7")
def test_entities_of_a_document_type_are_not_expanded() -> None:
    """Declared entities, internal and external, yield nothing."""
    text = _extract('<!DOCTYPE html [<!ENTITY a SYSTEM "file:///etc/passwd"><!ENTITY b "bbbb">]><p>x &a; &b; y').text
    assert "root:" not in text
    assert "bbbb" not in text.replace('"bbbb"', "")


_TAGS = [
    "<p>",
    "</p>",
    "<td>",
    "<tr>",
    "<table>",
    "</table>",
    "<h2>",
    "</h2>",
    "<b>",
    "<pre>",
    "</pre>",
    "<br>",
    "<li>",
    "</div>",
]


@given(st.lists(st.sampled_from([*_TAGS, " ", "\n", "word7 ", "😀", "\x00", "&lt;"])))
def test_no_word_is_ever_lost(pieces: list[str]) -> None:
    """However tags are broken, each word is in the text, lines are trimmed, and headings point at their titles."""
    extraction = _extract("<body>" + "".join(pieces))
    assert extraction.text.count("word7") == pieces.count("word7 ")
    assert extraction.text.count("😀") == pieces.count("😀")
    assert "\x00" not in extraction.text
    for heading in extraction.headings:
        assert extraction.text.startswith(heading.title.split()[0], heading.start)
