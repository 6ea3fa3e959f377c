"""Good files of every format, five of each, that fuzzing starts from, and the words that mean something in them."""

from __future__ import annotations

import io

from docx import Document
from pypdf import PdfReader, PdfWriter

from tests import make_bad
from tests.conftest import REPOSITORY
from tests.make_bad import WORD_NAMESPACE, paragraph, pdf_of_objects

_SAMPLES = REPOSITORY / "samples"


def _sample(name: str) -> bytes:
    return (_SAMPLES / name).read_bytes()


def bare_pdf(content: bytes, *more: bytes, page: bytes = b"", resources: bytes = b"/Font << /F1 5 0 R >>") -> bytes:
    """A PDF of one page that shows ``content`` as it stands; ``more`` are objects from number 6 on."""
    return pdf_of_objects(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << %s >> %s >>"
            % (resources, page),
            stream(content),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding /ToUnicode 6 0 R >>"
            if more
            else b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            *more,
        ]
    )


def stream(content: bytes, extra: bytes = b"") -> bytes:
    """A PDF's object that is a stream; ``extra`` are further entries of its dictionary."""
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), extra, content)


def _packed_pdf() -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(_sample("seafaring/longitude.pdf"))))
    writer.compress_identical_objects()
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _office_word() -> bytes:
    document = Document()
    document.add_heading("The lighthouse", 1)
    document.add_paragraph("Ada keeps it. ").add_run("At night it turns.").bold = True
    table = document.add_table(2, 2)
    for number, cell in enumerate(table._cells):
        cell.text = f"cell {number}"
    document.add_page_break()
    document.add_paragraph("Second page", style="List Bullet")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


_TO_UNICODE = (
    b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <00> <FF> endcodespacerange "
    b"2 beginbfchar <41> <0041> <42> <D83DDE00> endbfchar 1 beginbfrange <61> <7A> <0061> endbfrange endcmap"
)
_NOTES = (
    f'<w:footnotes xmlns:w="{WORD_NAMESPACE}"><w:footnote w:id="2">{paragraph("a note")}</w:footnote></w:footnotes>'
)

#: By suffix: five files, the smallest that use what the format has.
SEEDS: dict[str, list[bytes]] = {
    "txt": [
        "Plain words – with accents é and 😀.\n".encode() * 20,
        "Größe und Übermut\r\n\r\nEin zweiter Satz.\r\n".encode("utf-16"),
        "Café à la crème, naïve “Anführung” für 5 €.\n".encode("cp1252") * 5,
        "富士山は日本で一番高い山です。\n".encode("cp932") * 5,
        b"Title\n=====\n\nOne page of text.\f\nA heading\n\nAnother page " + b"with a long line of text " * 9,
    ],
    "md": [
        b"---\ntitle: Tea\ntags: [a, 2]\ndate: 2024-02-29\n---\n# Tea\n\n- *green*\n- [black](x 'y')\n"
        b"  1. one\n  2. two\n",
        b"| a | b |\n|---|:-:|\n| c | d |\n\n> quote\n> > deeper\n\n```py\ncode | `x`\n```\n\n~~gone~~ **bold**"
        b"\\\nbreak\n",
        b"<div>\n<p>html <b>block\n</div>\n\nwords <br> and <span>inline</span> &amp; &#169; ![alt](pic.png)\n\n---\n",
        b"Setext\n======\n\n[ref]: http://example.org 'title'\n\nSee [ref], <a@example.org> and *nested **stars***.\n",
        _sample("lakes/lake-titicaca.md"),
    ],
    "html": [
        b"<html><head><title>T</title><meta name=author content=Ada></head><body><h1>T</h1>"
        b"<table><tr><td>a<td>b</table><p>words &eacute;&#x1F600;</body>",
        b"<!doctype html><nav>menu</nav><main><article><h2>Part</h2><ul><li>one<li>two</ul></article></main><footer>f",
        "<!-- note --><html><meta charset=windows-1252><p>Café für 5 €<pre>  kept\n  so</pre>".encode("cp1252"),
        b"<?xml version='1.0'?><html xmlns='x'><body><div hidden>no</div><svg><text>s</text></svg>a<br/>b</html>",
        _sample("astronomy/apollo-11.html"),
    ],
    "pdf": [
        make_bad.pdf(["page one\nwith words", "page two"], bookmarks=[("page two", 1)], title="T"),
        bare_pdf(b"BT /F1 11 Tf 72 720 Td (words) Tj 0 -14 TD [(an) -300 (AB)] TJ T* (more) ' ET", stream(_TO_UNICODE)),
        make_bad.encrypted_pdf("An open file", ""),
        _packed_pdf(),
        bare_pdf(
            b"q /X Do Q BT /F1 9 Tf 1 0 0 1 9 9 Tm <776f726473> Tj ET BI /W 1 /H 1 /BPC 8 /CS /G ID x EI",
            stream(_TO_UNICODE),
            stream(
                b"BT /F1 9 Tf (in a form) Tj ET",
                b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /Font << /F1 5 0 R >> >>",
            ),
            resources=b"/Font << /F1 5 0 R >> /XObject << /X 7 0 R >>",
        ),
    ],
    "docx": [
        make_bad.word(paragraph("words") + f"<w:tbl><w:tr><w:tc>{paragraph('a')}</w:tc></w:tr></w:tbl>"),
        make_bad.word(
            paragraph("with a note") + '<w:p><w:r><w:sym w:char="0041"/></w:r></w:p>', word__footnotes__xml=_NOTES
        ),
        make_bad.word(
            '<w:p><w:pPr><w:pStyle w:val="H"/></w:pPr><w:r><w:t>Head</w:t><w:br w:type="page"/></w:r></w:p>'
            f"<w:p><w:r><w:drawing><w:txbxContent>{paragraph('box')}</w:txbxContent></w:drawing></w:r></w:p>",
            word__styles__xml=f'<w:styles xmlns:w="{WORD_NAMESPACE}"><w:style w:styleId="H"><w:name w:val="heading 1"/>'
            '<w:basedOn w:val="H"/></w:style></w:styles>',
            docProps__core__xml="<c><title>T</title><creator>Ada</creator><created>2024-02-29T00:00:00Z</created></c>",
        ),
        _office_word(),
        _sample("medicine/penicillin.docx"),
    ],
}


def _words(text: bytes) -> list[bytes]:
    return text.split(b" ; ")


#: By suffix: what a parser looks for, broken off or pushed too far.
WORDS: dict[str, list[bytes]] = {
    "txt": _words(
        b"\x00 ; \xff\xfe ; \xef\xbb\xbf ; \xed\xa0\x80 ; \xc0\xaf ; \x0c ; \x0d ; \x1b$B ; \x1b(J ; === ; "
        b"\xe2\x80\xae\xe2\x80\x8d\xef\xbb\xbf ; \x85 ; %PDF- ; \xf4\x90\x80\x80"
    ),
    "md": _words(
        b"---\n ; ``` ; -  ; >  ; [ ; ]( ; ![ ; ` ; ** ; | ; |-|\n ; <div> ; <!-- ; &#0; ; &#xD800; ; "
        b"&#x110000; ; \x09 ; 1.  ; 999999999.  ; !!int '' ; :  ; &a *a ; \\ ; \x00 ; ~~ ; <? ; <![CDATA["
    ),
    "html": _words(
        b"< ; </ ; <table> ; <tr> ; <td> ; </p> ; <pre> ; <script> ; <!-- ; --> ; <![CDATA[ ; "
        b"<!DOCTYPE html [<!ENTITY x SYSTEM 'file:///etc/passwd'>]> ; &#0; ; &#xD800; ; &#x110000; ; &x; ; "
        b"<meta charset=utf-7> ; <meta charset=utf-16> ; <main> ; <h1> ;  hidden ; <svg> ; <template> ; <body> ; "
        b"</html> ; \x00 ; <plaintext> ; <frameset>"
    ),
    "pdf": _words(
        b"<< ; >> ; [ ; ] ; ( ; ) ; < ; > ; stream\n ; endstream ; endobj ; 1 0 obj\n ; 3 0 R ; 4 0 R ; -1 ; "
        b"99999999999 ; 1e400 ; /Length ; /Filter /FlateDecode ; /Filter /LZWDecode ; "
        b"/Filter [/ASCII85Decode /RunLengthDecode] ; /Filter /JBIG2Decode ; "
        b"/DecodeParms << /Predictor 15 /Columns 9999 >> ; /Type /ObjStm /N 9 /First 9 ; /Prev 9 ; "
        b"/Encrypt 3 0 R ; /Kids [2 0 R] ; BT ; ET ; Tj ; TJ ; Do ; BI ; ID ; EI ; startxref\n0\n ; trailer ; "
        b"%%EOF ; null ; true ; #00 ; \\777 ; beginbfrange <00> <FFFFFFFF> <0041> endbfrange ; "
        b"/Subtype /Type0 /DescendantFonts [5 0 R] ; /Subtype /Type3 ; /Differences [-1 /A 999999 /B] ; "
        b"/Widths [a] ; /W [0 999999999 1]"
    ),
    "docx": _words(
        b"<w:p> ; </w:p> ; <w:tbl> ; <w:tr> ; <w:tc> ; </w:tc> ; <w:r> ; <w:t> ; <w:sdt> ; "
        b'<w:sym w:char="x"/> ; <w:br w:type="page"/> ; <w:sectPr/> ; <w:del> ; <!DOCTYPE x> ; '
        b'<!ENTITY x \'y\'> ; &x; ; &#0; ; &#xD800; ; <![CDATA[ ; <?pi?> ; <!-- ; xmlns:w="y" ;  w:val="" ; '
        b'<w:outlineLvl w:val="9"/> ; <w:basedOn w:val="H"/> ; \x00 ; \xff ; \xff\xfe ; encoding=\'utf-7\' ; '
        b"PK\x01\x02 ; PK\x03\x04 ; PK\x05\x06 ; PK\x06\x06 ; \xff\xff\xff\xff"
    ),
}
